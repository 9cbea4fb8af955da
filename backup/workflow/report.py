"""Report: what a store says of its backups over a period. Reads only the store, and writes nothing into it."""

from __future__ import annotations

from datetime import datetime, timedelta

from backup import __version__
from backup.domain.report import Report, make_report
from backup.errors import NotFound
from backup.logs import log, redact
from backup.ports import Store
from backup.workflow.catalog import Catalog


def report_on(store: Store, target: str, *, since: datetime, now: datetime, every: timedelta | None = None) -> Report:
    """Given a target, look at everything that the store has of it.

    Raises:
        NotFound: it has nothing, whenever that may have been.
        PgproofError: the store cannot be read.
    """
    listing = Catalog(store).listing(target)
    if not listing.backups and not listing.unreadable:
        raise NotFound(f"no backup of {target} in {store.url}", hint="pgproof backup makes one")
    for name, error in listing.unreadable:
        log.warning("this backup cannot be used", id=name, reason=error.message, detail=error.detail)
    return make_report(
        store=store.url,
        target=target,
        backups=listing.backups,
        drills=listing.drills,
        unreadable=[(name, redact(error.message)) for name, error in listing.unreadable],
        since=since,
        now=now,
        every=every,
        pgproof=__version__,
    )
