"""The documents of the service, as OpenAPI describes them. Owns their form; sizes are bytes, times RFC 3339 in UTC."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from backup.domain.drill import Drill, Verdict
from backup.domain.manifest import Manifest, Status
from backup.domain.metrics import Holding, Sighting

_DRILL: JsonDict = {
    "time": "2026-11-23T04:30:00Z",
    "verdict": "proven",
    "text": "proven: every value of 12 tables, 34,567 rows",
    "restore_seconds": 3.25,
    "sample": 1.0,
}
_BACKUP: JsonDict = {
    "id": "20261122T080000Z",
    "target": "shop",
    "store": "s3://backups/prod",
    "status": "complete",
    "purpose": "backup",
    "snapshot": "2026-11-22T08:00:01Z",
    "database": "shop",
    "server_version": "18.1",
    "encrypted": True,
    "raw_bytes": 104857600,
    "stored_bytes": 20971520,
    "tables": 12,
    "rows": 34567,
    "seconds": 4.2,
    "accepted": False,
    "held": False,
    "proven": True,
    "drill": _DRILL,
}


class DrillSummary(BaseModel):
    """How a drill ended."""

    model_config = ConfigDict(json_schema_extra={"example": _DRILL})

    time: datetime
    verdict: Verdict
    text: str
    restore_seconds: float | None = Field(description="Measured time to restore.")
    sample: float = Field(description="Share of the tables whose rows were restored.")

    @classmethod
    def of(cls, drill: Drill) -> Self:
        """The same of a stored one."""
        return cls(
            time=drill.time,
            verdict=drill.verdict,
            text=drill.text,
            restore_seconds=drill.restore_seconds,
            sample=drill.sample,
        )


class BackupSummary(BaseModel):
    """A backup in one store, as `pgproof list --json` has it."""

    model_config = ConfigDict(json_schema_extra={"example": _BACKUP})

    id: str
    target: str
    store: str
    status: Status
    purpose: Literal["backup", "safety"]
    snapshot: datetime
    database: str
    server_version: str
    encrypted: bool
    raw_bytes: int
    stored_bytes: int
    tables: int | None
    rows: int | None
    seconds: float
    accepted: bool
    held: bool
    proven: bool
    drill: DrillSummary | None = Field(description="The last one.")

    @classmethod
    def of(cls, backup: Manifest, holding: Holding, store: str) -> Self:
        """The same of what a store has."""
        drill = next(reversed(holding.drills.get(backup.id, ())), None)
        return cls(
            id=backup.id,
            target=backup.target,
            store=store,
            status=backup.status,
            purpose=backup.purpose,
            snapshot=backup.snapshot.time,
            database=backup.database.name,
            server_version=backup.database.server_version,
            encrypted=bool(backup.recipients),
            raw_bytes=backup.raw_bytes,
            stored_bytes=backup.stored_bytes,
            tables=backup.proof.tables if backup.proof else None,
            rows=backup.proof.rows if backup.proof else None,
            seconds=round(backup.duration, 3),
            accepted=backup.id in holding.accepted,
            held=backup.id in holding.held,
            proven=holding.is_proven(backup),
            drill=DrillSummary.of(drill) if drill else None,
        )


class TargetState(BaseModel):
    """What a store has of a target."""

    target: str
    counts: dict[str, int] = Field(description="Backups by status.", examples=[{"complete": 24, "suspect": 0}])
    newest: str | None = Field(description="The newest complete one.")
    newest_proven: str | None
    failed: datetime | None = Field(description="Start of the newest run, where it failed.")

    @classmethod
    def of(cls, holding: Holding) -> Self:
        """The same of a holding."""
        newest, proven = holding.newest, holding.newest_proven
        return cls(
            target=holding.target,
            counts=holding.counts,
            newest=newest.id if newest else None,
            newest_proven=proven.id if proven else None,
            failed=holding.failed,
        )


class StoreState(BaseModel):
    """A store as it was seen last."""

    store: str = Field(examples=["s3://backups/prod"])
    up: bool = Field(description="Whether it can be read now.")
    read: datetime | None = Field(description="When it was read last: what is said of it is of then.")
    targets: list[TargetState]

    @classmethod
    def of(cls, sighting: Sighting) -> Self:
        """The same of a sighting."""
        return cls(
            store=sighting.store,
            up=sighting.up,
            read=sighting.read,
            targets=[TargetState.of(each) for each in sighting.holdings],
        )


class BackupPage(BaseModel):
    """Backups, the newest first."""

    backups: list[BackupSummary]
    next: str | None = Field(description="Give it as `before` for those that follow; null at the end.")
    stores: list[StoreState]


class BackupInFull(BackupSummary):
    """A backup with its manifest and all of its drills."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                **_BACKUP,
                "drills": [_DRILL],
                "manifest": {"format": 1, "id": "20261122T080000Z"},
                "stores": ["s3://backups/prod"],
                "restore": "pgproof restore 20261122T080000Z --target shop",
            }
        }
    )

    drills: list[DrillSummary] = Field(description="The oldest first.")
    manifest: dict[str, Any] = Field(description="As it is stored.")
    stores: list[str] = Field(description="All that have it, as far as they could be read.")
    restore: str = Field(description="The command that restores it, into a new database.")
