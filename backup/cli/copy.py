"""`pgproof copy`: copy backups into another store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import click

from backup.bootstrap import make_store, now
from backup.cli.options import Invocation, command, option
from backup.cli.output import Table
from backup.cli.progress import progress
from backup.cli.targets import stored_target
from backup.domain.ids import BackupId, parse_reference
from backup.domain.manifest import Manifest
from backup.domain.periods import parse_period
from backup.domain.rules import Rules
from backup.domain.sizes import show_size
from backup.errors import NotFound, UsageError
from backup.logs import log
from backup.ports import Store
from backup.settings import StoreSettings
from backup.settings.kinds import looks_like_url
from backup.workflow.catalog import Catalog
from backup.workflow.copy import Copied
from backup.workflow.copy import copy as copy_backup
from backup.workflow.marking import hold as hold_backup
from backup.workflow.prune import prune


@command("copy")
@click.argument("backup", metavar="BACKUP", required=False)
@option("--to", metavar="NAME|URL", envvar="PGPROOF_COPY_TO", help="The store that shall have it too.")
@option(
    "--older-than",
    metavar="PERIOD",
    envvar="PGPROOF_COPY_OLDER_THAN",
    help="Instead of BACKUP: all that are older than 30d, 12h or 2w.",
)
@option("--hold", "hold", is_flag=True, envvar="PGPROOF_COPY_HOLD", help="Hold it there, whatever retention says.")
def copy(invocation: Invocation, *, backup: str | None, to: str | None, older_than: str | None, hold: bool) -> None:
    """Copy a backup, or all that are older than some time, into another store, byte for byte.

    Each object is hashed on its way. One that was interrupted is taken up again: what is there and whole is left as it
    is. Nothing is deleted where it came from; that is up to prune. BACKUP is an id, `latest`, `latest-proven`, or a
    time. Where there are more stores than two, --store says from which one.
    """
    if (backup is None) == (older_than is None):
        raise UsageError("give either BACKUP or --older-than")
    if to is None:
        raise UsageError("where to? give --to", hint=_known(invocation))
    destination = _destination(invocation, to)
    settings = _source(invocation, destination)
    source = make_store(settings)
    target = stored_target(invocation, source)
    catalog = Catalog(source)
    if backup is not None:
        chosen: Sequence[Manifest] = [catalog.find(target, parse_reference(backup))]
    else:
        chosen = _older(catalog, target, now() - parse_period(older_than or ""))
    rules = invocation.settings.rules(destination)
    other = make_store(destination, keep=rules.keep_within)
    total = sum(each.stored_bytes for each in chosen)
    copied: list[Copied] = []
    with progress("copy", total=total, counts="stored") as tell:
        for each in chosen:
            try:
                copied.append(copy_backup(each, source, other, clock=now, progress=tell))
            except NotFound as error:
                if backup is not None:
                    raise
                log.info("passed over", id=each.id, reason=error.message)
            else:
                if hold:
                    hold_backup(each, other, reason=f"copied from {source.url}", clock=now)
    _warn_of_short_lives(copied, other, rules)
    invocation.emit(
        {"source": source.url, "store": other.url, "copied": [_figures(each) for each in copied]}, _table(copied)
    )


def _warn_of_short_lives(copied: Sequence[Copied], other: Store, rules: Rules) -> None:
    """Say it where the retention of the other store would not keep what was copied: its next prune would delete it."""
    if not copied:
        return
    plan = prune(copied[0].backup.target, other, rules, clock=now, dry_run=True).plan
    short = [str(run.id) for run in plan.deleted if str(run.id) in {each.backup.id for each in copied}]
    if short:
        log.warning(
            "the retention of that store does not keep what was copied: hold it (--hold), or set another one there",
            store=other.url,
            retention=rules.text,
            ids=", ".join(short[:5]) + (f" and {len(short) - 5} more" if len(short) > 5 else ""),  # noqa: PLR2004 -- as shown
        )


def _destination(invocation: Invocation, to: str) -> StoreSettings:
    """The store that is meant: one of the settings, or any other, with the keys of the environment."""
    settings = invocation.settings
    for name, store in settings.stores.items():
        if to in {name, store.url}:
            return store
    if looks_like_url(to):
        return invocation.other_store(to)
    raise UsageError(f"there is no store {to!r}", hint=_known(invocation))


def _source(invocation: Invocation, destination: StoreSettings) -> StoreSettings:
    """The store that it comes from: the one that was chosen, or the only other one."""
    others = [store for store in invocation.stores if store.place != destination.place]
    if len(others) == 1:
        return others[0]
    if not others:
        raise UsageError("a backup is not copied into the store that it is in", hint=_known(invocation))
    raise UsageError(
        "there are several stores to copy from", hint=f"choose one with --store: {', '.join(s.url for s in others)}"
    )


def _known(invocation: Invocation) -> str:
    stores = ", ".join(f"{name} ({store.url})" for name, store in invocation.settings.stores.items())
    return f"the stores are {stores or 'none'}; PGPROOF_STORE takes several, separated by commas"


def _older(catalog: Catalog, target: str, moment: datetime) -> list[Manifest]:
    """The backups that are older, the oldest first."""
    listing = catalog.listing(target)
    for backup_id, error in listing.unreadable:
        log.warning("this backup cannot be copied", id=backup_id, reason=error.message)
    found = [each for each in listing.backups if (parsed := BackupId.parse(each.id)) and parsed.started < moment]
    if not found:
        raise NotFound(
            f"no backup of {target} in {catalog.store.url} is older than {moment:%Y-%m-%d %H:%M:%SZ}",
            hint="pgproof list shows what there is",
        )
    return found


def _figures(copied: Copied) -> dict[str, object]:
    return {"id": copied.backup.id, "sent_bytes": copied.sent, "found_bytes": copied.found}


def _table(copied: Sequence[Copied]) -> Table:
    rows = [
        (each.backup.id, each.backup.target, each.store, show_size(each.sent), show_size(each.found)) for each in copied
    ]
    return Table(
        columns=("id", "target", "store", "copied", "there already"), rows=rows, right={"copied", "there already"}
    )
