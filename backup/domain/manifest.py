"""The manifest: what a backup says of itself, and the commit marker of its store. Pure.

Format version 1. Readers ignore keys they do not know and refuse a newer major version. It holds no
credentials and no names of tables.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from backup.domain.counts import RowCounts
from backup.domain.documents import read_document
from backup.domain.ids import BackupId
from backup.domain.proof import Totals
from backup.errors import IntegrityFailed

FORMAT = 1
MANIFEST_NAME = "manifest.json"
MANIFEST_LIMIT = 64 << 20
"""Bytes that a reader takes; one volume needs about 150."""

Compression = Literal["zstd", "none"]
Encryption = Literal["age"]
Purpose = Literal["backup", "safety"]

ObjectName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
"""Of something beside the manifest; leads nowhere else, whoever wrote it."""

Size = Annotated[int, Field(ge=0)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Version = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)*$")]


class Status(StrEnum):
    """How whole a stored backup is; proven or not is another matter."""

    COMPLETE = "complete"
    SUSPECT = "suspect"
    DEGRADED = "degraded"


class Role(StrEnum):
    """What a part is for."""

    DUMP = "dump"
    SCHEMA = "schema"
    DATA = "data"
    GLOBALS = "globals"
    PROOF = "proof"


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """One object of a part. `bytes` and `sha256` (hex) are of the object as stored."""

    name: ObjectName
    bytes: Size
    sha256: Sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One stored stream; its volumes in order, put end to end, are the stream.

    `seconds` went by in each stage of its way, as far as that is known; see domain/stages.py.
    """

    name: ObjectName
    role: Role
    volumes: tuple[Volume, ...]
    raw_bytes: Size
    compression: Compression = "none"
    encryption: Encryption | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def stored_bytes(self) -> int:
        """Bytes in the store."""
        return sum(volume.bytes for volume in self.volumes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """The program that wrote the dump, for example pg_dump 18.6."""

    engine: Literal["pgdump", "rows"]
    name: str
    version: Version

    @property
    def major(self) -> int:
        """The major version."""
        return int(self.version.split(".", 1)[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """What was backed up. `bytes` is its size on the server's disk; `server_version` as in `18.6`."""

    name: str
    bytes: Size
    server_version: Version
    encoding: str = "UTF8"
    standby: bool = False

    @property
    def server_major(self) -> int:
        """The server's major version."""
        return int(self.server_version.split(".", 1)[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotMark:
    """The instant whose state the backup holds, and the write-ahead log position there."""

    time: datetime
    lsn: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A finished backup.

    Attributes:
        purpose: `safety` for one that was taken of what a restore was about to overwrite: only its id means it.
        filtered: a filter left things out.
        nth: how many complete backups of the target there have been with it, those deleted since too, as far as known.
        proof: what is known of the snapshot, in figures; None where nothing is.
        recipients: public keys of age whose identities open its parts; empty where these are not encrypted.
        counts: of large tables, by names that only the database itself can tell; where the proof is encrypted.
        seconds: durations by phase.
        warnings: what the run's log told warnings of, without names of tables.
    """

    format: int = FORMAT
    id: str
    target: str
    status: Status
    tool: Tool
    database: Database
    snapshot: SnapshotMark
    started: datetime
    finished: datetime
    parts: tuple[Part, ...]
    pgproof: str
    purpose: Purpose = "backup"
    filtered: bool = False
    nth: Annotated[int, Field(ge=1)] = 1
    proof: Totals | None = None
    recipients: tuple[str, ...] = ()
    counts: RowCounts | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def age(self) -> BackupId:
        """By which backups are older and newer; of one whose id is none, by when it started."""
        return BackupId.parse(self.id) or BackupId.at(self.started)

    @property
    def standing(self) -> str:
        """Its status in words for people, with what else sets it apart."""
        apart = [self.purpose] * (self.purpose != "backup") + ["filtered"] * self.filtered
        return ", ".join([self.status.value, *apart])

    @property
    def raw_bytes(self) -> int:
        """Bytes that the engine made, before compression."""
        return sum(part.raw_bytes for part in self.parts)

    @property
    def stored_bytes(self) -> int:
        """Bytes in the store, the manifest not counted."""
        return sum(part.stored_bytes for part in self.parts)

    @property
    def duration(self) -> float:
        """Seconds from start to finish."""
        return (self.finished - self.started).total_seconds()

    @property
    def leading(self) -> Part:
        """What a restore reads first: the dump's lane 0, or the schema that the rows engine has kept.

        Raises IntegrityFailed where there is none.
        """
        role = Role.SCHEMA if self.tool.engine == "rows" else Role.DUMP
        parts = self.parts_of(role)
        if not parts:
            raise IntegrityFailed(f"backup {self.id} has no {role.value} part", hint="use a newer pgproof")
        return parts[0]

    @property
    def lanes(self) -> tuple[Part, ...]:
        """The dump's other lanes, archives with rows of tables that lane 0 has without them."""
        return self.parts_of(Role.DUMP)[1:]

    def parts_of(self, role: Role) -> tuple[Part, ...]:
        """The parts of one role, in order."""
        return tuple(part for part in self.parts if part.role is role)

    def to_json(self) -> bytes:
        """The manifest as it is stored: UTF-8, indented, keys in the order of this class."""
        return _ADAPTER.dump_json(self, indent=2) + b"\n"

    @classmethod
    def from_json(cls, data: bytes, *, where: str) -> Manifest:
        """Read what `to_json` wrote, by this version of pgproof or another of the same major format.

        Args:
            data: the bytes of a manifest.
            where: its key, for the message.

        Raises:
            IntegrityFailed: it is damaged, or of a newer format.
        """
        return read_document(data, _ADAPTER, newest=FORMAT, what=f"the manifest {where}")


_ADAPTER = TypeAdapter(Manifest)
