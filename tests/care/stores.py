"""Stores that fail as a test says: the rest of their work is done by a real one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager

from backup.errors import AccessDenied, StoreUnreachable
from backup.ports import Leftover, Store, StoredObject
from backup.stream.readers import ByteReader


class Failing:
    """A ports.Store that is another one, but goes away after so many deletes, or allows none.

    Attributes:
        deletes: that still go well; None for any number.
        refuses: it does not go away, it refuses them.
        fails: keys with one of these ends cannot be put.
    """

    def __init__(self, store: Store, *, deletes: int | None = None, refuses: bool = False) -> None:
        self._store = store
        self.deletes = deletes
        self.refuses = refuses
        self.fails: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        return self._store.url

    @property
    def may_lock(self) -> bool:
        return self._store.may_lock

    def put(self, key: str, data: ByteReader, /, *, new: bool = False) -> StoredObject:
        if key.endswith(self.fails):
            raise StoreUnreachable(f"{self.url} does not answer")
        return self._store.put(key, data, new=new)

    def open(self, key: str, /) -> AbstractContextManager[ByteReader]:
        return self._store.open(key)

    def stat(self, key: str, /) -> StoredObject:
        return self._store.stat(key)

    def list(self, prefix: str, /) -> Iterator[StoredObject]:
        return self._store.list(prefix)

    def delete(self, key: str, /) -> None:
        if self.deletes is not None:
            if not self.deletes:
                raise AccessDenied(f"{key}: refused") if self.refuses else StoreUnreachable(f"{self.url} is gone")
            self.deletes -= 1
        self._store.delete(key)

    def leftovers(self, prefix: str, /) -> Iterator[Leftover]:
        return self._store.leftovers(prefix)
