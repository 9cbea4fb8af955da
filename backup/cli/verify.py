"""`pgproof verify`: read every byte of a backup again."""

from __future__ import annotations

import click

from backup.bootstrap import make_restorer, make_store
from backup.cli.options import Invocation, command, option
from backup.cli.output import Table
from backup.cli.progress import progress
from backup.cli.targets import find_backup, stored_target
from backup.domain.manifest import Manifest
from backup.domain.sizes import show_seconds, show_size
from backup.errors import IntegrityFailed, NotFound, UsageError
from backup.logs import log
from backup.ports import Store
from backup.workflow.catalog import Catalog
from backup.workflow.verify import Verified
from backup.workflow.verify import verify as verify_backup


@command("verify")
@click.argument("backup", metavar="BACKUP", required=False)
@option("--all", "everything", is_flag=True, envvar="PGPROOF_VERIFY_ALL", help="All backups of the target.")
def verify(invocation: Invocation, *, backup: str | None, everything: bool) -> None:
    """Read every byte of a backup again, check sizes and hashes, and let pg_restore read the archive to its end.

    BACKUP is an id, `latest`, or a time. No server is needed. Exit status 7 means that something is damaged.
    """
    if (backup is None) != everything:
        raise UsageError("give either BACKUP or --all")
    found, store, problems = _chosen(invocation, backup)
    restorer = make_restorer(invocation.settings, address="")
    verified: list[Verified] = []
    total = sum(each.stored_bytes for each in found)
    with progress("verify", total=total, counts="stored") as tell:
        for each in found:
            try:
                verified.append(verify_backup(each, store, restorer, progress=tell))
            except IntegrityFailed as error:
                if not everything:
                    raise
                problems.append((each.id, error))
                log.error("damaged", id=each.id, reason=error.message, detail=error.detail)
    rows = [
        (each.id, each.target, "good", each.objects, show_size(each.stored_bytes), show_seconds(each.seconds))
        for each in verified
    ] + [(name, stored_target(invocation, store), "DAMAGED", "", "", error.message) for name, error in problems]
    invocation.emit(
        {"verified": verified, "damaged": [{"id": name, "error": error.message} for name, error in problems]},
        Table(columns=("id", "target", "verdict", "objects", "stored", "took"), rows=rows, right={"objects", "stored"}),
    )
    if problems:
        raise IntegrityFailed(
            f"{len(problems)} of {len(problems) + len(verified)} backups are damaged: "
            f"{', '.join(name for name, _ in problems)}",
            hint="restore from another backup, and look at what changes objects in the store",
        )


def _chosen(
    invocation: Invocation, reference: str | None
) -> tuple[tuple[Manifest, ...], Store, list[tuple[str, IntegrityFailed]]]:
    """The backups to verify, their store, and those whose manifest is damaged already."""
    if reference is not None:
        backup, store = find_backup(invocation, reference)
        return (backup,), store, []
    store = make_store(invocation.store)
    target = stored_target(invocation, store)
    listing = Catalog(store).listing(target)
    if not listing.backups and not listing.unreadable:
        raise NotFound(f"no backup of {target} in {store.url}", hint="pgproof backup makes one")
    return listing.backups, store, list(listing.unreadable)
