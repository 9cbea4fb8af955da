"""How fast streams may be read, all of them together, so that whoever makes them is not hurt."""

from __future__ import annotations

import threading
import time

from backup.stream.readers import ByteReader

_PIECES = 8
"""Of what may be read in a second, as one piece: so nobody sleeps for long, and signals are heard."""


class Pace:
    """Bytes a second for all who share it; for any thread."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.piece = max(rate // _PIECES, 1)
        self._lock = threading.Lock()
        self._free_at = 0.0

    def keep(self, size: int) -> None:
        """So many bytes were read: return when more may be. What was not read in time may not be made up for later."""
        with self._lock:
            now = time.monotonic()
            self._free_at = max(self._free_at, now) + size / self.rate
            pause = self._free_at - now
        time.sleep(pause)


class Paced:
    """Passes `source` on, no faster than `pace` says."""

    def __init__(self, source: ByteReader, pace: Pace) -> None:
        self._source = source
        self._pace = pace

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes."""
        data = self._source.read(min(size, self._pace.piece))
        self._pace.keep(len(data))
        return data
