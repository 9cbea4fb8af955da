"""`pgproof list`: show the backups of a store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from backup.bootstrap import make_store, now
from backup.cli.drills import figures, told_drill
from backup.cli.options import Invocation, command, option
from backup.cli.output import Table
from backup.cli.targets import named_target
from backup.domain.drill import Drill
from backup.domain.manifest import Manifest
from backup.domain.sizes import show_seconds, show_size
from backup.errors import NotFound
from backup.logs import log
from backup.workflow.back_up import summary
from backup.workflow.catalog import Catalog

_COLUMNS = ("id", "target", "status", "proven", "snapshot", "server", "dumped", "stored", "took")


@command("list")
@option("--all", "every_target", is_flag=True, envvar="PGPROOF_LIST_ALL", help="Of every target in the store.")
def list_backups(invocation: Invocation, *, every_target: bool) -> None:
    """Show the backups of a target, the newest first; without a target, of all that the store holds."""
    store = make_store(invocation.store)
    catalog = Catalog(store)
    target = None if every_target else named_target(invocation)
    listings = [catalog.listing(name) for name in ([target] if target else catalog.targets())]
    backups = [(backup, listing.last_drill(backup)) for listing in listings for backup in reversed(listing.backups)]
    broken = [problem for listing in listings for problem in listing.unreadable]
    for backup_id, error in broken:
        log.warning("this backup cannot be used", id=backup_id, reason=error.message, detail=error.detail)
    if not backups and not broken:
        of_target = f" of {target}" if target else ""
        raise NotFound(f"no backup{of_target} in {store.url}", hint="pgproof backup makes one")
    unreadable = [{"id": backup_id, "error": error.message} for backup_id, error in broken]
    invocation.emit(
        {
            "store": store.url,
            "backups": [{**summary(backup), "drill": drill and figures(drill)} for backup, drill in backups],
            "unreadable": unreadable,
        },
        backups_table(backups, now()),
    )


def backups_table(backups: Sequence[tuple[Manifest, Drill | None]], moment: datetime) -> Table:
    """Backups and their last drills as people see them at a moment, one a row."""
    rows = [
        (
            backup.id,
            backup.target,
            backup.standing,
            told_drill(drill, moment),
            backup.snapshot.time,
            backup.database.server_version,
            show_size(backup.raw_bytes),
            show_size(backup.stored_bytes),
            show_seconds(backup.duration),
        )
        for backup, drill in backups
    ]
    return Table(columns=_COLUMNS, rows=rows, right={"dumped", "stored", "took"})
