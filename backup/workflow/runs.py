"""What a store has of a target, run by run, seen from one list: for retention, and for whoever marks a run.

Reads of each run no more than its small marks; must not read a manifest of every backup, there may be ten thousand.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from backup.domain.drill import FOLDER as DRILLS
from backup.domain.ids import BackupId
from backup.domain.manifest import MANIFEST_NAME
from backup.domain.marks import FAILED, HOLD, MARK_LIMIT, SHIELDS, Mark, is_ours
from backup.domain.retention import StoredRun
from backup.errors import IntegrityFailed, ObjectMissing
from backup.logs import log
from backup.ports import Store, StoredObject
from backup.stream.readers import BytesReader, read_exactly


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFolder:
    """The objects of one run, as far as pgproof wrote them, by their names in the folder."""

    run: StoredRun
    objects: dict[str, StoredObject]

    def keys(self) -> tuple[str, ...]:
        """Their keys in the order in which they go: the manifest first, so that no half backup ever looks whole."""
        return tuple(
            self.objects[name].key for name in sorted(self.objects, key=lambda name: (name != MANIFEST_NAME, name))
        )


def read_runs(store: Store, target: str, *, now: datetime) -> list[RunFolder]:
    """Every run of a target that has left something in a store."""

    def run_of(stored: StoredObject) -> str:
        return stored.key.split("/", 2)[1]

    objects = (stored for stored in store.list(f"{target}/") if stored.key.count("/") > 1)
    found = []
    for name, group in groupby(objects, run_of):
        backup_id = BackupId.parse(name)
        prefix = f"{target}/{name}/"
        ours = {step: each for each in group if is_ours(step := each.key.removeprefix(prefix))}
        if backup_id and ours:
            found.append(RunFolder(run=_run(store, backup_id, ours, now), objects=ours))
    return found


def _run(store: Store, backup_id: BackupId, objects: dict[str, StoredObject], now: datetime) -> StoredRun:
    shields = [stored.key for name, stored in objects.items() if name.startswith(f"{SHIELDS}/")]
    return StoredRun(
        id=backup_id,
        finished=MANIFEST_NAME in objects,
        failed=FAILED in objects,
        drilled=any(name.startswith(f"{DRILLS}/") for name in objects),
        held=HOLD in objects and MANIFEST_NAME in objects,
        shielded=any(is_held(store, shields, now=now)),
        bytes=sum(stored.bytes for stored in objects.values()),
        youngest=max(stored.modified for stored in objects.values()),
    )


def is_held(store: Store, keys: Iterable[str], *, now: datetime) -> Iterator[bool]:
    """Of each mark, whether it still holds; one that cannot be read does."""
    for key in keys:
        try:
            mark = read_mark(store, key)
        except IntegrityFailed as error:
            log.warning("this mark counts as one that holds", object=key, reason=error.message)
            yield True
        else:
            yield mark is not None and mark.holds(now)


def read_mark(store: Store, key: str) -> Mark | None:
    """A mark, or None where there is none. Raises IntegrityFailed where it cannot be read."""
    with suppress(ObjectMissing), store.open(key) as reader:
        return Mark.from_json(read_exactly(reader, MARK_LIMIT), where=key)
    return None


def write_mark(store: Store, key: str, mark: Mark) -> None:
    """Store a mark, in the place of the one that was there."""
    store.put(key, BytesReader(mark.to_json()))


def host() -> str:
    """This machine, or pod."""
    return socket.gethostname()
