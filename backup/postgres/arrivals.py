"""Which tables of a restore are loaded by now, and who is at work on which of them.

Owns that whoever reads a table and whoever makes an index for which it must be left alone do not wait for each other.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from backup.domain.build_order import rows_of
from backup.domain.toc import Entry


class Arrivals:
    """Tables by the numbers of their entries; to be used by any thread.

    Args:
        entries: of the dump.
        notable: bytes of rows above which a table is of interest to anybody: there may be very many others.
    """

    def __init__(self, entries: Iterable[Entry], *, notable: int) -> None:
        self._notable = notable
        everything = {entry.number: entry for entry in entries}
        tables = set(rows_of(everything.values()).values())
        self._names = {number: f"{everything[number].schema}.{everything[number].name}" for number in tables}
        self._bytes: dict[int, int] = {}
        self._complete = False
        self._read: set[int] = set()
        self._changed: set[int] = set()
        self._lock = threading.Lock()

    @property
    def complete(self) -> bool:
        """Whether all are loaded."""
        return self._complete

    def add(self, table: int, size: int) -> None:
        """A table is loaded, of about so many bytes."""
        if size > self._notable:
            with self._lock:
                self._bytes[table] = self._bytes.get(table, 0) + size

    def end(self) -> None:
        """All are."""
        self._complete = True

    def notable(self) -> Mapping[int, int]:
        """The tables of interest that are loaded, with their bytes."""
        with self._lock:
            return dict(self._bytes)

    def name_of(self, table: int) -> str:
        """Its `schema.table`."""
        return self._names.get(table, "")

    def claim(self, table: int) -> bool:
        """Have it alone, until `release`; False where somebody reads it."""
        with self._lock:
            if table in self._read:
                return False
            self._changed.add(table)
            return True

    def release(self, table: int) -> None:
        """It may be read again."""
        with self._lock:
            self._changed.discard(table)

    @contextmanager
    def reading(self, table: int) -> Iterator[bool]:
        """Read it within; False where somebody has it alone."""
        with self._lock:
            free = table not in self._changed
            if free:
                self._read.add(table)
        try:
            yield free
        finally:
            if free:
                with self._lock:
                    self._read.discard(table)
