"""The result of a drill: a backup that was restored into a throwaway server and compared with its proof. Pure.

Stored beside the backup, one object a drill, never overwritten. Format version 1; readers ignore unknown keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from backup.domain.comparison import Difference
from backup.domain.documents import read_document

FORMAT = 1
FOLDER = "drills"
DRILL_LIMIT = 16 << 20
MOST_DIFFERENCES = 1000
"""That are stored by name; of more, only how many there are."""

Verdict = Literal["proven", "differs", "failed", "unproven"]
"""It is what the snapshot held · it is not, or a check of the user's says so · it did not restore · it restored, and
there is no proof to hold it against."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """A check of the user's. `said` is what it answered or why it failed; empty where it was content."""

    name: str
    passed: bool
    said: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """How a drill ended.

    Attributes:
        time: when it began.
        text: the verdict in one line.
        mode: of the comparison: all values, or rows alone.
        server_version: of the server that it was restored into.
        sample: share of the tables whose rows were restored, above 0 and at most 1.
        tables, rows: that were compared.
        differences: by name, the first of `difference_count`; noted ones are not counted.
        not_compared: kinds of facts that could not come back there, such as owners on a server without the roles.
        unproven: facts of which nothing can be said, the first of `unproven_count`.
        seconds: by phase: server, load, indexes, finish, proof, checks and so on.
        restore_seconds: from the first byte of the dump to a database that can be used: the measured time to restore.
        stored_bytes, raw_bytes: of the backup, in the store and before compression.
        error: where it did not restore: what went wrong.
    """

    format: int = FORMAT
    backup: str
    target: str
    time: datetime
    verdict: Verdict
    text: str
    mode: Literal["full", "rows"] | None = None
    server_version: str | None = None
    sample: Annotated[float, Field(gt=0, le=1)] = 1.0
    tables: int = 0
    rows: int = 0
    differences: tuple[Difference, ...] = ()
    difference_count: int = 0
    not_compared: tuple[str, ...] = ()
    unproven: tuple[str, ...] = ()
    unproven_count: int = 0
    checks: tuple[CheckResult, ...] = ()
    seconds: dict[str, float]
    restore_seconds: float | None = None
    stored_bytes: int = 0
    raw_bytes: int = 0
    error: str | None = None
    pgproof: str

    @property
    def proven(self) -> bool:
        """Whether the backup is what its snapshot held."""
        return self.verdict == "proven"

    @property
    def rto(self) -> timedelta | None:
        """The measured time to restore."""
        return None if self.restore_seconds is None else timedelta(seconds=self.restore_seconds)

    def without_names(self) -> Drill:
        """The same without what may name things in an encrypted backup, for it is kept in plain text beside that."""
        wrong = sum(not check.passed for check in self.checks)
        texts = {
            "proven": self.text,
            "unproven": "it restores, but was not wholly compared with its proof",
            "failed": "it did not restore",
            "differs": f"{wrong} of {len(self.checks)} checks failed"
            if wrong
            else f"{self.difference_count} differences",
        }
        checks = [replace(check, name=f"check {n}", said="") for n, check in enumerate(self.checks, start=1)]
        return replace(self, text=texts[self.verdict], differences=(), unproven=(), checks=tuple(checks), error=None)

    def to_json(self) -> bytes:
        """As it is stored: UTF-8, indented."""
        return _ADAPTER.dump_json(self, indent=2) + b"\n"

    @classmethod
    def from_json(cls, data: bytes, *, where: str) -> Drill:
        """Read what `to_json` wrote. Raises IntegrityFailed where it cannot be read; `where` says which, for people."""
        return read_document(data, _ADAPTER, newest=FORMAT, what=f"the drill {where}")


def key_of(drill: Drill) -> str:
    """The key of its result: one that no other drill has, to the microsecond, for two may be under way at a time."""
    name = f"{drill.time.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}"
    return f"{drill.target}/{drill.backup}/{FOLDER}/{name}.json"


def prove(drills: Sequence[Drill]) -> bool:
    """Whether drills of a backup, oldest first, prove it: one of all of it did, and none since then disproved it."""
    for drill in reversed(drills):
        if drill.verdict in {"differs", "failed"}:
            return False
        if drill.proven and drill.sample == 1:
            return True
    return False


_ADAPTER = TypeAdapter(Drill)
