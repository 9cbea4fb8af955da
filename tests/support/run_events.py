"""Ends of runs, as they are told."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid4

from backup.domain.events import FAILURES, EventType, RunEvent

RUN = UUID("5f0c6a52-6a0e-4d62-9a42-0d3f5d0f0f01")
TIME = datetime(2026, 11, 22, 8, 0, 7, 250_000, tzinfo=UTC)
ERROR = {"code": "dump_failed", "message": "pg_dump broke off", "exit_code": 5}
BACKUP = {"id": "20261122T080000Z", "stored_bytes": 1234, "raw_bytes": 5678, "rows": 3000, "tables": 2, "seconds": 7.25}


def an_event(type_: EventType = "backup.succeeded", *, text: str = "shop: it went as it went") -> RunEvent:
    """One of this type; of a failure with its error."""
    failed = type_ in FAILURES
    facts = {} if failed else {"store": "/backups", "backup": BACKUP}
    return RunEvent(
        id=f"msg_{uuid4().hex}",
        type=type_,
        time=TIME,
        run=RUN,
        target="shop",
        text=text,
        facts=facts,
        error=ERROR if failed else None,
    )
