"""Reading ahead: a stream is read by a thread of its own while somebody is busy with what came before.

Owns how much of it is held. Leave the context to let go of the thread, which ends after the read that it is in.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Queue

from backup.stream.readers import ByteReader

_PIECE = 256 << 10
"""Bytes that are read at a time."""


@contextmanager
def read_ahead(source: ByteReader, size: int) -> Iterator[ByteReader]:
    """`source`, of which up to `size` bytes are read before they are asked for. The reader raises what it raises."""
    ahead = _Ahead(source, max(1, size // _PIECE))
    try:
        yield ahead
    finally:
        ahead.close()


class _Ahead:
    """The reader's side."""

    def __init__(self, source: ByteReader, pieces: int) -> None:
        self._source = source
        self._pieces: Queue[bytes | BaseException] = Queue(pieces)
        self._left = threading.Event()
        self._rest = b""
        self._end: bytes | BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="read ahead", daemon=True)
        self._thread.start()

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes."""
        if self._end is None and not self._rest:
            piece = self._pieces.get()
            if isinstance(piece, BaseException) or not piece:
                self._end = piece
            else:
                self._rest = piece
        if isinstance(self._end, BaseException):
            raise self._end
        found, self._rest = self._rest[:size], self._rest[size:]
        return found

    def close(self) -> None:
        """End the thread."""
        self._left.set()
        while self._thread.is_alive():
            while not self._pieces.empty():
                self._pieces.get_nowait()
            self._thread.join(0.05)

    def _run(self) -> None:
        try:
            while not self._left.is_set():
                piece = self._source.read(_PIECE)
                self._pieces.put(piece)
                if not piece:
                    return
        except BaseException as error:  # noqa: BLE001 -- raised where somebody reads
            self._pieces.put(error)
