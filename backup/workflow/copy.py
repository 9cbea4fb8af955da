"""Copy a backup into another store, byte for byte: its parts, then its manifest, then what was found out about it.

Owns that nothing counts as copied before it was read back or hashed on its way. A copy that was interrupted is taken
up again: what is there and whole by its SHA-256 is left as it is. A hold is not copied: it is of one store alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from backup.domain.drill import FOLDER as DRILLS
from backup.domain.drill import Drill, key_of
from backup.domain.manifest import MANIFEST_LIMIT, MANIFEST_NAME, Manifest, Volume
from backup.domain.marks import ACCEPTED
from backup.errors import IntegrityFailed, Interrupted, ObjectExists, ObjectMissing, PgproofError
from backup.logs import log
from backup.ports import Clock, Store
from backup.stream.readers import BytesReader, Counted, Hashed, drain, read_exactly
from backup.stream.volumes import Progress, StoredStream, WrittenVolume, no_progress
from backup.workflow.catalog import open_beside
from backup.workflow.lease import marked_in_use, shielded


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """What a copy did. `sent` are bytes that were copied now, `found` those that were there already."""

    backup: Manifest
    store: str
    sent: int
    found: int


def copy(backup: Manifest, source: Store, to: Store, *, clock: Clock, progress: Progress = no_progress) -> Copied:
    """Given a backup and two stores, let the other have it too.

    Raises:
        IntegrityFailed: it is damaged where it is, or the other store has another backup of that id.
        PgproofError: a store does not answer or refuses us; what is copied by then stays, for the next time.
    """
    run = _Copying(backup, source, to, progress)
    with shielded(backup, source, clock=clock), marked_in_use(backup, to, text="being copied", clock=clock):
        manifest = run.manifest()
        is_committed = run.is_committed(manifest)
        if is_committed and run.is_whole():
            log.info("copied before", id=backup.id, store=to.url)
        else:
            log.info("copy started", id=backup.id, source=source.url, store=to.url)
            run.carry_parts()
            if not is_committed:
                run.commit(manifest)
        run.carry_findings()
    return Copied(backup=backup, store=to.url, sent=run.sent, found=run.found)


def share_drill(drill: Drill, backup: Manifest, source: Store, others: Iterable[Store]) -> None:
    """Given what a drill found out of a backup's content, let other stores know that have the very same backup.

    One that could not be restored says something of the bytes in one store alone, and is not shared. Nothing is raised
    for what a store cannot do: that is told, and no more.
    """
    if drill.verdict not in {"proven", "differs"}:
        return
    for to in others:
        run = _Copying(backup, source, to, no_progress)
        try:
            if _content(to, run.key) == run.manifest():
                to.put(key_of(drill), BytesReader(drill.to_json()), new=True)
        except (ObjectMissing, ObjectExists):
            continue
        except Interrupted:
            raise
        except PgproofError as error:
            log.warning("another store does not know of the drill", store=to.url, reason=error.message)


class _Copying:
    """One copy on its way."""

    def __init__(self, backup: Manifest, source: Store, to: Store, progress: Progress) -> None:
        self._backup = backup
        self._source = source
        self._to = to
        self._progress = progress
        self._prefix = f"{backup.target}/{backup.id}/"
        self.key = self._prefix + MANIFEST_NAME
        self.sent = 0
        self.found = 0

    def manifest(self) -> bytes:
        return _content(self._source, self.key)

    def is_committed(self, manifest: bytes) -> bool:
        """Whether the other store has its manifest already. Raises ObjectExists where it has another one of this id."""
        try:
            there = _content(self._to, self.key)
        except ObjectMissing:
            return False
        if there != manifest:
            raise ObjectExists(
                f"{self._to.url} has another backup {self._backup.id} of {self._backup.target}",
                hint="give the store another prefix: two databases have used one target",
            )
        return True

    def is_whole(self) -> bool:
        """Whether the other store has all of its objects, by their sizes."""
        if not all(self._has_size(volume) for volume in self._volumes()):
            return False
        for volume in self._volumes():
            self._count_found(volume)
        return True

    def carry_parts(self) -> None:
        for volume in self._volumes():
            if self._is_there(volume):
                self._count_found(volume)
                continue
            written = WrittenVolume(name=volume.name, bytes=volume.bytes, sha256=volume.sha256)
            with StoredStream([written], partial(open_beside, self._source, self._prefix)) as stream:
                stored = self._to.put(self._prefix + volume.name, Counted(stream, self._tell))
            if stored.bytes != volume.bytes:
                raise IntegrityFailed(f"{self._to.url} has {stored.bytes} bytes of {stored.key}, not {volume.bytes}")
            self.sent += volume.bytes

    def commit(self, manifest: bytes) -> None:
        """Ask for every object once more, and write the manifest: from here on the other store has the backup."""
        for volume in self._volumes():
            stored = self._to.stat(self._prefix + volume.name)
            if stored.bytes != volume.bytes:
                raise IntegrityFailed(f"{stored.key} in {self._to.url} is not what was just stored")
        self._to.put(self.key, BytesReader(manifest), new=True)

    def carry_findings(self) -> None:
        """Results of drills and what was accepted, as far as they are not there yet."""
        for part in (f"{DRILLS}/", ACCEPTED):
            for stored in list(self._source.list(self._prefix + part)):
                with suppress(ObjectExists):
                    self._to.put(stored.key, BytesReader(_content(self._source, stored.key)), new=True)

    def _volumes(self) -> Iterator[Volume]:
        return (volume for part in self._backup.parts for volume in part.volumes)

    def _is_there(self, volume: Volume) -> bool:
        """Whether an object is there and whole, by all of its bytes."""
        if not self._has_size(volume):
            return False
        try:
            with self._to.open(self._prefix + volume.name) as reader:
                hashed = Hashed(reader)
                drain(hashed)
        except ObjectMissing:
            return False
        return hashed.sha256 == volume.sha256

    def _has_size(self, volume: Volume) -> bool:
        """Whether an object is there, with as many bytes as it should have."""
        try:
            return self._to.stat(self._prefix + volume.name).bytes == volume.bytes
        except ObjectMissing:
            return False

    def _count_found(self, volume: Volume) -> None:
        self.found += volume.bytes
        self._tell(volume.bytes)

    def _tell(self, size: int) -> None:
        self._progress(0, size)


def _content(store: Store, key: str) -> bytes:
    with store.open(key) as reader:
        return read_exactly(reader, MANIFEST_LIMIT)
