"""That what is read of a table is all of it, and is text.

Owns what may have happened between the snapshot and psql's lock on the table; nothing can happen after that.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from backup.domain.rows import Catalogue, ChosenTable
from backup.errors import DumpFailed, TablesRewritten
from backup.postgres.queries import read_query
from backup.stream.readers import ByteReader


class _Snapshot(Protocol):
    """Where the catalogue can be asked, in the snapshot and past it."""

    @property
    def catalogue(self) -> Catalogue:
        """As it was."""

    def ask(self, query: str, arguments: Mapping[str, object] | None = None) -> list[tuple[Any, ...]]:
        """What the source answers."""


class Unmoved:
    """The rows of a table, and at their end whether some were put elsewhere before psql had its lock.

    A table that was emptied or rewritten would be empty in the snapshot then, without any error; a partition that was
    detached or dropped would be missing, one that was attached be too much, and a column of the same name another one.
    """

    def __init__(self, reader: ByteReader, rows: _Snapshot, table: ChosenTable) -> None:
        self._reader = reader
        self._rows = rows
        relations = [each.relation for each in with_nested([table])]
        self._oids = sorted({each.oid for each in relations})
        self._names = {each.quoted for each in relations}
        if any(each.kind == "p" for each in relations):
            self._names |= {each.quoted for each in rows.catalogue.relations if each.partition}

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes. Raises what the reader raises, and DumpFailed where rows are missing."""
        data = self._reader.read(size)
        if not data:
            rewritten = {name for (name,) in self._rows.ask(read_query("rewritten"))}
            if lost := sorted(rewritten & self._names):
                raise _lost(lost, "truncated, rewritten or replaced")
            if moved := [name for (name,) in self._rows.ask(read_query("rows_moved"), {"oids": self._oids})]:
                raise _lost(moved, "attached, detached or dropped, or its columns were,")
        return data


class Utf8:
    """The same bytes, as long as they are UTF-8: of a database that does not know its encoding they may be any."""

    def __init__(self, reader: ByteReader, label: str) -> None:
        self._reader = reader
        self._label = label
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes. Raises what the reader raises, and DumpFailed where they are no UTF-8."""
        data = self._reader.read(size)
        try:
            self._decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            raise DumpFailed(
                f"{self._label}: there is text that is no UTF-8, and JSON can be nothing else",
                hint="the database is in SQL_ASCII, which takes any bytes; leave those columns out, or mend them there",
            ) from error
        return data


def with_nested(tables: Iterable[ChosenTable]) -> Iterator[ChosenTable]:
    """The tables, each with those inside it."""
    for table in tables:
        yield table
        yield from with_nested(each.table for each in table.nested)


def _lost(names: list[str], how: str) -> TablesRewritten:
    return TablesRewritten(
        f"{', '.join(names)}: {how} since the snapshot was taken",
        hint="run it again; where this happens often, move the schedule away from that job",
    )
