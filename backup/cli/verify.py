"""`pgproof verify`: read every byte of a backup again."""

from __future__ import annotations

from dataclasses import dataclass

import click

from backup.bootstrap import make_keys, make_restorer
from backup.cli.options import Invocation, command, option
from backup.cli.output import Table
from backup.cli.places import places
from backup.cli.progress import progress
from backup.cli.targets import find_backup, named_target
from backup.domain.manifest import Manifest
from backup.domain.sizes import show_seconds, show_size
from backup.errors import IntegrityFailed, Interrupted, NotFound, PgproofError, UsageError
from backup.logs import log, redact
from backup.ports import Restorer, Store
from backup.stream.age import Keyring
from backup.stream.volumes import Progress
from backup.workflow.catalog import Catalog
from backup.workflow.verify import Verified
from backup.workflow.verify import verify as verify_backup

_COLUMNS = ("id", "target", "verdict", "objects", "stored", "took")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failed:
    """A backup that is damaged, or could not be read."""

    id: str
    target: str
    error: PgproofError

    @property
    def verdict(self) -> str:
        return "DAMAGED" if isinstance(self.error, IntegrityFailed) else "not read"


@command("verify")
@click.argument("backup", metavar="BACKUP", required=False)
@option("--all", "everything", is_flag=True, envvar="PGPROOF_VERIFY_ALL", help="All backups of the target.")
def verify(invocation: Invocation, *, backup: str | None, everything: bool) -> None:
    """Read every byte of a backup again, check sizes and hashes, and let pg_restore read the archive to its end.

    BACKUP is an id, `latest`, or a time. With --all, every backup of the target in every store, or of all targets where
    none is named.
    No server is needed. Without an identity an encrypted backup is held against its hashes, but not opened. Exit status
    7 means that something is damaged.
    """
    if (backup is None) != everything:
        raise UsageError("give either BACKUP or --all")
    settings = invocation.settings
    restorer = make_restorer(settings, address="")
    keys = make_keys(settings) if settings.encryption.identity else None
    if backup is not None:
        found, store = find_backup(invocation, backup)
        with progress("verify", total=found.stored_bytes, counts="stored") as tell:
            _emit(invocation, [verify_backup(found, store, restorer, keys=keys, progress=tell)], [])
        return
    _verify_every_store(invocation, restorer, keys)


def _verify_every_store(invocation: Invocation, restorer: Restorer, keys: Keyring | None) -> None:
    """All backups of the target in every store; a store that does not answer is told in the end."""
    every: list[tuple[Store, Manifest]] = []
    failed: list[_Failed] = []
    missing: list[PgproofError] = []
    chosen = places(invocation)
    for place in chosen:
        try:
            backups, unreadable = _all_backups(place.store, named_target(invocation))
        except Interrupted:
            raise
        except PgproofError as error:
            if len(chosen) > 1 and not isinstance(error, NotFound):
                log.error("not verified", store=place.store.url, reason=error.message)
            missing.append(error)
        else:
            every += [(place.store, each) for each in backups]
            failed += unreadable
    if len(missing) == len(chosen):
        raise missing[0]
    with progress("verify", total=sum(each.stored_bytes for _, each in every), counts="stored") as tell:
        verified = _verify_all(every, restorer, keys, tell, failed)
    _emit(invocation, verified, failed)
    if failed:
        _end(failed, len(verified) + len(failed), json=invocation.json)
    unread = next((error for error in missing if not isinstance(error, NotFound)), None)
    if unread and invocation.json:  # which has said all
        click.get_current_context().exit(unread.status)
    if unread:
        raise unread


def _all_backups(store: Store, target: str | None) -> tuple[list[Manifest], list[_Failed]]:
    """The backups of a target or of all, and those whose manifest is damaged already."""
    catalog = Catalog(store)
    targets = [target] if target else catalog.targets()
    listings = {name: catalog.listing(name) for name in targets}
    backups = [backup for listing in listings.values() for backup in listing.backups]
    failed = [
        _Failed(id=name, target=of, error=error)
        for of, listing in listings.items()
        for name, error in listing.unreadable
    ]
    if not backups and not failed:
        of_target = f" of {target}" if target else ""
        raise NotFound(f"no backup{of_target} in {store.url}", hint="pgproof backup makes one")
    return backups, failed


def _verify_all(
    backups: list[tuple[Store, Manifest]],
    restorer: Restorer,
    keys: Keyring | None,
    tell: Progress,
    failed: list[_Failed],
) -> list[Verified]:
    """Verify each; one that fails goes to `failed`, and the others are verified all the same."""
    verified = []
    for store, each in backups:
        try:
            verified.append(verify_backup(each, store, restorer, keys=keys, progress=tell))
        except Interrupted:
            raise
        except NotFound as error:
            log.info("passed over", id=each.id, target=each.target, reason=error.message)
        except PgproofError as error:
            failed.append(_Failed(id=each.id, target=each.target, error=error))
            log.error("not verified", id=each.id, target=each.target, reason=error.message, detail=error.detail)
    return verified


def _emit(invocation: Invocation, verified: list[Verified], failed: list[_Failed]) -> None:
    rows = [
        (
            each.id,
            each.target,
            "good" if each.opened else "good, not opened",
            each.objects,
            show_size(each.stored_bytes),
            show_seconds(each.seconds),
        )
        for each in verified
    ] + [(each.id, each.target, each.verdict, "", "", redact(each.error.message)) for each in failed]
    result = {
        "verified": verified,
        "failed": [
            {"id": each.id, "target": each.target, "code": each.error.code, "message": redact(each.error.message)}
            for each in failed
        ],
    }
    invocation.emit(result, Table(columns=_COLUMNS, rows=rows, right={"objects", "stored"}))


def _end(failed: list[_Failed], count: int, *, json: bool) -> None:
    """End with the status of the worst; the JSON of the result has said all by then."""
    worst = next((each.error for each in failed if isinstance(each.error, IntegrityFailed)), failed[0].error)
    if json:
        click.get_current_context().exit(worst.status)
    raise type(worst)(
        f"{len(failed)} of {count} backups could not be verified: {', '.join(each.id for each in failed)}",
        hint="restore from another backup, and look at what changes objects in the store"
        if isinstance(worst, IntegrityFailed)
        else worst.hint,
    )
