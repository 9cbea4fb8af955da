"""The stores that a backup is written to, all at once. One that fails is left behind, as long as another is left.

Owns what each of them was given, so that it can be asked again or taken back. Must not decide how many are enough.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from backup.domain.manifest import MANIFEST_NAME
from backup.errors import IntegrityFailed, Interrupted, LockHeld, ObjectExists, PgproofError, StoreUnreachable
from backup.logs import log
from backup.ports import Store
from backup.signals import undisturbed
from backup.stream.readers import ByteReader, BytesReader, Counted
from backup.stream.tee import tee

_NO_LOSS = (Interrupted, LockHeld)
"""What is no store's fault, and ends the run."""
_T = TypeVar("_T")


class Copy:
    """One store on its way to hold a backup."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.error: PgproofError | None = None
        self._changing = threading.Lock()
        self._sent: dict[str, tuple[int, str] | None] = {}

    def put(self, key: str, data: ByteReader, *, new: bool = False) -> int:
        """Store an object. Raises IntegrityFailed where the store has another number of bytes than it was given."""
        self._sent[key] = None
        begun = time.monotonic()
        counted = Counted(data, lambda _size: self._refuse_lost())
        stored = self.store.put(key, counted, new=new)
        seconds = round(time.monotonic() - begun, 3)
        log.debug("stored", name=key.rpartition("/")[2], bytes=stored.bytes, seconds=seconds, store=self.store.url)
        if stored.bytes != counted.bytes:
            raise IntegrityFailed(f"{self.store.url} has {stored.bytes} bytes of {key}, {counted.bytes} were sent")
        with self._changing:
            lost = self.error
            if lost is None:
                self._sent[key] = (stored.bytes, stored.etag)
                return stored.bytes
        self.store.delete(key)  # it failed meanwhile with another object, and all that it had was taken back
        raise lost

    def lose(self, error: PgproofError) -> bool:
        """Leave it behind, and take back what it has; False where that was done before. From any thread."""
        with self._changing:
            if self.error is not None:
                return False
            self.error = error
        self.take_back()
        return True

    def _refuse_lost(self) -> None:
        """Let an object that is still under way to a store that is left behind come to no good end."""
        if self.error is not None:
            raise self.error

    def ask_again(self) -> None:
        """Ask the store for every object once more. Raises IntegrityFailed where it has another one by now."""
        for key, expected in self._sent.items():
            stored = self.store.stat(key)
            if (stored.bytes, stored.etag) != expected:
                raise IntegrityFailed(f"{key} in {self.store.url} is not what was just stored", detail=str(stored))

    def commit(self, key: str, manifest: bytes) -> None:
        """Write the manifest: from here on the backup exists. Raises IntegrityFailed where there is one already."""
        try:
            self.put(key, BytesReader(manifest), new=True)
        except ObjectExists as error:
            self._sent.clear()  # the other run's manifest names the same objects: nothing here is ours to take back
            error.hint = "another run took the same id; run it again"
            raise

    def take_back(self, prefix: str = "") -> None:
        """Delete what was written, as far as the store lets us; what stays has no manifest and is no backup.

        The manifest goes first; while it may still be there, so must all that it names.
        """
        keys = [key for key in list(self._sent) if key.startswith(prefix)]
        with undisturbed():
            for key in sorted(keys, key=lambda key: not key.endswith(MANIFEST_NAME)):
                try:
                    self.store.delete(key)
                except PgproofError as error:
                    log.warning("left behind", objects=len(keys), key=key, store=self.store.url, reason=error.message)
                    break
            for key in keys:
                self._sent.pop(key, None)


class Copies:
    """All of them, at least one."""

    def __init__(self, *stores: Store) -> None:
        self._all = [Copy(store) for store in stores]

    @property
    def left(self) -> tuple[Copy, ...]:
        """Those that did not fail."""
        return tuple(copy for copy in self._all if copy.error is None)

    @property
    def lost(self) -> tuple[Copy, ...]:
        """Those that did, each with its error."""
        return tuple(copy for copy in self._all if copy.error is not None)

    @property
    def answering(self) -> tuple[Copy, ...]:
        """Those that are left, and those that failed but may answer."""
        return tuple(copy for copy in self._all if not isinstance(copy.error, StoreUnreachable))

    @property
    def urls(self) -> str:
        """Where they are, for people."""
        return ", ".join(copy.store.url for copy in self._all)

    def each(self, work: Callable[[Copy], _T]) -> list[_T]:
        """Do something with each that is left; what it returned, of those that then still are.

        Raises:
            PgproofError: it failed with the last one.
        """
        results = []
        for copy in self.left:
            try:
                results.append(work(copy))
            except PgproofError as error:
                if isinstance(error, _NO_LOSS):
                    raise
                self._lose(copy, error)
        return results

    def put(self, key: str, data: ByteReader) -> int:
        """Store an object in each at the same time; its size. May be called from several threads.

        Raises:
            PgproofError: what `data` raises; or that it failed with the last one.
        """
        left = self.left or self._all[:1]  # the last one was lost meanwhile, and says why
        if len(left) == 1:
            return left[0].put(key, data)
        results = tee(data, [partial(copy.put, key) for copy in left])
        sizes = [result for result in results if isinstance(result, int)]
        for copy, result in zip(left, results, strict=True):
            if isinstance(result, PgproofError) and not isinstance(result, _NO_LOSS):
                self._lose(copy, result)
            elif isinstance(result, Exception):
                raise result
        return sizes[0]

    def take_back(self, prefix: str = "") -> None:
        """Delete what was written to those that are left."""
        for copy in self.left:
            copy.take_back(prefix)

    def _lose(self, copy: Copy, error: PgproofError) -> None:
        first = copy.lose(error)
        if not self.left:
            raise error
        if first:
            log.error("this store is left behind", store=copy.store.url, reason=error.message, detail=error.detail)
