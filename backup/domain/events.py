"""What a run tells the world when it has ended. Pure values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

EventType = Literal[
    "backup.succeeded",
    "backup.incomplete",
    "backup.suspect",
    "backup.failed",
    "backup.missed",
    "restore.finished",
    "restore.failed",
    "drill.proven",
    "drill.failed",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEvent:
    """The end of a run.

    Attributes:
        type: what ended, and how.
        time: when, aware and in UTC.
        run: the same for every word about this run; a new one for each run.
        target: name of what is backed up, where it is known by then.
        text: one line for people.
        facts: figures and names for programs, such as can be written as JSON.
        error: of a failure, what `--json` says of it; None where nothing failed.
    """

    type: EventType
    time: datetime
    run: UUID
    target: str | None
    text: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    error: Mapping[str, Any] | None = None

    @property
    def failed(self) -> bool:
        """Whether the run failed."""
        return self.error is not None
