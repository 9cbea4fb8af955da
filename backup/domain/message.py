"""How an event is put into words for chat and mail: a subject and a few lines. Pure.

Owns what stands in them and in which order: what happened, then figures, then what to do, then the log's end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from backup.domain.events import EventType, RunEvent
from backup.domain.sizes import show_age, show_seconds, show_size

_TOLD: Mapping[EventType, str] = {
    "backup.started": "backup started",
    "backup.succeeded": "backed up",
    "backup.incomplete": "backed up, but not all is well",
    "backup.suspect": "the backup is SUSPECT",
    "backup.degraded": "the backup is DEGRADED",
    "backup.failed": "the backup FAILED",
    "backup.missed": "a backup is MISSING",
    "prune.failed": "old backups could NOT be deleted",
    "restore.finished": "restored",
    "restore.failed": "the restore FAILED",
    "drill.proven": "the backup is proven",
    "drill.failed": "the backup is NOT proven",
    "sync.succeeded": "the second database is up to date",
    "sync.failed": "the sync FAILED",
    "notify.test": "this is a test",
}


def subject(event: RunEvent) -> str:
    """In a few words, what happened to which target."""
    return f"{event.target or 'pgproof'}: {_TOLD[event.type]}"


def body(event: RunEvent, *, most: int | None = None) -> str:
    """All that a person wants to know of it, without having to look anywhere else.

    Args:
        event: what happened.
        most: letters that it may have. What does not fit goes line by line: of the log the oldest.
    """
    lines, log = list(_lines(event)), list(event.log)
    while True:
        text = "\n".join([*lines, *(["", "The end of the log:", *log] if log else [])])
        if most is None or len(text) <= most:
            return text
        if log:
            del log[0]
        else:
            return text[: max(most - 2, 0)] + " …"


def _lines(event: RunEvent) -> Iterator[str]:
    error = event.error or {}
    yield event.text
    yield from (f"  {line}" for line in str(error.get("detail") or "").splitlines())
    yield ""
    for name, value in _figures(event):
        yield f"{name}: {value}"
    if hint := error.get("hint"):
        yield ""
        yield f"What to do: {hint}"


def _figures(event: RunEvent) -> Iterator[tuple[str, str]]:
    facts = event.facts
    backup: Mapping[str, Any] = facts.get("backup") or {}
    if backup:
        yield "backup", str(backup["id"])
        yield "size", f"{show_size(backup['stored_bytes'])} stored, {show_size(backup['raw_bytes'])} dumped"
        if backup.get("rows") is not None:
            yield "rows", f"{backup['rows']:,} in {backup['tables']:,} tables"
        yield "took", show_seconds(backup["seconds"])
    drill: Mapping[str, Any] = facts.get("drill") or {}
    if drill.get("restore_seconds"):
        yield "restores in", show_seconds(drill["restore_seconds"])
    sync: Mapping[str, Any] = facts.get("sync") or {}
    if sync:
        yield "second database", str(sync["to"])
        counted = ", ".join(f"{sync[name]:,} {name}" for name in ("inserted", "updated", "deleted"))
        yield "rows", f"{counted} in {sync['tables']:,} tables"
    if facts.get("store"):
        yield "store", str(facts["store"])
    if "proven" in facts:
        proven = facts["proven"]
        yield (
            "last proven backup",
            f"{proven['id']}, {show_age(timedelta(seconds=proven['age_seconds']))} old"
            if proven
            else "none; pgproof drill latest proves one",
        )
    yield "when and where", f"{event.time:%Y-%m-%d %H:%M:%S} UTC, {facts.get('host', 'unknown host')}"
