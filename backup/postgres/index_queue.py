"""The indexes that are still to be made, and which of them comes next. Owns no program."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from backup.domain.build_order import IndexUnit
from backup.postgres.arrivals import Arrivals


class IndexQueue:
    """Of large tables one after the other, the largest that is loaded first; the small ones are left for the end.

    Args:
        units: all of them.
        arrivals: which tables are loaded.
        large: bytes of rows above which a table is large: the indexes of a smaller one take less time than the start
            of a program.
    """

    def __init__(self, units: Sequence[IndexUnit], arrivals: Arrivals, *, large: int) -> None:
        self._arrivals = arrivals
        self._large = large
        self._units: dict[int, list[IndexUnit]] = {}
        for unit in units:
            self._units.setdefault(unit.table, []).append(unit)
        self._sharing: Counter[int] = Counter()
        self._alone: set[int] = set()

    def __bool__(self) -> bool:
        return bool(self._units)

    def next(self) -> IndexUnit | None:
        """Take out one that can be made now, until `done` with it; None where all have to wait for something."""
        loaded = self._arrivals.notable()
        for table in sorted(loaded, key=lambda each: -loaded[each]):
            if loaded[table] <= self._large:
                break
            for unit in self._units.get(table, ()):
                if self._take(unit):
                    self._drop(unit)
                    return unit
        return None

    def _drop(self, unit: IndexUnit) -> None:
        self._units[unit.table].remove(unit)
        if not self._units[unit.table]:
            del self._units[unit.table]

    def done(self, unit: IndexUnit) -> None:
        """It is made."""
        if unit.alone:
            self._alone.discard(unit.table)
            self._arrivals.release(unit.table)
        else:
            self._sharing[unit.table] -= 1

    def take_small(self) -> list[int]:
        """Take out the entries of all that are left of small tables, when everything is loaded."""
        loaded = self._arrivals.notable()
        small = [table for table in self._units if loaded.get(table, 0) <= self._large]
        return [number for table in small for unit in self._units.pop(table) for number in unit.numbers]

    def _take(self, unit: IndexUnit) -> bool:
        """Plain indexes of one table can be made at a time; what wants it alone waits for them, and for readers."""
        table = unit.table
        if table in self._alone:
            return False
        if not unit.alone:
            self._sharing[table] += 1
        elif self._sharing[table] or not self._arrivals.claim(table):
            return False
        else:
            self._alone.add(table)
        return True
