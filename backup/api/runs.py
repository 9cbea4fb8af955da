"""A run that somebody started over HTTP: what is said of it, its log line by line, and what starts and finds such.

Owns these forms. Where runs happen, beside the service or in the cluster, is the business of `children` and `jobs`.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol, get_args

from pydantic import BaseModel, ConfigDict, Field

from backup.errors import PgproofError

Kind = Literal["backup", "drill", "restore", "sync"]
KINDS: tuple[Kind, ...] = get_args(Kind)
State = Literal["running", "succeeded", "failed"]

MOST_LINES = 5000
"""Of a log that are kept; a run that tells more is followed with its beginning missing. A guess."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be run.

    Attributes:
        words: of the command line, behind the command's name; no secret.
        database: which of a release's several, in a cluster; None for the only one.
        target: whose of these it is, where none is named.
        key: by which the same order is known again, or None.
        by: who ordered it, for the log.
    """

    kind: Kind
    words: tuple[str, ...] = ()
    database: str | None = None
    target: str | None = None
    key: str | None = None
    by: str


class Run(BaseModel):
    """A run, and where to ask for it."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "backup-20261122t080000z-1f2e3d",
                "kind": "backup",
                "state": "running",
                "started": "2026-11-22T08:00:00Z",
                "ended": None,
                "exit_code": None,
                "outcome": None,
                "result": None,
                "url": "/api/runs/backup-20261122t080000z-1f2e3d",
                "log": "/api/runs/backup-20261122t080000z-1f2e3d/log",
            }
        }
    )

    id: str
    kind: str
    state: State
    started: datetime
    ended: datetime | None = None
    exit_code: int | None = Field(default=None, description="Once it has ended; docs/exit-codes.md.")
    outcome: str | None = Field(
        default=None, description="Of a failure, what went wrong; in a cluster, its last words."
    )
    result: dict[str, Any] | None = Field(
        default=None, description="What the command prints with --json, where the service ran it itself."
    )
    url: str = Field(description="Ask here how it goes.")
    log: str = Field(description="Its log, live, as server-sent events.")


def address_of(run: str) -> str:
    """Where one asks for a run."""
    return f"/api/runs/{run}"


class Busy(PgproofError):
    """A run of this kind is under way already.

    Args:
        run: its id, where it is one of ours.
    """

    exit_code = 10
    retryable = True

    def __init__(self, message: str, *, run: str | None = None) -> None:
        super().__init__(message, hint=f"follow it: {address_of(run)}" if run else "try again when it has ended")
        self.run = run


class KeyReused(PgproofError):
    """An Idempotency-Key came with another order than before."""

    exit_code = 2


class Log:
    """The lines of a run, numbered from 1. Written by one thread, read by any."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=MOST_LINES)
        self._count = 0
        self._lock = threading.Lock()
        self.closed = False

    def add(self, line: str) -> None:
        """One more line."""
        with self._lock:
            self._lines.append(line)
            self._count += 1

    def close(self) -> None:
        """There will be no more."""
        self.closed = True

    def since(self, number: int) -> list[tuple[int, str]]:
        """The lines behind that of this number, each with its own, as far as they are kept."""
        with self._lock:
            first = self._count - len(self._lines)
            return [(first + n, line) for n, line in enumerate(self._lines, start=1) if first + n > number]


class Runner(Protocol):
    """Starts runs and finds them again. Its methods may take a while, and are called from threads."""

    def start(self, order: Order, /) -> Run:
        """Start a run, or find the one that the same key has started before.

        Raises:
            Busy: one of this kind is under way, and may not have company.
            KeyReused: the key came with another order before.
            PgproofError: it cannot be started.
        """

    def find(self, run: str, /) -> Run:
        """A run by its id. Raises NotFound."""

    def log_of(self, run: str, /) -> Log:
        """Its log, which grows while it runs. Raises NotFound."""

    def all(self) -> Sequence[Run]:
        """Those that are known, the newest first."""

    def stop(self) -> None:
        """End what would end with the service."""
