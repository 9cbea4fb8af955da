"""Where the time of a stream goes: the seconds that the thread which carries it spends in each stage.

A stream is pulled: who stores it reads from who hashes, that from who compresses, and so on to the server. So at any
moment the thread is in one stage alone, and in which it waits, that one was the slowest just then.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from backup.stream.readers import ByteReader


class Stopwatch:
    """Adds up seconds by stage; to be used by one thread."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._stages: list[str] = []
        self._since = 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Within it time goes to this stage, but for what goes to stages within it."""
        self.enter(name)
        try:
            yield
        finally:
            self.leave()

    def enter(self, name: str) -> None:
        """A stage begins, within the one that there was."""
        self._tell()
        self._stages.append(name)

    def leave(self) -> None:
        """The stage that began last ends."""
        self._tell()
        self._stages.pop()

    @property
    def seconds(self) -> dict[str, float]:
        """By stage, as far as any went by, in the order in which they were entered first."""
        return {name: round(value, 3) for name, value in self._seconds.items() if value >= 0.0005}  # noqa: PLR2004 -- it would be shown as 0

    def _tell(self) -> None:
        now = time.monotonic()
        if self._stages:
            self._seconds[self._stages[-1]] = self._seconds.get(self._stages[-1], 0.0) + now - self._since
        self._since = now


class Timed:
    """Passes `source` on, and has its reads timed as a stage.

    Args:
        source: what is read.
        watch: whose stage it is.
        stage: its name.
        first: name of the stage that the first read is, where that is another matter.
    """

    def __init__(self, source: ByteReader, watch: Stopwatch, stage: str, *, first: str | None = None) -> None:
        self._source = source
        self._watch = watch
        self._stage = stage
        self._next = first or stage

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes."""
        self._watch.enter(self._next)
        self._next = self._stage
        try:
            return self._source.read(size)
        finally:
            self._watch.leave()
