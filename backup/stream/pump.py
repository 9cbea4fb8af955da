"""A library that reads a stream and writes another by itself, turned into something that is read.

Owns the thread that the library works on. What is behind it is read by whoever reads what comes out, on their own
thread: signals are heard there, and the one of the library never waits for a child process or a line.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from queue import SimpleQueue
from typing import Protocol

from backup.stream.readers import READ_SIZE, ByteReader


class Writer(Protocol):
    """Where a library writes to."""

    def write(self, data: bytes, /) -> int:
        """Take all of `data`; the number of its bytes."""

    def flush(self) -> None:
        """Keep nothing back."""


Pump = Callable[[ByteReader, Writer], None]
"""Reads to the end, writes what comes of it, and returns; raises what is wrong with what it read."""


@contextmanager
def pumped(source: ByteReader, pump: Pump) -> Iterator[ByteReader]:
    """What `pump` makes of `source`. It holds two pieces of READ_SIZE at most, and what `pump` made of one.

    The reader raises what `source` raises, and what `pump` raises. Leave the context to let go of the thread.
    """
    reader = _Pumped(source, pump)
    try:
        yield reader
    finally:
        reader.close()


class _Left(Exception):
    """Ends a pump that nobody reads from."""


class _Pumped:
    """The reader's side. The thread asks for a piece (`True`) or has ended (None, or its error)."""

    def __init__(self, source: ByteReader, pump: Pump) -> None:
        self._source = source
        self._ahead: bytes | None = None
        self._made: deque[bytes] = deque()
        self._ended = False
        self._failure: Exception | None = None
        self._inside = _Inside(self._made)
        self._thread = threading.Thread(target=self._inside.run, args=(pump,), name="pump", daemon=True)
        self._thread.start()

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes."""
        if self._failure:
            raise self._failure
        try:
            while not self._made and not self._ended:
                self._step()
        except Exception as error:
            self._failure = error  # whoever reads on all the same must not wait for what never comes
            raise
        if not self._made:
            return b""
        piece = self._made.popleft()
        if len(piece) > size:
            self._made.appendleft(piece[size:])
            piece = piece[:size]
        return piece

    def close(self) -> None:
        """End the thread: it never waits for anything but us."""
        self._inside.feed(None)
        self._thread.join()

    def _step(self) -> None:
        """Hand over a piece, and read the next one while the thread works on it."""
        said = self._inside.said.get()
        if said is not True:
            self._ended = True
            if isinstance(said, Exception):
                raise said
            return
        piece = self._source.read(READ_SIZE) if self._ahead is None else self._ahead
        self._inside.feed(piece)
        self._ahead = self._source.read(READ_SIZE) if piece else b""


class _Inside:
    """The library's side: its reader and its writer."""

    def __init__(self, made: deque[bytes]) -> None:
        self._made = made
        self._pieces: SimpleQueue[bytes | None] = SimpleQueue()
        self._rest = BytesIO()
        self.said: SimpleQueue[bool | Exception | None] = SimpleQueue()

    def run(self, pump: Pump) -> None:
        try:
            pump(self, self)
        except Exception as error:  # noqa: BLE001 -- raised again where somebody reads
            self.said.put(error)
        except BaseException as error:  # noqa: BLE001 -- so does a panic of a library that is not Python
            self.said.put(RuntimeError(str(error)))
        else:
            self.said.put(None)

    def feed(self, piece: bytes | None) -> None:
        self._pieces.put(piece)

    def read(self, size: int, /) -> bytes:
        if data := self._rest.read(size):
            return data
        self.said.put(True)  # noqa: FBT003 -- the queue's own word
        piece = self._pieces.get()
        if piece is None:
            raise _Left
        self._rest = BytesIO(piece)  # whose reads cost nothing: libraries ask for little
        return self._rest.read(size)

    def write(self, data: bytes, /) -> int:
        self._made.append(data)
        return len(data)

    def flush(self) -> None:
        """Nothing is kept back."""
