"""Marks that people set beside a backup: hold it whatever retention says, let it go again, accept a suspect one.

Nothing that is stored is rewritten; a mark is an object of its own.
"""

from __future__ import annotations

from backup.domain.manifest import MANIFEST_NAME, Manifest, Status
from backup.domain.marks import ACCEPTED, HOLD, Mark
from backup.errors import NotFound, ObjectMissing, UsageError
from backup.logs import log
from backup.ports import Clock, Store
from backup.workflow.runs import host, write_mark


def hold(backup: Manifest, store: Store, *, reason: str, clock: Clock) -> None:
    """Given a backup, keep it until it is released. To hold it again changes only the reason.

    Raises:
        NotFound: it was deleted meanwhile.
    """
    write_mark(store, _key(backup, HOLD), Mark(time=clock(), text=reason, host=host()))
    try:
        store.stat(_key(backup, MANIFEST_NAME))
    except ObjectMissing as error:
        store.delete(_key(backup, HOLD))
        raise NotFound(f"{backup.id} was deleted from {store.url} this moment") from error
    log.info("held", id=backup.id, store=store.url, reason=reason or None)


def release(backup: Manifest, store: Store) -> None:
    """Given a backup that is held, let retention have it.

    Raises:
        NotFound: nobody holds it.
    """
    try:
        store.stat(_key(backup, HOLD))
    except ObjectMissing as error:
        raise NotFound(f"{backup.id} in {store.url} is not held") from error
    store.delete(_key(backup, HOLD))
    log.info("released", id=backup.id, store=store.url)


def accept(backup: Manifest, store: Store, *, reason: str, clock: Clock) -> None:
    """Given a suspect backup that is right as it is, count it as a complete one, and later ones against it.

    Raises:
        UsageError: it is not suspect.
    """
    if backup.status is not Status.SUSPECT:
        raise UsageError(f"{backup.id} is {backup.status}, not suspect", hint="there is nothing to accept")
    write_mark(store, _key(backup, ACCEPTED), Mark(time=clock(), text=reason, host=host()))
    log.info("accepted", id=backup.id, store=store.url, reason=reason or None)


def _key(backup: Manifest, name: str) -> str:
    return f"{backup.target}/{backup.id}/{name}"
