"""`pgproof sync`: bring chosen rows into a second database."""

from __future__ import annotations

from backup.bootstrap import make_sync, open_rows
from backup.cli.options import Invocation, command, option, setting_option
from backup.cli.output import Table
from backup.domain.row_sync import SyncedTable


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
    second = make_sync(settings)
    with open_rows(settings) as rows:
        done = second.run(rows, delete=settings.sync.delete, delete_all=delete_all)
        result = {
            "from": rows.database.name,
            "to": str(second.address),
            "timestamp": rows.moment,
            "changed": any(_changed(each) for each in done),
            "tables": done,
            "left_out": rows.left_out,
            "asked_for": rows.asked_for,
        }
    said = "changed" if result["changed"] else "nothing has changed"
    invocation.emit(result, [_table(done), f"{said}, as of {result['timestamp']:%Y-%m-%d %H:%M:%SZ}"])


def _changed(table: SyncedTable) -> bool:
    return bool(table.inserted or table.updated or table.deleted)


def _table(done: tuple[SyncedTable, ...]) -> Table:
    figures = ("read", "inserted", "updated", "unchanged", "deleted")
    rows = [(each.table, *(getattr(each, name) for name in figures)) for each in done]
    return Table(columns=("table", *figures), rows=rows, right=set(figures))
