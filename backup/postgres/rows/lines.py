"""Lines of JSON on their way into a table: a batch of them by COPY into a temporary table, from there by INSERT.

Owns the form of that statement. Memory here and room on the server's disk stay those of a batch, at any size.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import psycopg
from psycopg import Copy, sql

from backup.domain.rows import Relation
from backup.errors import RestoreFailed
from backup.postgres.connection import Connection, is_lost
from backup.postgres.rows.forms import read_forms
from backup.postgres.rows.misfits import told_row, write_rows
from backup.postgres.rows.query import NOTHING, names, verbatim
from backup.postgres.snapshot import one_row
from backup.stream.readers import READ_SIZE, ByteReader

BATCH = 16 << 20
"""Bytes of a batch at least, up to the next line end: so many that the statements do not count, and few enough to be
tried again in halves (a guess)."""

NUMBER = "pgproof_number"
"""A column with the place of a row among its lines."""

_LINES = sql.Identifier("pg_temp", "pgproof_lines")
_COPY = verbatim(
    "COPY {} (line) FROM STDIN (FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02', FORCE_NOT_NULL (line), ENCODING {})"
)
"""CSV whose quote and delimiter no JSON has unescaped: the lines are the JSON itself."""

_BYTES = "SQL_ASCII"
"""Encoding of a database whose text is any bytes: they come into one as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowStream:
    """Rows that come back into a table.

    Attributes:
        relation: the table as it is in the database that they come into.
        columns: names in the lines: every line has exactly these keys.
        as_text: those of them whose values are strings with PostgreSQL's text form; the others are JSON as row_to_json
            writes it.
        open: start to read them: each row one JSON object on a line of its own, which ends with a line feed.
        first: the number of the first of them, where others of the same table came before.
    """

    relation: Relation
    columns: tuple[str, ...]
    as_text: frozenset[str] = frozenset()
    open: Callable[[], AbstractContextManager[ByteReader]]
    first: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Filling:
    """The way of a stream into a table, in the caller's transaction.

    Attributes:
        into: the table that is written to, of the form of the stream's own.
        numbered: it has a column NUMBER too.
    """

    connection: Connection
    stream: RowStream
    into: sql.Composable
    numbered: bool = False

    def run(self) -> tuple[int, int]:
        """Bring all of it; returns how many lines there were, and how many rows were written.

        Raises:
            RestoreFailed: rows do not fit; names up to TOLD of them.
            psycopg.Error: what is no fault of rows.
            PgproofError: what the stream's reader raises.
        """
        connection = self.connection
        connection.execute(
            verbatim(
                "CREATE TEMPORARY TABLE pgproof_lines (number bigint GENERATED ALWAYS AS IDENTITY (START WITH {}),"
                " line text) ON COMMIT DROP"
            ).format(sql.Literal(self.stream.first))
        )
        # as they are: they live for a moment
        connection.execute(verbatim("ALTER TABLE {} ALTER COLUMN line SET STORAGE EXTERNAL").format(_LINES))
        statement = self._statement()
        read = written = 0
        with self.stream.open() as reader:
            batches = _Batches(reader)
            while count := self._load(batches, self.stream.first + read):
                first = self.stream.first + read
                read += count
                written += write_rows(
                    connection,
                    (first, first + count - 1),
                    lambda start, end: connection.execute(statement + verbatim(f"{start} AND {end}")).rowcount,
                    self._named,
                    table=self.stream.relation.label,
                    known="with --upsert rows that are there already are updated",
                )
                connection.execute(verbatim("TRUNCATE {}").format(_LINES))
        connection.execute(verbatim("DROP TABLE {}").format(_LINES))
        return read, written

    def _load(self, batches: _Batches, first: int) -> int:
        """The next lines, of which the first has this number; returns how many there are, none at the end."""
        encoding = _BYTES if self.connection.info.parameter_status("server_encoding") == _BYTES else "UTF8"
        with self.connection.cursor() as cursor:
            try:
                with cursor.copy(_COPY.format(_LINES, sql.Literal(encoding))) as copy:
                    batches.write_next(copy)
            except psycopg.DataError as error:
                place = re.search(r"\bline (\d+)", error.diag.context or "")
                number = first + int(place[1]) - 1 if place else first
                raise RestoreFailed(
                    f"{self.stream.relation.label}: row {number} does not fit: {error.diag.message_primary}",
                    hint="nothing was changed",
                ) from error
            return cursor.rowcount

    def _statement(self) -> sql.Composed:
        """What writes lines as rows, up to the numbers; in their order, since a new table is read from its start."""
        found = [column for name in self.stream.columns if (column := self.stream.relation.column(name))]
        columns = [each for each in found if not each.generated]
        forms = read_forms(self.connection, columns, self.stream.as_text)
        shape = [form.defined for form in forms]
        values = [form.value("r") for form in forms]
        wanted = [each.name for each in columns]
        if self.numbered:
            wanted.append(NUMBER)
            values.append(sql.Identifier("l", "number"))
        comma = sql.SQL(", ")
        return verbatim("INSERT INTO {}{} SELECT {} FROM {} AS l{} WHERE l.number BETWEEN ").format(
            self.into,
            sql.SQL(" ({}) OVERRIDING SYSTEM VALUE").format(names(wanted)) if wanted else NOTHING,
            comma.join(values),
            _LINES,
            verbatim(", LATERAL pg_catalog.json_to_record(l.line::pg_catalog.json) AS r ({})").format(comma.join(shape))
            if shape
            else NOTHING,
        )

    def _named(self, number: int) -> str:
        """A row as people find it: by its number, and by its key as far as that can be read."""
        relation = self.stream.relation
        key = [each for each in (relation.key.columns if relation.key else ()) if each in self.stream.columns]
        values = sql.SQL(", ").join(
            sql.SQL("pg_catalog.json_extract_path_text(line::pg_catalog.json, {})").format(sql.Literal(each))
            for each in key
        )
        query = verbatim("SELECT {} FROM {} WHERE number = {}").format(values, _LINES, sql.Literal(number))
        try:
            with self.connection.transaction():
                found = one_row(self.connection, query.as_string(self.connection)) if key else ()
        except psycopg.Error as error:
            if is_lost(error):
                raise
            found = ()
        return told_row(number, dict(zip(key, found, strict=False)))


class _Batches:
    """Cuts what is read at line ends, into batches of BATCH bytes or a little more."""

    def __init__(self, reader: ByteReader) -> None:
        self._reader = reader
        self._held = b""

    def write_next(self, copy: Copy) -> None:
        """The next one; nothing where all have been written."""
        written = 0
        while data := self._held or self._reader.read(READ_SIZE):
            self._held = b""
            if written + len(data) >= BATCH:
                end = data.find(b"\n", max(0, BATCH - written - 1))
                if end >= 0:
                    copy.write(data[: end + 1])
                    self._held = data[end + 1 :]
                    return
            copy.write(data)
            written += len(data)
