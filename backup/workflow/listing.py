"""What a listing of a target says and how many small objects are read at once; a backup in figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from backup.domain.drill import Drill, prove
from backup.domain.ids import BackupId
from backup.domain.manifest import Manifest
from backup.domain.marks import Mark
from backup.domain.retention import Standing, standing_of
from backup.errors import IntegrityFailed, ObjectMissing

_READERS = 6
"""Objects that are read at a time: a store far away answers each after tens of milliseconds."""
_FEW = 3
"""Up to so many are read one after the other: no thread is worth it."""
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The backups of a target, oldest first.

    Attributes:
        target: whose they are.
        unreadable: ids of those whose manifest cannot be read, with the reason.
        drills: of each backup by its id, oldest first.
        accepted, held: ids of those.
        failed: a run that failed after the newest backup, and what it said.
        older: how many more there are, of which nothing was read.
    """

    target: str
    backups: tuple[Manifest, ...]
    unreadable: tuple[tuple[str, IntegrityFailed], ...]
    drills: Mapping[str, tuple[Drill, ...]] = field(default_factory=dict)
    accepted: frozenset[str] = frozenset()
    held: frozenset[str] = frozenset()
    failed: tuple[BackupId, Mark] | None = None
    older: int = 0

    def last_drill(self, backup: Manifest) -> Drill | None:
        """The newest drill of a backup, if there was any."""
        return next(reversed(self.drills.get(backup.id, ())), None)

    def is_complete(self, backup: Manifest) -> bool:
        """Whether it is complete, or was suspect and then accepted; what a restore saved is not."""
        return standing_of(backup, accepted=backup.id in self.accepted) is Standing.COMPLETE

    def standing(self, backup: Manifest) -> str:
        """Its status in words for people, with what else sets it apart."""
        marks = [word for word, ids in (("accepted", self.accepted), ("held", self.held)) if backup.id in ids]
        return ", ".join([backup.standing, *marks])

    def is_proven(self, backup: Manifest) -> bool:
        """Whether a drill of all of it found it to be what its snapshot held, and none since then disproved it."""
        return prove(self.drills.get(backup.id, ()))


def read_all(keys: Sequence[str], read: Callable[[str], _T]) -> Iterator[tuple[str, _T | IntegrityFailed]]:
    """What is read under each key, in order, or why it cannot be; what somebody has deleted meanwhile is left out.

    Raises:
        PgproofError: the store failed.
    """

    def found(key: str) -> _T | IntegrityFailed | None:
        try:
            return read(key)
        except ObjectMissing:
            return None
        except IntegrityFailed as error:
            return error

    pool = ThreadPoolExecutor(_READERS, thread_name_prefix="reading")
    try:
        results = pool.map(found, keys) if len(keys) > _FEW else map(found, keys)
        yield from ((key, result) for key, result in zip(keys, results, strict=True) if result is not None)
    finally:
        pool.shutdown(cancel_futures=True)


def summary(backup: Manifest) -> dict[str, Any]:
    """A backup in the figures that people ask for, for JSON."""
    return {
        "id": backup.id,
        "target": backup.target,
        "status": backup.status.value,
        "purpose": backup.purpose,
        "snapshot": backup.snapshot.time,
        "database": backup.database.name,
        "server_version": backup.database.server_version,
        "encrypted": bool(backup.recipients),
        "raw_bytes": backup.raw_bytes,
        "stored_bytes": backup.stored_bytes,
        "tables": backup.proof.tables if backup.proof else None,
        "rows": backup.proof.rows if backup.proof else None,
        "seconds": round(backup.duration, 3),
        "filtered": backup.filtered,
        "labels": backup.labels,
        "warnings": list(backup.warnings),
    }
