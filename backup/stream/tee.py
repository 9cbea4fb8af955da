"""One stream for several readers at once, in bounded memory: the slowest sets the pace, a dead one stops nobody.

Owns the threads of the readers. Knows not what they do with it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

from backup.signals import undisturbed
from backup.stream.readers import READ_SIZE, ByteReader

BUFFER = 8 << 20
"""Bytes by which the fastest reader may be ahead of the slowest. A guess: a few parts of an upload."""

_STEP = 0.5
"""Seconds between two looks, so that signals are heard."""
_T = TypeVar("_T")


class _Branch:
    """What one reader sees: filled by the stream's thread, read by its own."""

    def __init__(self, buffer: int) -> None:
        self._buffer = buffer
        self._pieces: deque[bytes] = deque()
        self._waiting = 0
        self._ended = False
        self._error: Exception | None = None
        self._changed = threading.Condition()
        self.left = False

    def fill(self, piece: bytes) -> None:
        """Add a piece, once there is room for it; to a reader that has left, nothing."""
        with self._changed:
            while self._waiting >= self._buffer and not self.left:
                self._changed.wait(_STEP)
            if not self.left:
                self._pieces.append(piece)
                self._waiting += len(piece)
                self._changed.notify_all()

    def end(self, error: Exception | None = None) -> None:
        """There is no more; or there would be, but for `error`."""
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    def leave(self) -> None:
        """The reader reads no more."""
        with self._changed:
            self.left = True
            self._pieces.clear()
            self._changed.notify_all()

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes. Raises what the stream raised, before its end is told."""
        with self._changed:
            while not self._pieces and not self._ended:
                self._changed.wait()
            if self._error:
                raise self._error
            if not self._pieces:
                return b""
            piece = self._pieces.popleft()
            if len(piece) > size:
                self._pieces.appendleft(piece[size:])
                piece = piece[:size]
            self._waiting -= len(piece)
            self._changed.notify_all()
            return piece


def tee(
    source: ByteReader, readers: Sequence[Callable[[ByteReader], _T]], *, buffer: int = BUFFER
) -> list[_T | Exception]:
    """Read `source` to its end, and let each reader have all of it; what each of them returned or raised.

    Args:
        source: the stream; read in the caller's thread.
        readers: each is called once, in a thread of its own. One that raises is waited for no more.
        buffer: bytes by which they may be apart.

    Raises:
        Exception: what `source` or a signal raised. Every reader was told of it, and has ended.
    """
    branches = [_Branch(buffer) for _ in readers]
    with ThreadPoolExecutor(len(readers), thread_name_prefix="tee") as pool:
        futures: list[Future[_T]] = []
        try:
            for reader, branch in zip(readers, branches, strict=True):
                futures.append(pool.submit(_run, reader, branch))
            while not all(branch.left for branch in branches) and (piece := source.read(READ_SIZE)):
                for branch in branches:
                    branch.fill(piece)
        except BaseException as error:
            cause = error if isinstance(error, Exception) else InterruptedError(str(error))
            with undisturbed():
                for branch in branches:
                    branch.end(cause)
                for future in futures:
                    future.exception()
            raise
        for branch in branches:
            branch.end()
        return _settled(futures)


def _run(reader: Callable[[ByteReader], _T], branch: _Branch) -> _T:
    try:
        return reader(branch)
    finally:
        branch.leave()


def _settled(futures: Sequence[Future[_T]]) -> list[_T | Exception]:
    """Results and errors, waited for in steps so that signals are heard."""
    outcomes: list[_T | Exception] = []
    for future in futures:
        while not future.done():
            wait([future], timeout=_STEP)
        error = future.exception()
        if error is not None and not isinstance(error, Exception):
            raise error
        outcomes.append(future.result() if error is None else error)
    return outcomes
