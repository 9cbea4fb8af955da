"""A store in memory: the shortest thing that keeps the contract of ports.Store. For tests of what uses stores."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from backup.errors import ObjectExists, ObjectMissing
from backup.ports import Leftover, StoredObject
from backup.stores.keys import check_key, check_prefix
from backup.stream.readers import READ_SIZE, ByteReader


class MemoryStore:
    """A ports.Store that forgets."""

    def __init__(self) -> None:
        self._objects: dict[str, tuple[bytes, StoredObject]] = {}
        self._lock = threading.Lock()
        self._puts = 0

    @property
    def url(self) -> str:
        return "memory"

    @property
    def may_lock(self) -> bool:
        return False

    def put(self, key: str, data: ByteReader, /, *, new: bool = False) -> StoredObject:
        check_key(key)
        pieces = []
        while piece := data.read(READ_SIZE):
            pieces.append(piece)
        content = b"".join(pieces)
        with self._lock:
            if new and key in self._objects:
                raise ObjectExists(f"{key} is in memory already")
            self._puts += 1
            found = StoredObject(key=key, bytes=len(content), etag=str(self._puts), modified=datetime.now(UTC))
            self._objects[key] = (content, found)
        return found

    @contextmanager
    def open(self, key: str, /) -> Iterator[ByteReader]:
        content, _ = self._get(key)
        yield _Reader(content)

    def stat(self, key: str, /) -> StoredObject:
        return self._get(key)[1]

    def list(self, prefix: str, /) -> Iterator[StoredObject]:
        check_prefix(prefix)
        with self._lock:
            found = sorted(key for key in self._objects if key.startswith(prefix))
        for key in found:
            yield self._get(key)[1]

    def delete(self, key: str, /) -> None:
        with self._lock:
            self._objects.pop(check_key(key), None)

    def leftovers(self, prefix: str, /) -> Iterator[Leftover]:
        check_prefix(prefix)
        yield from ()

    def _get(self, key: str) -> tuple[bytes, StoredObject]:
        with self._lock:
            found = self._objects.get(check_key(key))
        if found is None:
            raise ObjectMissing(f"{key} is not in memory")
        return found


class _Reader:
    def __init__(self, content: bytes) -> None:
        self._left = memoryview(content)

    def read(self, size: int, /) -> bytes:
        piece, self._left = self._left[:size], self._left[size:]
        return bytes(piece)
