"""Marks that hold only as long as somebody lives: the lease of a run, and the shield of a backup that is being read.

Owns their renewal. Both are best effort: between clusters that share nothing but a store there is no more to be had.
On one server the advisory lock decides, and whoever has that may take over a lease that a crashed run of the same
server left; any other waits until it has expired.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta

from backup.domain.manifest import MANIFEST_NAME, Manifest
from backup.domain.marks import LEASE, SHIELDS, Mark
from backup.errors import IntegrityFailed, Interrupted, LockHeld, NotFound, ObjectExists, ObjectMissing, PgproofError
from backup.logs import log
from backup.ports import Clock, Store
from backup.signals import undisturbed
from backup.stream.readers import BytesReader
from backup.workflow.copies import Copies, Copy
from backup.workflow.runs import host, read_mark, write_mark

LIFETIME = timedelta(minutes=10)
"""Of a mark that is not renewed. A guess: long enough for a store that is away for a while."""
_RENEWALS = 3
"""How often a mark is renewed in its lifetime."""
_TRIES = 5
"""How often a lease is tried that vanishes while it is looked at."""

Make = Callable[[], Mark]


@contextmanager
def leased(copies: Copies, target: str, *, source: str, clock: Clock, lifetime: timedelta = LIFETIME) -> Iterator[None]:
    """Hold the lease of a target in every store, as long as the context lasts.

    Args:
        copies: the stores; one that fails is left behind.
        target: whose lease.
        source: the database on its server, whose advisory lock the caller holds.
        clock: of this machine.
        lifetime: of the lease, if we crash.

    Raises:
        LockHeld: another run has it.
    """
    key = f"{target}/{LEASE}"
    started = clock()
    token = secrets.token_hex(8)

    def mark() -> Mark:
        return Mark(time=started, text=token, host=host(), until=clock() + lifetime, source=source)

    taken: list[Store] = []

    def take(copy: Copy) -> None:
        _take(copy.store, key, target, mark, source=source, clock=clock)
        taken.append(copy.store)

    try:
        copies.each(take)
        with _renewed([(store, key) for store in taken], mark, lifetime, but=lambda store: _is_lost(copies, store)):
            yield
    finally:
        with undisturbed():
            for store in sorted(taken, key=lambda store: _is_lost(copies, store)):  # a dead one may take its time
                _let_go(store, key, token)


@contextmanager
def shielded(backup: Manifest, store: Store, *, clock: Clock, lifetime: timedelta = LIFETIME) -> Iterator[None]:
    """Keep a backup from being pruned as long as the context lasts. Where we may not write, only a word is left.

    Raises:
        NotFound: it was pruned before that.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(marked_in_use(backup, store, text="being read", clock=clock, lifetime=lifetime))
        except Interrupted:
            raise
        except PgproofError as error:
            log.info("nothing keeps this backup from being pruned meanwhile", id=backup.id, reason=error.message)
        _require_manifest(backup, store)
        yield


@contextmanager
def marked_in_use(
    backup: Manifest, store: Store, *, text: str, clock: Clock, lifetime: timedelta = LIFETIME
) -> Iterator[None]:
    """Let no prune touch what there is of a backup, whole or not, as long as the context lasts.

    Raises:
        PgproofError: the mark could not be written.
    """
    key = f"{backup.target}/{backup.id}/{SHIELDS}/{secrets.token_hex(8)}.json"
    started = clock()

    def mark() -> Mark:
        return Mark(time=started, text=text, host=host(), until=clock() + lifetime)

    write_mark(store, key, mark())
    try:
        with _renewed([(store, key)], mark, lifetime):
            yield
    finally:
        with undisturbed():
            _delete(store, key)


def _require_manifest(backup: Manifest, store: Store) -> None:
    """See whether a backup is still there, now that it is shielded."""
    try:
        store.stat(f"{backup.target}/{backup.id}/{MANIFEST_NAME}")
    except ObjectMissing as error:
        raise NotFound(
            f"{backup.id} was deleted from {store.url} this moment", hint="pgproof list shows what there is"
        ) from error


def _is_lost(copies: Copies, store: Store) -> bool:
    return any(copy.store is store for copy in copies.lost)


def _take(store: Store, key: str, target: str, mark: Make, *, source: str, clock: Clock) -> None:
    """Write the lease where nobody has one that counts."""
    for _ in range(_TRIES):
        try:
            store.put(key, BytesReader(mark().to_json()), new=True)
        except ObjectExists:
            other = _holder(store, key)
        else:
            return
        if other is None:
            continue  # it was given back this moment
        if other.holds(clock()) and other.source != source:
            raise LockHeld(
                f"another run of {target} is under way on {other.host}, since {other.time:%Y-%m-%d %H:%M:%SZ}",
                hint=f"wait for it: --wait; if it crashed, its lease in {store.url} ends at {other.until:%H:%M:%SZ}",
            )
        log.warning("a lease that a run has left is taken over", target=target, host=other.host, store=store.url)
        write_mark(store, key, mark())
        return
    raise LockHeld(f"another run of {target} is starting again and again", hint="wait for it: --wait")


def _holder(store: Store, key: str) -> Mark | None:
    """Who has a lease, if anybody. One that cannot be read is somebody's, and ends as it would without a renewal."""
    try:
        return read_mark(store, key)
    except IntegrityFailed as error:
        log.warning("a lease cannot be read", store=store.url, reason=error.message)
    with suppress(ObjectMissing):
        written = store.stat(key).modified
        return Mark(time=written, host="an unknown machine", until=written + LIFETIME)
    return None


def _let_go(store: Store, key: str, token: str) -> None:
    """Delete our lease; one that another run took over is its own."""
    try:
        found = read_mark(store, key)
    except PgproofError as error:
        log.debug("the lease cannot be read", store=store.url, reason=error.message)
        return
    if found and found.text == token:
        _delete(store, key)


def _delete(store: Store, key: str) -> None:
    try:
        store.delete(key)
    except PgproofError as error:
        log.info("a mark is left that expires by itself", object=key, store=store.url, reason=error.message)


@contextmanager
def _renewed(
    places: Sequence[tuple[Store, str]],
    mark: Make,
    lifetime: timedelta,
    *,
    but: Callable[[Store], bool] = lambda _: False,
) -> Iterator[None]:
    """Renew marks from time to time, on a thread of our own; not in stores for which `but` says so."""
    ended = threading.Event()
    pause = lifetime.total_seconds() / _RENEWALS

    def renew() -> None:
        while not ended.wait(pause):
            for store, key in places:
                if but(store):
                    continue
                try:
                    write_mark(store, key, mark())
                except PgproofError as error:
                    log.warning("a mark was not renewed", object=key, store=store.url, reason=error.message)

    thread = threading.Thread(target=renew, name="renewal", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        with undisturbed():
            thread.join()
