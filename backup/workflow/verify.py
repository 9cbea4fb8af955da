"""Verify a backup without a server: every byte read again, hashed, decoded, and the archive read to its end."""

from __future__ import annotations

import time
from dataclasses import dataclass

from backup.domain.manifest import MANIFEST_NAME, Manifest, Part, Role
from backup.errors import IntegrityFailed, NotFound, ObjectMissing
from backup.logs import log
from backup.ports import Restorer, Store
from backup.stream.age import NO_KEYS, Keyring
from backup.stream.readers import ByteReader, Counted, drain
from backup.stream.volumes import Progress, no_progress
from backup.workflow.catalog import Catalog


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A backup that is what it was when it was written.

    Attributes:
        opened: its content was read too; False for an encrypted one where there is no key, of which all that is stored
            was held against its hashes.
    """

    id: str
    target: str
    opened: bool
    objects: int
    stored_bytes: int
    raw_bytes: int
    seconds: float


def verify(
    backup: Manifest,
    store: Store,
    restorer: Restorer,
    *,
    keys: Keyring | None = None,
    progress: Progress = no_progress,
) -> Verified:
    """Given a backup, read all of it; without keys an encrypted one is read, but not opened.

    Raises:
        ConfigurationError: no key opens it.
        NotFound: it was deleted meanwhile.
        IntegrityFailed: an object is missing, or not what was written, or the archive does not read to its end.
        StoreUnreachable, AccessDenied: the store did not let us read.
        ConfigurationError: no pg_restore that reads this archive is installed.
    """
    begun = time.monotonic()
    log.debug("verifying", id=backup.id, leading=backup.leading.name)
    opened = keys is not None or not backup.recipients
    reading = _Reading(backup, Catalog(store, keys or NO_KEYS), restorer, progress)
    if opened:
        reading.catalog.require_key(backup)
    try:
        for part in backup.parts:
            reading.verify(part, opened=opened)
    except IntegrityFailed as error:
        _refuse_deleted(backup, store, error)
        raise
    return Verified(
        id=backup.id,
        target=backup.target,
        opened=opened,
        objects=sum(len(part.volumes) for part in backup.parts),
        stored_bytes=backup.stored_bytes,
        raw_bytes=backup.raw_bytes,
        seconds=round(time.monotonic() - begun, 3),
    )


def _refuse_deleted(backup: Manifest, store: Store, error: IntegrityFailed) -> None:
    """A backup that retention has deleted since it was found is not damaged."""
    try:
        store.stat(f"{backup.target}/{backup.id}/{MANIFEST_NAME}")
    except ObjectMissing:
        raise NotFound(f"{backup.id} was deleted from {store.url} while it was read") from error


@dataclass(frozen=True, slots=True)
class _Reading:
    """How the parts of a backup are read."""

    backup: Manifest
    catalog: Catalog
    restorer: Restorer
    progress: Progress

    def verify(self, part: Part, *, opened: bool) -> None:
        begun = time.monotonic()
        with self.catalog.open_part(self.backup, part) as stored:
            counted = Counted(stored, lambda size: self.progress(0, size))
            if opened:
                self._open(part, counted)
            drain(counted)
        seconds = round(time.monotonic() - begun, 3)
        log.debug("part verified", name=part.name, volumes=len(part.volumes), raw_bytes=part.raw_bytes, seconds=seconds)

    def _open(self, part: Part, stored: ByteReader) -> None:
        with self.catalog.decoded(part, stored) as content:
            if part.role is Role.DUMP:
                self.restorer.read_through(self.backup, content)
            drain(content)
