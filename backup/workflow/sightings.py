"""Look at stores for whoever watches them. Owns what is read for figures; reads only, and never a part of a backup."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from backup.domain.drill import FOLDER as DRILLS
from backup.domain.ids import BackupId
from backup.domain.manifest import MANIFEST_NAME
from backup.domain.metrics import Holding, Sighting
from backup.errors import PgproofError
from backup.logs import log
from backup.ports import Clock, Leftover, Store, StoredObject
from backup.stream.readers import ByteReader, BytesReader, read_exactly
from backup.workflow.catalog import Catalog
from backup.workflow.outbox import FOLDER as OUTBOX

Room = Callable[[], tuple[int, int] | None]
"""Free bytes and all bytes of the disk of a store; None where that is not known."""
_WORTH_KEEPING = 1 << 20
"""Bytes of a manifest or drill up to which it is remembered; a manifest of 6,000 volumes has as many."""


def nowhere() -> None:
    """The room of a bucket: nobody knows."""
    return


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookout:
    """A store to look at, and how to find out its room."""

    store: Store
    room: Room = nowhere


def look(lookout: Lookout, targets: Iterable[str] = (), *, also: Iterable[str] = (), clock: Clock) -> Sighting:
    """Given a store, see what it has of these targets, or else of all and `also` of those it may have nothing of.

    Raises:
        PgproofError: it cannot be read.
    """
    catalog = Catalog(lookout.store)
    wanted = tuple(targets) or sorted({*catalog.tried_targets(), *also})
    holdings = tuple(_holding(catalog, target) for target in wanted)
    room = lookout.room()
    return Sighting(
        store=lookout.store.url,
        up=True,
        read=clock(),
        holdings=holdings,
        free=room[0] if room else None,
        size=room[1] if room else None,
    )


def look_at_all(lookouts: Iterable[Lookout], targets: Iterable[str] = (), *, clock: Clock) -> tuple[Sighting, ...]:
    """The same of several stores; one that cannot be read is not up, and nothing else is said of it."""
    found = []
    wanted = tuple(targets)
    for lookout in lookouts:
        try:
            found.append(look(lookout, wanted, clock=clock))
        except PgproofError as error:
            log.debug("not seen", store=lookout.store.url, reason=error.message)
            found.append(Sighting(store=lookout.store.url, up=False))
    return tuple(found)


def _holding(catalog: Catalog, target: str) -> Holding:
    listing = catalog.listing(target)
    return Holding(
        target=target,
        backups=listing.backups,
        drills=listing.drills,
        accepted=listing.accepted,
        held=listing.held,
        unreadable=len(listing.unreadable),
        failed=listing.failed[0].started if listing.failed else None,
        outbox=sum(1 for _ in catalog.store.list(f"{target}/{OUTBOX}/")),
    )


@dataclass(slots=True)
class Remembering:
    """A store that reads no manifest and no drill twice: these never change. Everything else is asked of `store`.

    What has changed all the same, as its etag tells, is read again; what is gone is forgotten with the next list of it.
    """

    store: Store
    _etags: dict[str, str] = field(default_factory=dict)
    _kept: dict[str, tuple[str, bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Of the store."""
        return self.store.url

    @property
    def may_lock(self) -> bool:
        """Of the store."""
        return self.store.may_lock

    def list(self, prefix: str, /) -> Iterator[StoredObject]:
        """See ports.Store."""
        gone = {key for key in self._etags if key.startswith(prefix)}
        for stored in self.store.list(prefix):
            gone.discard(stored.key)
            if _never_changes(stored):
                self._etags[stored.key] = stored.etag
            yield stored
        for key in gone:
            self._etags.pop(key, None)
            self._kept.pop(key, None)

    @contextmanager
    def open(self, key: str, /) -> Iterator[ByteReader]:
        """See ports.Store."""
        etag = self._etags.get(key)
        if etag is None:
            with self.store.open(key) as reader:
                yield reader
            return
        kept = self._kept.get(key)
        if kept is None or kept[0] != etag:
            with self.store.open(key) as reader:
                kept = self._kept[key] = (etag, read_exactly(reader, _WORTH_KEEPING))
        yield BytesReader(kept[1])

    def put(self, key: str, data: ByteReader, /, *, new: bool = False) -> StoredObject:
        """See ports.Store."""
        return self.store.put(key, data, new=new)

    def stat(self, key: str, /) -> StoredObject:
        """See ports.Store."""
        return self.store.stat(key)

    def delete(self, key: str, /) -> None:
        """See ports.Store."""
        self.store.delete(key)

    def leftovers(self, prefix: str, /) -> Iterator[Leftover]:
        """See ports.Store."""
        return self.store.leftovers(prefix)


def _never_changes(stored: StoredObject) -> bool:
    _target, _, rest = stored.key.partition("/")
    backup_id, _, name = rest.partition("/")
    small = stored.bytes < _WORTH_KEEPING
    return small and BackupId.parse(backup_id) is not None and (name == MANIFEST_NAME or name.startswith(f"{DRILLS}/"))
