"""Make a backup: preflight, snapshot, every part into the store, asked again, and then the manifest.

Owns the order of these steps. What fails before the manifest leaves no backup and, as far as the store still
answers, no object.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Any

from backup import __version__
from backup.domain.ids import BackupId
from backup.domain.manifest import MANIFEST_LIMIT, MANIFEST_NAME, Manifest, Part, Purpose, Status, Volume
from backup.errors import ConfigurationError, IntegrityFailed, ObjectMissing, PartUnavailable, PgproofError
from backup.logs import log
from backup.ports import Clock, Engine, PartSource, SnapshotT, Source, Store
from backup.signals import undisturbed
from backup.stream.readers import ByteReader, BytesReader
from backup.stream.volumes import Encoding, Progress, no_progress, write_part
from backup.workflow.claim import claimed_id
from backup.workflow.doctor import preflight


@dataclass(frozen=True, slots=True, kw_only=True)
class BackUpChoice:
    """How a backup is made, and what for; `labels` are the user's, kept in the manifest."""

    target: str
    encoding: Encoding
    purpose: Purpose = "backup"
    labels: Mapping[str, str] = field(default_factory=dict)


def back_up(
    source: Source[SnapshotT],
    engine: Engine[SnapshotT],
    store: Store,
    choice: BackUpChoice,
    *,
    clock: Clock,
    progress: Progress = no_progress,
) -> Manifest:
    """Given a source, an engine and a store, make one backup and return its manifest as committed.

    Raises:
        PgproofError: of the class that says why; then no backup is listed.
    """
    started = clock()
    begun = time.monotonic()
    warnings = list(preflight(source))
    seconds = {"checks": time.monotonic() - begun}
    with (
        source.snapshot(choice.target) as snapshot,
        claimed_id(store, choice.target, BackupId.at(started)) as backup_id,
    ):
        tool = engine.tool(snapshot.database)
        log.debug("client chosen", program=tool.name, version=tool.version, server=snapshot.database.server_version)
        log.info(
            "backup started",
            target=choice.target,
            id=str(backup_id),
            server=snapshot.database.server_version,
            client=tool.version,
            store=store.url,
        )
        upload = _Upload(store, f"{choice.target}/{backup_id}/", choice.encoding, progress)
        try:
            parts: list[Part] = []
            totals = None
            with closing(engine.parts(snapshot)) as part_sources:
                for part_source in part_sources:
                    step = time.monotonic()
                    part = upload.carry(part_source, warnings)
                    seconds[part_source.role.value] = time.monotonic() - step
                    parts += [part] if part else []
                    totals = part_source.totals() if part and part_source.totals else totals
            step = time.monotonic()
            upload.ask_again()
            seconds["confirm"] = time.monotonic() - step
            manifest = Manifest(
                id=str(backup_id),
                target=choice.target,
                status=Status.COMPLETE,
                tool=tool,
                database=snapshot.database,
                snapshot=snapshot.mark,
                started=started,
                finished=clock(),
                parts=tuple(parts),
                pgproof=__version__,
                purpose=choice.purpose,
                filtered=engine.filtered,
                proof=totals,
                seconds={phase: round(value, 3) for phase, value in seconds.items()},
                labels=dict(choice.labels),
                warnings=tuple(warnings),
            )
            upload.commit(manifest)
        except BaseException:
            upload.take_back()
            raise
    return manifest


class _Upload:
    """The objects of one run: written, asked for again, or taken back."""

    def __init__(self, store: Store, prefix: str, encoding: Encoding, progress: Progress) -> None:
        self._store = store
        self._prefix = prefix
        self._encoding = encoding
        self._progress = progress
        self._sent: dict[str, tuple[int, str] | None] = {}

    def carry(self, source: PartSource, warnings: list[str]) -> Part | None:
        """Write one part; an optional one that its source cannot give becomes a warning and None."""
        try:
            with source.open() as reader:
                written = write_part(
                    source.name, reader, put=self._put, encoding=self._encoding, progress=self._progress
                )
        except PartUnavailable as error:
            if not source.optional:
                raise
            self.take_back(source.name)
            warnings.append(f"no {source.role.value}: {error.message}")
            log.warning("left out", part=source.role.value, reason=error.message, detail=error.detail)
            return None
        return Part(
            name=source.name,
            role=source.role,
            volumes=tuple(Volume(name=v.name, bytes=v.bytes, sha256=v.sha256) for v in written.volumes),
            raw_bytes=written.raw_bytes,
            compression="zstd" if self._encoding.compression == "zstd" else "none",
        )

    def ask_again(self) -> None:
        """Ask the store for every object once more. Raises IntegrityFailed where it has another one by now."""
        for key, expected in self._sent.items():
            stored = self._store.stat(key)
            if (stored.bytes, stored.etag) != expected:
                raise IntegrityFailed(f"{key} in {self._store.url} is not what was just stored", detail=str(stored))

    def commit(self, manifest: Manifest) -> None:
        """Write the manifest: from here on the backup exists. It is never overwritten.

        Raises:
            IntegrityFailed: there is one already, another run took the same id.
            ConfigurationError: there are more volumes than a manifest can hold.
        """
        key = self._prefix + MANIFEST_NAME
        with suppress(ObjectMissing):
            self._store.stat(key)
            raise IntegrityFailed(f"{key} is in the store already", hint="another run took the same id; run it again")
        data = manifest.to_json()
        if len(data) > MANIFEST_LIMIT:
            raise ConfigurationError("the backup has too many volumes", hint="set a larger PGPROOF_VOLUME_SIZE")
        self._put(MANIFEST_NAME, BytesReader(data))

    def take_back(self, name: str = "") -> None:
        """Delete what was written, as far as the store lets us; what stays has no manifest and is no backup.

        The manifest goes first; while it may still be there, so must all that it names.
        """
        keys = [key for key in self._sent if key.startswith(self._prefix + name)]
        with undisturbed():
            for key in sorted(keys, key=lambda key: not key.endswith(MANIFEST_NAME)):
                try:
                    self._store.delete(key)
                except PgproofError as error:
                    log.warning("left behind", objects=len(keys), prefix=self._prefix, reason=error.message)
                    break
            for key in keys:
                del self._sent[key]

    def _put(self, name: str, data: ByteReader) -> int:
        key = self._prefix + name
        self._sent[key] = None
        begun = time.monotonic()
        stored = self._store.put(key, data)
        log.debug("stored", name=name, bytes=stored.bytes, seconds=round(time.monotonic() - begun, 3))
        self._sent[key] = (stored.bytes, stored.etag)
        return stored.bytes


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
        "raw_bytes": backup.raw_bytes,
        "stored_bytes": backup.stored_bytes,
        "seconds": round(backup.duration, 3),
        "filtered": backup.filtered,
        "labels": backup.labels,
        "warnings": list(backup.warnings),
    }
