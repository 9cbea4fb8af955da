"""What comes after the rows of a dump, in the order in which it can be made. Pure.

An index, a primary or unique key of a table needs nothing but that table's rows, so it may be made as soon as these
are in. All else (foreign keys, triggers, materialized views, publications, …) needs more, and comes last.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from backup.domain.toc import Entry, within

_INDEXES = frozenset({"INDEX", "CONSTRAINT"})
_REMARKS = frozenset({"COMMENT", "SECURITY LABEL"})


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexUnit:
    """An index or a key of a table, with what is said of it.

    Attributes:
        table: the number of the table's entry.
        alone: while it is made nobody else can use the table.
    """

    table: int
    numbers: tuple[int, ...]
    alone: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOrder:
    """Entries by number.

    Attributes:
        parents: indexes of partitioned tables, which have no rows: quick, and to be made before those of partitions.
        units: indexes of tables that have rows.
        late: indexes that need more than their own table's rows.
        attached: hang partitions' indexes on those above. To be carried out alone: two at a time deadlock, or leave
            the index above marked as invalid.
        last: everything else; of it only what comes after the rows is meant, and grants (see `grants_of`).
    """

    parents: tuple[int, ...]
    units: tuple[IndexUnit, ...]
    late: tuple[int, ...]
    attached: tuple[int, ...]
    last: tuple[int, ...]


def rows_of(entries: Iterable[Entry]) -> dict[int, int]:
    """Of each entry with a table's rows, in order, the number of the table."""
    everything = {entry.number: entry for entry in entries}
    return {
        entry.number: table
        for entry in everything.values()
        if entry.kind == "TABLE DATA"
        for table in entry.depends
        if table in everything and everything[table].kind == "TABLE"
    }


def grants_of(entries: Iterable[Entry]) -> tuple[int, ...]:
    """Grants on anything but the database and large objects, and default ones: pg_restore has them after indexes too.

    An owner may have taken from himself what loading the rows needs, or never had what an index of his table calls.
    """
    return tuple(
        entry.number
        for entry in entries
        if entry.kind in {"ACL", "DEFAULT ACL"} and not entry.of_database and not entry.of_large_objects
    )


def build_order(entries: Collection[Entry]) -> BuildOrder:
    """How everything after the rows is made, where several connections do it.

    Args:
        entries: of a dump with all of its lanes. Those of the first are made; the others say which tables have rows.
    """
    everything = {entry.number: entry for entry in entries}
    with_rows = set(rows_of(entries).values())
    remarks = _remarks(everything)
    parents: list[int] = []
    units: list[IndexUnit] = []
    late: list[int] = []
    for entry in entries:
        tables = {number for number in entry.depends if number in everything and everything[number].kind == "TABLE"}
        if entry.kind not in _INDEXES or not tables:
            continue
        numbers = (entry.number, *remarks.get(entry.number, ()))
        (table, *more) = tables
        if not more and "\nPARTITION BY " in everything[table].sql:
            parents += numbers
        elif not more and table in with_rows and not _calls(entry, everything):
            alone = entry.kind == "CONSTRAINT" or "ALTER TABLE " in entry.sql  # CLUSTER ON, REPLICA IDENTITY
            units.append(IndexUnit(table=table, numbers=numbers, alone=alone))
        else:
            late += numbers
    attached = tuple(entry.number for entry in entries if entry.kind == "INDEX ATTACH")
    done = {*parents, *late, *attached, *(number for unit in units for number in unit.numbers)}
    return BuildOrder(
        parents=tuple(parents),
        units=tuple(units),
        late=tuple(late),
        attached=attached,
        last=tuple(entry.number for entry in within(0, entries) if entry.number not in done),
    )


def _calls(entry: Entry, everything: Mapping[int, Entry]) -> bool:
    """Whether it calls a function of the database: that may read other tables, whatever it says of itself."""
    return any(everything[number].kind == "FUNCTION" for number in entry.depends if number in everything)


def _remarks(everything: Mapping[int, Entry]) -> Mapping[int, tuple[int, ...]]:
    """Comments by the index that they are about: pg_restore takes them for a part of what they follow."""
    found: dict[int, tuple[int, ...]] = {}
    for entry in everything.values():
        if entry.kind in _REMARKS:
            for number in entry.depends:
                if number in everything and everything[number].kind in _INDEXES:
                    found[number] = (*found.get(number, ()), entry.number)
    return found
