"""Manifests and small backups for tests of what only reads them."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from backup.domain.ids import BackupId
from backup.domain.manifest import (
    MANIFEST_NAME,
    Database,
    Manifest,
    Part,
    Role,
    SnapshotMark,
    Status,
    Tool,
    Volume,
)
from backup.ports import Store
from backup.stream.readers import BytesReader

START = datetime(2026, 1, 1, tzinfo=UTC)


def a_manifest(
    moment: datetime = START, *, number: int = 1, target: str = "shop", name: str = "shop", content: bytes = b"x" * 30
) -> Manifest:
    """The manifest of a backup whose only part is one object with `content`."""
    volume = Volume(name="dump.pgc.000", bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    return Manifest(
        id=str(BackupId.at(moment, number)),
        target=target,
        status=Status.COMPLETE,
        tool=Tool(engine="pgdump", name="pg_dump", version="18.6"),
        database=Database(name=name, bytes=1000, server_version="15.2"),
        snapshot=SnapshotMark(time=moment, lsn="0/0"),
        started=moment,
        finished=moment,
        parts=(Part(name="dump.pgc", role=Role.DUMP, volumes=(volume,), raw_bytes=len(content)),),
        pgproof="0.1.0",
    )


def stored(store: Store, manifest: Manifest, content: bytes = b"x" * 30) -> Manifest:
    """The same, put into a store."""
    prefix = f"{manifest.target}/{manifest.id}/"
    store.put(f"{prefix}dump.pgc.000", BytesReader(content))
    store.put(prefix + MANIFEST_NAME, BytesReader(manifest.to_json()))
    return manifest
