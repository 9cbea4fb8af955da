"""The id of a run, taken so that no other run has it: not even one of another server, another cluster.

An id is a second, and cron starts everything in the same one; the lock on the server keeps apart only runs that share
the server. Owns how runs settle in the store whose an id is.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from backup.domain.ids import BackupId
from backup.domain.marks import CLAIM
from backup.errors import IntegrityFailed, PgproofError
from backup.logs import log
from backup.ports import Store
from backup.signals import undisturbed
from backup.stream.readers import BytesReader
from backup.workflow.copies import Copies, Copy

_PATIENCE = 5.0
"""Seconds to wait for others to take back their claim. A guess: they do so as soon as they have seen ours."""

_POLL = 0.1
_MOST = 50
"""Runs in the same second. A guess: far more than there are databases behind one target."""


@contextmanager
def claimed_id(copies: Copies, target: str, wanted: BackupId) -> Iterator[BackupId]:
    """`wanted`, or the next id that is free; as long as the context lasts no other run takes it.

    Each run writes a small object of its own below the id, and then looks who else is there. Whoever sees another
    claim that is smaller, or one that does not go away, or any other object, gives way to the next id. Two runs
    cannot both stay: the one that looks later sees the other's claim, since it was written before. Of several stores,
    all must agree.

    Args:
        copies: where the backup will be; what was put there is listed at once.
        target: of the run.
        wanted: the id of the second in which it started.
    """
    mark = f"{CLAIM}{secrets.token_hex(8)}"
    for _ in range(_MOST):
        prefix = f"{target}/{wanted}/"
        asked = [copy.store for copy in copies.left]
        try:
            if all(copies.each(partial(_is_ours, prefix=prefix, mark=mark))):
                yield wanted
                return
        finally:
            with undisturbed():
                for store in asked:  # also one that was left behind meanwhile: it may only be full
                    _take_back(store, prefix + mark)
        wanted = wanted.next()
    raise IntegrityFailed(f"{_MOST} ids of {target} are taken in {copies.urls}", hint="is a store named twice?")


def _is_ours(copy: Copy, *, prefix: str, mark: str) -> bool:
    """Whether the id is ours in a store; our claim stands by then."""
    store = copy.store
    if next(iter(store.list(prefix)), None):
        return False
    store.put(prefix + mark, BytesReader(b"a run of pgproof has taken this id\n"))
    end = time.monotonic() + _PATIENCE
    while True:
        others = {stored.key.removeprefix(prefix) for stored in store.list(prefix)} - {mark}
        if not others:
            return True
        if any(not name.startswith(CLAIM) or name < mark for name in others) or time.monotonic() > end:
            return False
        time.sleep(_POLL)


def _take_back(store: Store, key: str) -> None:
    try:
        store.delete(key)
    except PgproofError as error:
        log.debug("a claim is left behind, it does no harm", key=key, reason=error.message)
