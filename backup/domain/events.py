"""What a run tells the world, and who wants to hear what. Pure values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from difflib import get_close_matches
from typing import Any, Literal, get_args
from uuid import UUID

EventType = Literal[
    "backup.started",
    "backup.succeeded",
    "backup.incomplete",
    "backup.suspect",
    "backup.degraded",
    "backup.failed",
    "backup.missed",
    "prune.failed",
    "restore.finished",
    "restore.failed",
    "drill.proven",
    "drill.failed",
    "sync.succeeded",
    "sync.failed",
    "notify.test",
]
SUCCESSES: frozenset[EventType] = frozenset({"backup.succeeded", "restore.finished", "drill.proven", "sync.succeeded"})
FAILURES: frozenset[EventType] = frozenset(get_args(EventType)) - SUCCESSES - {"backup.started", "notify.test"}
ENDS = SUCCESSES | FAILURES
_WORDS: Mapping[str, frozenset[EventType]] = {"success": SUCCESSES, "failure": FAILURES, "all": ENDS}


def events_of(words: Iterable[str]) -> frozenset[EventType]:
    """The types that words mean: `success`, `failure`, `all`, or a type itself. Raises ValueError for any other."""
    types: tuple[EventType, ...] = get_args(EventType)
    found: set[EventType] = set()
    for word in words:
        meant = _WORDS.get(word) or {each for each in types if each == word and each != "notify.test"}
        if not meant:
            near = get_close_matches(word, [*_WORDS, "backup.started", *sorted(ENDS)], 1)
            known = (
                f"did you mean {near[0]}?" if near else f"it is {', '.join([*_WORDS, 'backup.started', *sorted(ENDS)])}"
            )
            raise ValueError(f"{word!r} is no event: {known}")
        found |= meant
    return frozenset(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEvent:
    """Something that happened to a run, mostly its end.

    Attributes:
        id: of this message; the same each time that it is sent.
        type: what ended, and how.
        time: when, aware and in UTC.
        run: the same for every word about this run; a new one for each run.
        target: name of what is backed up, where it is known by then.
        text: one line for people.
        facts: figures and names for programs, such as can be written as JSON.
        error: of a failure, what `--json` says of it; None where nothing failed.
        log: of a failure, the last lines of the log.
    """

    id: str
    type: EventType
    time: datetime
    run: UUID
    target: str | None
    text: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    error: Mapping[str, Any] | None = None
    log: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether something is not as it should be."""
        return self.type in FAILURES

    def without_names(self) -> RunEvent:
        """The same without what may name things in the database: for where only encrypted backups may lie."""
        said = self.error and {
            **{name: self.error.get(name) for name in ("code", "exit_code", "retryable")},
            "message": "it is not kept in a store of encrypted backups",
            "detail": None,
            "hint": "the log of the run says it",
        }
        facts = {name: value for name, value in self.facts.items() if name != "restore"}
        text = f"{self.target}: {self.type.replace('.', ' ')}" if self.target else self.type.replace(".", " ")
        return replace(self, text=text, facts=facts, error=said, log=())
