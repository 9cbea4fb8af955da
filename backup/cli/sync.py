"""`pgproof sync`: bring chosen rows into a second database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from backup.bootstrap import make_sync, open_rows
from backup.cli.announcing import announced
from backup.cli.options import Invocation, command, option, setting_option
from backup.cli.output import Table, View
from backup.domain.row_sync import SyncedTable
from backup.errors import UsageError

_COUNTED = ("read", "inserted", "updated", "unchanged", "deleted")
"""The figures of a table."""


@command("sync")
@setting_option("rows.only", "--table", text="Only these tables: names or patterns, separated by commas.")
@setting_option("sync.delete", "--delete")
@option(
    "--delete-all",
    "delete_all",
    is_flag=True,
    envvar="PGPROOF_SYNC_DELETE_ALL",
    help="With --delete: even where that is more than half of a table.",
)
def sync(invocation: Invocation, *, delete_all: bool) -> None:
    """Bring chosen rows into a second PostgreSQL database, PGPROOF_SYNC_URL: insert what is new, update what differs.

    All tables as they are in one moment, in one transaction there: a sync that is cut has changed nothing. Tables and
    columns that are missing there are made. Nothing is deleted there without --delete. Columns that look like secrets
    stay out, as from an export.
    """
    settings = invocation.settings
    if delete_all and not settings.sync.delete:
        raise UsageError("--delete-all goes with --delete, and says nothing without", hint="give both, or neither")
    with announced(invocation, "sync") as announcement:
        second = make_sync(settings)
        with second.reserved() as target, open_rows(settings) as rows:
            done = second.run(rows, target, delete=settings.sync.delete, delete_all=delete_all)
        to = str(second.address)
        announcement.text = f"{to} is up to date: {told_sync(done, rows.moment)}"
        announcement.facts["sync"] = {"to": to, "snapshot": rows.moment, **_figures(done)}
    result = {
        "from": rows.database.name,
        "to": to,
        "timestamp": rows.moment,
        "changed": _changed(done),
        "tables": done,
        "left_out": rows.left_out,
        "asked_for": rows.asked_for,
    }
    invocation.emit(result, sync_view(done, rows.moment))


def sync_view(done: Sequence[SyncedTable], moment: datetime) -> View:
    """What came of each table, and of all of them."""
    rows = [(each.table, *(f"{getattr(each, name):,}" for name in _COUNTED)) for each in done]
    return [Table(columns=("table", *_COUNTED), rows=rows, right=set(_COUNTED)), told_sync(done, moment)]


def told_sync(done: Sequence[SyncedTable], moment: datetime) -> str:
    """The same in one line."""
    total = _figures(done)
    rows = ", ".join(f"{total[name]:,} {name}" for name in ("inserted", "updated", "deleted") if total[name])
    return f"{rows or 'nothing has changed'}, as of {moment:%Y-%m-%d %H:%M:%SZ}"


def _changed(done: Sequence[SyncedTable]) -> bool:
    return any(each.inserted or each.updated or each.deleted for each in done)


def _figures(done: Sequence[SyncedTable]) -> dict[str, int]:
    """Of all tables together, without names: it goes out into the world."""
    return {"tables": len(done), **{name: sum(getattr(each, name) for each in done) for name in _COUNTED}}
