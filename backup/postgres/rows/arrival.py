"""One table of the second database: made or widened, filled from a temporary table, counted. SQL alone.

Rows are compared by the bytes of their values, not by what their types take for equal: 1.0 and 1.00 are two numerics
here, and json can be compared at all. Only rows that differ are touched, since ON CONFLICT would write to each.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from psycopg import sql

from backup.domain.row_sync import TablePlan
from backup.domain.rows import Column
from backup.logs import log
from backup.postgres.connection import Connection
from backup.postgres.rows.query import NOTHING, names, verbatim
from backup.postgres.rows.types import make_schema
from backup.postgres.snapshot import one_row
from backup.stream.readers import READ_SIZE, ByteReader

_NEW = "pgproof_new"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A table there, as rows arrive in it, within one transaction.

    Attributes:
        number: by which temporary tables differ.
    """

    connection: Connection
    plan: TablePlan
    number: int

    def prepare(self) -> None:
        """Make the table or its new columns, and keep all others from writing to it until the end."""
        relation = self.plan.table.relation
        if self.plan.there is None:
            make_schema(self.connection, sql.Identifier(relation.schema).as_string(self.connection))
            columns = sql.SQL(", ").join(_definition(each, not_null=each.not_null) for each in self.plan.columns)
            kind = verbatim("PRIMARY KEY" if self.plan.key.primary else "UNIQUE")
            self._run("CREATE TABLE {} ({}, {} ({}))", self._table, columns, kind, names(self.plan.key.columns))
        for column in self.plan.added:
            self._run("ALTER TABLE {} ADD COLUMN {}", self._table, _definition(column, not_null=False))
        self._run("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", self._table)

    def newest(self, column: str, overlap: int, *, until: datetime) -> str | None:
        """The newest time in a column up to `until`, `overlap` seconds earlier, as text; None where there is none."""
        query = """SELECT CASE pg_typeof(newest)::text
                WHEN 'date' THEN (newest::timestamp - {back})::date::text ELSE (newest - {back})::text END
            FROM (SELECT max({column}) FILTER (WHERE {column} <= {until}::timestamptz AND isfinite({column})) AS newest
                FROM {table}) AS t"""
        filled = verbatim(query).format(
            back=sql.SQL("make_interval(secs => {})").format(sql.Literal(overlap)),
            column=sql.Identifier(column),
            table=self._source,
            until=sql.Literal(until.isoformat()),
        )
        found = self.connection.execute(filled).fetchone()
        return str(found[0]) if found and found[0] is not None else None

    def open(self, number: str | None = None) -> None:
        """Make the temporary table in which rows arrive, `arrived`; with a column `number` of theirs, where it is said.

        Checks and the like of the table are not on it.
        """
        more = sql.SQL(", NULL::bigint AS {}").format(sql.Identifier(number)) if number else NOTHING
        self._run(
            "CREATE TEMPORARY TABLE {} ON COMMIT DROP AS SELECT {}{} FROM {} WITH NO DATA",
            self.arrived,
            names(each.name for each in self.plan.columns),
            more,
            self._table,
        )

    def load(self, rows: ByteReader) -> int:
        """Put rows in COPY's text format into a temporary table; returns how many there are."""
        self.open()
        columns = names(each.name for each in self.plan.columns)
        copied = verbatim("COPY {} ({}) FROM STDIN (FORMAT text, ENCODING 'UTF8')").format(self.arrived, columns)
        with self.connection.cursor() as cursor:
            with cursor.copy(copied) as copy:
                while data := rows.read(READ_SIZE):
                    copy.write(data)
            count = cursor.rowcount
        self.analyze()
        return count

    def analyze(self) -> None:
        """Let the server know how many have arrived."""
        self._run("ANALYZE {}", self.arrived)

    def gone(self) -> tuple[int, int]:
        """How many rows there have not arrived, and how many there are."""
        missing = sql.SQL("count(*) FILTER (WHERE {})").format(self._not_arrived)
        query = sql.SQL("SELECT {}, count(*) FROM {} AS t").format(missing, self._source)
        lost, all_rows = one_row(self.connection, query.as_string(self.connection))
        return lost, all_rows

    def delete(self) -> int:
        """Delete the rows there that have not arrived; returns how many there were."""
        return self._run("DELETE FROM {} AS t WHERE {}", self._source, self._not_arrived)

    def merge(self) -> tuple[int, int]:
        """Insert what is new and update what differs; returns how many were inserted and updated."""
        figures = self.compare()
        return self.came(figures, self.write())

    def compare(self) -> tuple[int, int]:
        """Find what is new and what differs; returns how many will be inserted and updated."""
        plan = self.plan
        key = sql.Identifier("t", plan.key.columns[0])
        differs = sql.SQL("ROW({})::record OPERATOR(pg_catalog.*<>) ROW({})::record").format(
            names((each.name for each in plan.compared), "t"), names((each.name for each in plan.compared), "s")
        )
        self._run(
            "CREATE TEMPORARY TABLE {} ON COMMIT DROP AS SELECT s.*, {} IS NULL AS {} FROM {} AS s"
            " LEFT JOIN {} AS t ON {} WHERE {} IS NULL OR {}",
            self._changed,
            key,
            sql.Identifier(_NEW),
            self.arrived,
            self._source,
            self._same_key,
            key,
            differs if plan.compared else sql.SQL("false"),
        )
        query = verbatim("SELECT count(*) FILTER (WHERE {0}), count(*) FILTER (WHERE NOT {0}) FROM {1}").format(
            sql.Identifier(_NEW), self._changed
        )
        inserted, updated = one_row(self.connection, query.as_string(self.connection))
        return inserted, updated

    def write(self, condition: sql.Composable = NOTHING) -> int:
        """Write what was found to the table; returns how many rows that are. `condition`: begins with WHERE."""
        plan = self.plan
        columns = names(each.name for each in plan.columns)
        updates = sql.SQL(", ").join(
            sql.SQL("{0} = EXCLUDED.{0}").format(sql.Identifier(each.name)) for each in plan.compared
        )
        return self._run(
            "INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {}{} ON CONFLICT ({}) DO {}",
            self._table,
            columns,
            columns,
            self._changed,
            condition,
            names(plan.key.columns),
            sql.SQL("UPDATE SET {}").format(updates) if plan.compared else sql.SQL("NOTHING"),
        )

    def came(self, figures: tuple[int, int], written: int) -> tuple[int, int]:
        """Of what was inserted and updated, as `compare` says it, what triggers did not keep from the table; told."""
        kept = sum(figures) - written
        if kept <= 0:
            return figures
        log.warning("a trigger kept rows from the table", table=self.plan.label, rows=kept)
        query = verbatim("SELECT count(*) FROM {} AS s WHERE {} AND EXISTS (SELECT FROM {} AS t WHERE {})").format(
            self._changed, sql.Identifier("s", _NEW), self._source, self._same_key
        )
        (inserted,) = one_row(self.connection, query.as_string(self.connection))
        return min(inserted, written), max(0, written - inserted)

    def close(self) -> None:
        """Drop the temporary tables before the transaction does: what has arrived takes room."""
        self._run("DROP TABLE IF EXISTS {}, {}", self.arrived, self._changed)

    def twice(self, number: str, limit: int) -> list[tuple[list[int], tuple[str, ...]]]:
        """Rows that have arrived with the same key: their numbers (of the column `number`), and the key as text."""
        key = [sql.Identifier(each) for each in self.plan.key.columns]
        query = verbatim(
            "SELECT pg_catalog.array_agg({0} ORDER BY {0}), {1} FROM {2} GROUP BY {3} HAVING count(*) > 1 LIMIT {4}"
        ).format(
            sql.Identifier(number),
            sql.SQL(", ").join(sql.SQL("{}::pg_catalog.text").format(each) for each in key),
            self.arrived,
            sql.SQL(", ").join(key),
            sql.Literal(limit),
        )
        return [(numbers, values) for numbers, *rest in self.connection.execute(query) if (values := tuple(rest))]

    def key_of(self, number: str, of: int) -> dict[str, object]:
        """The key of the row that has arrived with this number, as text."""
        key = self.plan.key.columns
        query = verbatim("SELECT {} FROM {} WHERE {} = {}").format(
            sql.SQL(", ").join(sql.SQL("{}::pg_catalog.text").format(sql.Identifier(each)) for each in key),
            self.arrived,
            sql.Identifier(number),
            sql.Literal(of),
        )
        return dict(zip(key, one_row(self.connection, query.as_string(self.connection)), strict=True))

    @property
    def _table(self) -> sql.Identifier:
        relation = self.plan.table.relation
        return sql.Identifier(relation.schema, relation.name)

    @property
    def _source(self) -> sql.Composable:
        """The table for reading and deleting: without those that inherit from it, or with its partitions."""
        there = self.plan.there
        return (NOTHING if there and there.kind == "p" else sql.SQL("ONLY ")) + self._table

    @property
    def arrived(self) -> sql.Identifier:
        """Where rows arrive."""
        return sql.Identifier("pg_temp", f"pgproof_{self.number}")

    @property
    def _changed(self) -> sql.Identifier:
        return sql.Identifier("pg_temp", f"pgproof_{self.number}_changed")

    @property
    def _same_key(self) -> sql.Composable:
        key = [each for each in self.plan.columns if each.name in self.plan.key.columns]
        return sql.SQL(" AND ").join(
            sql.SQL("{} OPERATOR({}.=) {}").format(
                sql.Identifier("t", each.name), sql.Identifier(each.equality), sql.Identifier("s", each.name)
            )
            for each in key
        )

    @property
    def _not_arrived(self) -> sql.Composable:
        return sql.SQL("NOT EXISTS (SELECT FROM {} AS s WHERE {})").format(self.arrived, self._same_key)

    def _run(self, form: str, *parts: sql.Composable) -> int:
        return self.connection.execute(verbatim(form).format(*parts)).rowcount


def _definition(column: Column, *, not_null: bool) -> sql.Composable:
    return verbatim("{} {}{}{}").format(
        sql.Identifier(column.name),
        verbatim(column.type),
        verbatim(f" COLLATE {column.collation}") if column.collation else NOTHING,
        verbatim(" NOT NULL") if not_null else NOTHING,
    )
