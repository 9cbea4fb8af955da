"""`pgproof list`: show the backups of a store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

import click

from backup.bootstrap import now
from backup.cli.drills import figures, told_drill
from backup.cli.options import Invocation, command, option
from backup.cli.output import Table
from backup.cli.places import places
from backup.cli.targets import named_target
from backup.domain.sizes import show_seconds, show_size
from backup.errors import Interrupted, NotFound, PgproofError
from backup.failures import describe
from backup.logs import log
from backup.ports import Store
from backup.workflow.catalog import Catalog
from backup.workflow.listing import Listing, summary

_COLUMNS = ("id", "target", "status", "proven", "snapshot", "server", "dumped", "stored", "took")


@command("list")
@option("--all", "every_target", is_flag=True, envvar="PGPROOF_LIST_ALL", help="Of every target in the store.")
@option(
    "--limit",
    type=click.IntRange(min=0),
    default=1000,
    show_default=True,
    metavar="NUMBER",
    envvar="PGPROOF_LIST_LIMIT",
    help="So many of the newest of each target; 0 for all.",
)
def list_backups(invocation: Invocation, *, every_target: bool, limit: int) -> None:
    """Show the backups of a target, the newest first; without a target, of all that the stores hold."""
    found: list[tuple[Store, list[Listing]]] = []
    views: list[str | Table] = []
    failures: list[PgproofError] = []
    several = len(invocation.stores) > 1
    for place in places(invocation):
        store = place.store
        try:
            listings = _listings(invocation, store, every_target=every_target, limit=limit)
        except Interrupted:
            raise
        except PgproofError as error:
            if not several:
                raise
            tell = log.info if isinstance(error, NotFound) else log.error
            tell("not listed", store=store.url, reason=error.message, detail=error.detail)
            failures.append(error)
            continue
        found.append((store, listings))
        views += [f"{store.url}:"] * several + [backups_table(listings, now())]
        if older := sum(listing.older for listing in listings):
            views.append(f"{older:,} older not shown: --limit 0 shows all")
    real = [error for error in failures if not isinstance(error, NotFound)] or failures[:1] * (not found)
    result: dict[str, object] = {
        "store": ", ".join(store.url for store, _ in found),
        "backups": [each for store, listings in found for each in _backups(store, listings)],
        "unreadable": [each for store, listings in found for each in _unreadable(store, listings)],
        "older": sum(listing.older for _, listings in found for listing in listings),
        "failed_runs": [each for store, listings in found for each in _failed_runs(store, listings)],
        "failures": [describe(error) for error in real],
    }
    if not (real and invocation.json):
        invocation.emit(result, views)
    if real:
        real[0].result = result
        raise real[0]


def _listings(invocation: Invocation, store: Store, *, every_target: bool, limit: int) -> list[Listing]:
    """What a store has of the targets that are meant. Raises NotFound where that is nothing."""
    catalog = Catalog(store)
    target = None if every_target else named_target(invocation)
    listings = [catalog.listing(target, limit=limit)] if target else catalog.listings(limit=limit)
    for listing in listings:
        for backup_id, error in listing.unreadable:
            log.warning(
                "this backup cannot be used",
                id=backup_id,
                target=listing.target,
                reason=error.message,
                detail=error.detail,
            )
        if listing.failed:
            log.warning(
                "the newest run failed",
                id=str(listing.failed[0]),
                target=listing.target,
                reason=listing.failed[1].text,
            )
    if not any(listing.backups or listing.unreadable for listing in listings):
        of_target = f" of {target}" if target else ""
        raise NotFound(f"no backup{of_target} in {store.url}", hint="pgproof backup makes one")
    return listings


def _backups(store: Store, listings: Sequence[Listing]) -> Iterator[dict[str, object]]:
    """For programs."""
    for listing in listings:
        for backup in reversed(listing.backups):
            drill = listing.last_drill(backup)
            yield {
                **summary(backup),
                "store": store.url,
                "accepted": backup.id in listing.accepted,
                "held": backup.id in listing.held,
                "drill": drill and figures(drill),
            }


def _unreadable(store: Store, listings: Sequence[Listing]) -> Iterator[dict[str, object]]:
    """For programs."""
    for listing in listings:
        for backup_id, error in listing.unreadable:
            yield {"id": backup_id, "target": listing.target, "store": store.url, "error": error.message}


def _failed_runs(store: Store, listings: Sequence[Listing]) -> Iterator[dict[str, object]]:
    """For programs: of each target the newest run, where that has failed."""
    for listing in listings:
        if listing.failed:
            run, mark = listing.failed
            yield {"id": str(run), "target": listing.target, "store": store.url, "reason": mark.text}


def backups_table(listings: Sequence[Listing], moment: datetime) -> Table:
    """Backups and their last drills as people see them at a moment, one a row."""
    rows = [
        (
            backup.id,
            backup.target,
            listing.standing(backup),
            told_drill(listing.last_drill(backup), moment),
            backup.snapshot.time,
            backup.database.server_version,
            show_size(backup.raw_bytes),
            show_size(backup.stored_bytes),
            show_seconds(backup.duration),
        )
        for listing in listings
        for backup in reversed(listing.backups)
    ]
    return Table(columns=_COLUMNS, rows=rows, right={"dumped", "stored", "took"})
