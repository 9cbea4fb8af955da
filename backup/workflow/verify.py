"""Verify a backup without a server: every byte read again, hashed, decoded, and the archive read to its end."""

from __future__ import annotations

import time
from dataclasses import dataclass

from backup.domain.manifest import MANIFEST_NAME, Manifest, Part, Role
from backup.errors import IntegrityFailed, NotFound, ObjectMissing
from backup.logs import log
from backup.ports import Restorer, Store
from backup.stream.readers import Counted, drain
from backup.stream.volumes import Progress, no_progress
from backup.workflow.catalog import Catalog, decode_part, dump_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A backup that is what it was when it was written."""

    id: str
    target: str
    objects: int
    stored_bytes: int
    raw_bytes: int
    seconds: float


def verify(backup: Manifest, store: Store, restorer: Restorer, *, progress: Progress = no_progress) -> Verified:
    """Given a backup, read all of it.

    Raises:
        NotFound: it was deleted meanwhile.
        IntegrityFailed: an object is missing, or not what was written, or the archive does not read to its end.
        StoreUnreachable, AccessDenied: the store did not let us read.
        ConfigurationError: no pg_restore that reads this archive is installed.
    """
    begun = time.monotonic()
    dump_of(backup)
    try:
        for part in backup.parts:
            _verify_part(backup, part, store, restorer, progress)
    except IntegrityFailed as error:
        _refuse_deleted(backup, store, error)
        raise
    return Verified(
        id=backup.id,
        target=backup.target,
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


def _verify_part(backup: Manifest, part: Part, store: Store, restorer: Restorer, progress: Progress) -> None:
    begun = time.monotonic()
    with Catalog(store).open_part(backup, part) as stored:
        content = decode_part(part, Counted(stored, lambda size: progress(0, size)))
        if part.role is Role.DUMP:
            restorer.read_through(backup, content)
        drain(content)
        drain(stored)
    seconds = round(time.monotonic() - begun, 3)
    log.debug("part verified", name=part.name, volumes=len(part.volumes), raw_bytes=part.raw_bytes, seconds=seconds)
