"""How far the bytes are: a bar on a terminal, elsewhere an event every ten seconds.

Owns the look of progress; it is told of bytes from several threads and never fails a run.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from backup.domain.sizes import show_size
from backup.logs import log
from backup.stream.volumes import Progress

_EVERY = 10.0
"""Seconds between two events."""

Counted = Literal["raw", "stored"]


@contextmanager
def progress(
    name: str, *, total: int | None = None, counts: Counted = "raw", bar: bool | None = None, every: float = _EVERY
) -> Iterator[Progress]:
    """Within it, bytes that the Progress is told of are shown.

    Args:
        name: what is under way, for example `backup`.
        total: about how many bytes of the counted kind there will be; None where nobody knows.
        counts: which bytes the total means: before compression, or in the store.
        bar: True for a bar; by default where stderr is a terminal.
        every: seconds between two events.
    """
    if sys.stderr.isatty() if bar is None else bar:
        with _bar(name, total, counts) as tell:
            yield tell
    else:
        yield _Events(name, total, counts, every).tell


class _Events:
    """Adds up, and tells now and then."""

    def __init__(self, name: str, total: int | None, counts: Counted, every: float) -> None:
        self._name = name
        self._total = total
        self._counts = counts
        self._every = every
        self._lock = threading.Lock()
        self._raw = self._stored = 0
        self._started = self._told = time.monotonic()

    def tell(self, raw: int, stored: int) -> None:
        with self._lock:
            self._raw += raw
            self._stored += stored
            now = time.monotonic()
            if now - self._told < self._every:
                return
            self._told = now
            done = self._raw if self._counts == "raw" else self._stored
        rate = f"{show_size(int(done / (now - self._started)))}/s"
        read = show_size(self._raw) if self._raw else None
        log.info(
            f"{self._name} under way", read=read, stored=show_size(self._stored), rate=rate, done=self._share(done)
        )

    def _share(self, done: int) -> str | None:
        """About how much is done; an estimate is never more than 99 %."""
        return f"{min(99, 100 * done // self._total)} %" if self._total else None


@contextmanager
def _bar(name: str, total: int | None, counts: Counted) -> Iterator[Progress]:
    from rich.console import Console  # noqa: PLC0415 -- heavy, and only a terminal needs it
    from rich.progress import (  # noqa: PLC0415 -- the same
        BarColumn,
        DownloadColumn,
        TextColumn,
        TimeElapsedColumn,
        TransferSpeedColumn,
    )
    from rich.progress import Progress as Bars  # noqa: PLC0415 -- the same

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(binary_units=True))
    console = Console(file=sys.stderr)
    with Bars(*columns, TransferSpeedColumn(), TimeElapsedColumn(), console=console, transient=True) as bars:
        task = bars.add_task(name, total=total)

        def tell(raw: int, stored: int) -> None:
            bars.advance(task, raw if counts == "raw" else stored)
            now = bars.tasks[0]
            if now.total is not None and now.completed > now.total:  # it was an estimate
                bars.update(task, total=now.completed)

        yield tell
