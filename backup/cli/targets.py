"""Which target a command means, and which backup of it. Owns the order in which that is looked for."""

from __future__ import annotations

from collections.abc import Sequence

from backup.bootstrap import make_source
from backup.bootstrap import named_target as target_of_settings
from backup.cli.options import Invocation
from backup.cli.places import Place, places
from backup.domain.ids import parse_reference, target_of_database
from backup.domain.manifest import Manifest
from backup.errors import AccessDenied, IntegrityFailed, NotFound, PgproofError, StoreUnreachable, UsageError
from backup.logs import log
from backup.ports import Store
from backup.workflow.catalog import Catalog


def named_target(invocation: Invocation) -> str | None:
    """The target that the settings name, or that the database's address does; the server is not asked."""
    return target_of_settings(invocation.settings)


def target_to_back_up(invocation: Invocation) -> str:
    """The target of a new backup; where nothing names it, the server is asked for the database's name.

    Raises:
        PgproofError: it does not answer.
    """
    return named_target(invocation) or target_of_database(make_source(invocation.settings).database().name)


def stored_target(invocation: Invocation, store: Store) -> str:
    """The target whose backups are meant; where no database is set at all, the store's only one.

    Raises:
        NotFound: the store holds none.
        UsageError: it holds several, or the database's address does not tell its name: its backups must not be
            mistaken for another's.
    """
    named = named_target(invocation)
    if named:
        return named
    if invocation.settings.database.url is None:
        return Catalog(store).only_target()
    raise UsageError(
        "the database's address does not tell its name, so it is not known whose backup is meant",
        hint=f"choose one: --target NAME; the store has {', '.join(Catalog(store).targets()) or 'none'}",
    )


def target_of_any(invocation: Invocation, chosen: Sequence[Place]) -> str:
    """The target whose backups are meant, where one of several stores knows it.

    Raises:
        PgproofError: as `stored_target` of the first.
    """
    failures: list[PgproofError] = []
    for place in chosen:
        try:
            return stored_target(invocation, place.store)
        except (NotFound, StoreUnreachable, AccessDenied) as error:
            failures.append(error)
    raise failures[0]


def find_backup(invocation: Invocation, reference: str) -> tuple[Manifest, Store]:
    """The backup that a user means by BACKUP, and the store it is in.

    Of several stores each is asked, and the newest backup counts that is meant; one that does not answer is told.

    Raises:
        UsageError, NotFound, IntegrityFailed: see Catalog.find.
        StoreUnreachable, AccessDenied: no store that answers has it.
    """
    meant = parse_reference(reference)
    found: list[tuple[Manifest, Store]] = []
    failures: list[PgproofError] = []
    chosen = places(invocation)
    for place in chosen:
        store = place.store
        try:
            found.append((Catalog(store).find(stored_target(invocation, store), meant), store))
        except (NotFound, IntegrityFailed, StoreUnreachable, AccessDenied) as error:
            if len(chosen) == 1:
                raise
            tell = log.debug if isinstance(error, NotFound) else log.warning
            tell("no backup from this store", store=store.url, reason=error.message)
            failures.append(error)
    if not found:
        raise next((error for error in failures if not isinstance(error, NotFound)), failures[0])
    return max(found, key=lambda each: each[0].age)
