"""Finds out what a database holds in one transaction: rows, fingerprints, large objects, and what the catalogue says.

Owns how values become text that is the same on every server, and the fingerprint of a table: the number of its rows
and the sum of a 64-bit hash of each, `sum(hashtextextended((x.*)::text, 0))`. A sum minds no order; a row that changed
stays unseen with odds of 1 in 2^64. Each question has its own savepoint and its own share of the time: what cannot be
answered is unproven, with the reason, and never a failure. The savepoint is always rolled back, for with it go the
locks on indexes, of which there may be more than the server has room for.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg

from backup.domain.patterns import Exclusion
from backup.domain.proof import CONTENT, LARGE_OBJECT, LARGE_OBJECTS, LEFT_OUT, POSITION, ROWS, Fact, Mode, Value, kept
from backup.logs import log
from backup.postgres.catalogue import QUERIES
from backup.postgres.connection import Connection, is_lost
from backup.postgres.queries import read_query
from backup.postgres.session import VALUES_AS_THEY_ARE

_SETTINGS = {
    "search_path": "",
    **VALUES_AS_THEY_ARE,
    "quote_all_identifiers": "off",
    "standard_conforming_strings": "on",
    "jit": "off",
}
"""How values are written."""
_ONE_CORE = {"max_parallel_workers_per_gather": "0"}

SMALL = 1 << 20
"""Bytes of a table that is asked for together with others."""
_TOGETHER = 200
_LOCKED_TOGETHER = 500
_PATIENCE, _IMPATIENCE = 3.0, 0.2
"""Seconds for the locks of many tables, and, when it is known that somebody is in the way, of each."""
_MANY_OBJECTS = 10_000
"""Large objects above which they are known only all together (a guess at how many names are of use)."""
_GRACE = 0.2
"""Share of the time that is kept for counting what there was no time to fingerprint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table with rows of its own.

    Attributes:
        name: qualified and quoted.
        excuse: why it will not be read.
        columns: quoted, in the order in which they are read; None for the table's own.
    """

    name: str
    bytes: int
    excuse: str | None = None
    columns: tuple[str, ...] | None = None


@dataclass(slots=True, kw_only=True)
class Findings:
    """What was found out, and what was not."""

    facts: dict[Fact, Value] = field(default_factory=dict)
    unproven: dict[Fact, str] = field(default_factory=dict)


def read_excluded(
    connection: Connection, exclusions: Sequence[Exclusion]
) -> Iterator[tuple[str, str, list[str] | None]]:
    """What patterns leave out: kind (`r`, `S`, `m`, `n` for a schema), quoted name, and sequences that belong to it.

    Args:
        connection: in a transaction; for its rest the search path is pg_catalog alone.
        exclusions: without a schema they mean what the session's own path finds.
    """
    if not exclusions:
        return
    connection.execute(
        "SELECT pg_catalog.set_config('search_path', reset_val, true) FROM pg_catalog.pg_settings"
        " WHERE name OPERATOR(pg_catalog.=) 'search_path'"
    )
    path = [name for (names,) in connection.execute("SELECT pg_catalog.current_schemas(true)") for name in names]
    connection.execute("SELECT pg_catalog.set_config('search_path', 'pg_catalog', true)")
    arguments = {
        "path": path,
        "schemas": [each.schema for each in exclusions],
        "tables": [each.table for each in exclusions],
    }
    yield from connection.execute(read_query("excluded"), arguments)


class FactReader:
    """Asks one database, in the transaction that the connection is in.

    Args:
        connection: in a transaction that sees one state (REPEATABLE READ), read only.
        mode: `full` for fingerprints, `rows` for counts alone.
        seconds: in which all must be known.
        most_objects: large objects above which they are known only all together.
    """

    def __init__(
        self, connection: Connection, mode: Mode, *, seconds: float, most_objects: int = _MANY_OBJECTS
    ) -> None:
        self._connection = connection
        self._mode = mode
        self._begun = time.monotonic()
        self._seconds = seconds
        self._most_objects = most_objects
        self._stopped = False
        self.findings = Findings()

    def stop(self) -> None:
        """From another thread: let the next question be the end, an InterruptedError."""
        self._stopped = True

    def settle(self, *, parallel: bool) -> None:
        """Let values be written alike, whatever roles, databases and servers are set to.

        Args:
            parallel: whether the server may use several cores for one table; beside a dump it should not.
        """
        for name, value in {**_SETTINGS, **({} if parallel else _ONE_CORE)}.items():
            self._connection.execute("SELECT pg_catalog.set_config(%(n)s, %(v)s, true)", {"n": name, "v": value})

    def leave_out(self, exclusions: Sequence[Exclusion], reason: str) -> dict[str, str]:
        """What a dump leaves out is unproven: tables, returned with the reason; positions; what views are filled with.

        Must be called before `settle`: which tables are found by their names alone, the session's own path says.
        """
        excuses = {}
        for kind, name, owned in read_excluded(self._connection, exclusions):
            if kind == "r":
                excuses[name] = reason
            else:
                self._miss(Fact({"S": POSITION, "n": "schema"}.get(kind, "relation"), name), reason)
            for sequence in owned or () if reason == LEFT_OUT else ():  # a dump has it without its owner
                self._miss(Fact("sequence", sequence), reason)
        return excuses

    def tables(self, sized: Collection[str] = ()) -> list[Table]:
        """The tables with rows of their own, the smallest first.

        Args:
            sized: names of those whose size is asked for, which waits for their locks; others count as empty.
        """
        found = self._connection.execute(read_query("tables"), {"sized": list(sized)})
        return [
            Table(name=name, bytes=size, excuse=excuse, columns=None if columns is None else tuple(columns))
            for name, size, excuse, columns in found
        ]

    def lock(self, tables: Iterable[Table], excuses: MutableMapping[str, str]) -> list[str]:
        """Lock tables as every reader does, so that nobody rewrites them; the names of those that are locked.

        Those that somebody waits to change are not waited for; `excuses` says why one could not be locked. Where the
        server has no room for more locks, no more are taken: others need some too. Takes no snapshot.
        """
        names = [table.name for table in tables if not table.excuse and table.name not in excuses]
        for start in range(0, len(names), _LOCKED_TOGETHER):
            batch = names[start : start + _LOCKED_TOGETHER]
            error = self._refused(batch, _PATIENCE)
            if isinstance(error, psycopg.errors.OutOfMemory):
                excuses.update(dict.fromkeys(names[start:], reason_of(error)))
                break
            for name in batch if error else ():
                if single := self._refused([name], _IMPATIENCE):
                    excuses[name] = reason_of(single)
        return [name for name in names if name not in excuses]

    def _refused(self, names: Sequence[str], seconds: float) -> psycopg.Error | None:
        """Why these tables could not be locked, if they could not."""
        self._go_on()
        try:
            with self._connection.transaction():
                self._connection.execute(f"SET LOCAL lock_timeout = {seconds * 1000:.0f}".encode())
                self._connection.execute(f"LOCK TABLE ONLY {', ONLY '.join(names)} IN ACCESS SHARE MODE".encode())
        except psycopg.Error as error:
            if is_lost(error):
                raise
            return error
        return None

    def read_tables(self, tables: Iterable[Table]) -> None:
        """Rows and fingerprints: small tables together, each large one by itself while there is time."""
        small: list[Table] = []
        large: list[Table] = []
        for table in tables:
            if table.excuse:
                self._miss(Fact(ROWS, table.name), table.excuse)
            else:
                (small if table.bytes <= SMALL else large).append(table)
        for start in range(0, len(small), _TOGETHER):
            self._read_together(small[start : start + _TOGETHER])
        for table in large:
            self._read_alone(table)

    def read_catalogue(self) -> None:
        """What the catalogue says of every object."""
        for kind, query in QUERIES.items():
            with self._asking(Fact(kind, "")):
                for name, value in self._connection.execute(query.encode()):
                    if name is None:
                        self._miss(Fact(kind, ""), "one of them was dropped meanwhile")
                    else:
                        self.findings.facts[Fact(kind, name)] = kept(value or "")

    def read_large_objects(self) -> None:
        """Count, bytes and MD5 of the large objects: of each, where there are not too many."""
        fact = Fact(LARGE_OBJECTS, "")
        count = size = mark = 0
        single: dict[Fact, Value] = {}
        with self._asking(fact):
            # Row by row: there may be millions.
            query = read_query("large_objects_content").encode()
            for oid, length, digest, hashed in self._connection.cursor().stream(query):
                count, size, mark = count + 1, size + length, mark + hashed
                if count <= self._most_objects:
                    single[Fact(LARGE_OBJECT, str(oid))] = f"{length} bytes, md5 {digest}"
        if fact in self.findings.unproven:
            return
        self.findings.facts[fact] = f"{count} objects, {size} bytes, {mark}"
        if count <= self._most_objects:
            self.findings.facts |= single

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self._seconds - (time.monotonic() - self._begun)

    @property
    def left_for_values(self) -> float:
        """Seconds that are left for fingerprints; what is kept for counting is as much again as is kept for these."""
        return self.left - self._seconds * _GRACE / 2

    def _read_together(self, tables: Sequence[Table]) -> None:
        """Ask for many in one query; where one of them cannot be read, for each by itself."""
        if self.left < self._seconds * _GRACE:
            for table in tables:
                self._read_alone(table)
            return
        pieces = (f"SELECT {place}, {self._question(table)}" for place, table in enumerate(tables))
        query = " UNION ALL ".join(pieces)
        try:
            with self._within(self.left_for_values):
                rows = self._connection.execute(query.encode()).fetchall()
        except psycopg.Error as error:
            if is_lost(error):
                raise
            for table in tables:
                self._read_alone(table)
            return
        for place, count, content in rows:
            self._keep(tables[place].name, count, content)

    def _read_alone(self, table: Table) -> None:
        """Fingerprint a table, or at least count it, or say why not."""
        name = table.name
        fact, what = Fact(ROWS, name), "it"
        if self._mode == "full":
            fact, what = Fact(CONTENT, name), "its values"
            if self.left > self._seconds * _GRACE:
                with self._asking(fact, seconds=self.left_for_values):
                    for count, content in self._connection.execute(f"SELECT {self._question(table)}".encode()):
                        self._keep(name, count, content)
                if Fact(ROWS, name) in self.findings.facts:
                    return
            else:
                self._miss(fact, "there was no time left to read its values")
            fact = Fact(ROWS, name)
        if self.left <= 0:
            self._miss(fact, f"there was no time left to read {what}")
            return
        with self._asking(fact):
            for (count,) in self._connection.execute(f"SELECT count(*) FROM ONLY {name}".encode()):
                self._keep(name, count, None)

    def _question(self, table: Table) -> str:
        """What is selected of a table. `(x.*)`, for `x` alone would mean a column of that name."""
        # ROW: a cast of the user's from the table's own type to text would tell what it likes.
        columns = "x.*" if table.columns is None else ", ".join(f"x.{column}" for column in table.columns)
        row = f"ROW({columns})"
        content = f'sum(pg_catalog.hashtextextended({row}::text COLLATE "C", 0))::text'
        return f"count(*), {content if self._mode == 'full' else 'NULL'} FROM ONLY {table.name} AS x"

    def _keep(self, name: str, count: int, content: str | None) -> None:
        self.findings.facts[Fact(ROWS, name)] = count
        if self._mode == "full" and (content is not None or not count):
            self.findings.facts[Fact(CONTENT, name)] = content or "0"

    @contextmanager
    def _asking(self, fact: Fact, *, seconds: float | None = None) -> Iterator[None]:
        """A question of its own: what the server refuses makes `fact` unproven, what it takes too long for too."""
        try:
            with self._within(max(self.left, 1) if seconds is None else seconds):
                yield
        except psycopg.Error as error:
            if is_lost(error):
                raise
            self._miss(fact, reason_of(error))

    @contextmanager
    def _within(self, seconds: float) -> Iterator[None]:
        """A savepoint of its own and a limit to the time."""
        self._go_on()
        milliseconds = str(max(int(seconds * 1000), 1))
        with self._connection.transaction(force_rollback=True):
            self._connection.execute(
                "SELECT pg_catalog.set_config('statement_timeout', %(ms)s, true)", {"ms": milliseconds}
            )
            yield

    def _go_on(self) -> None:
        if self._stopped:
            raise InterruptedError("the proof was ended")

    def _miss(self, fact: Fact, reason: str) -> None:
        log.debug("unproven", fact=str(fact), reason=reason)
        self.findings.unproven[fact] = reason


def reason_of(error: psycopg.Error) -> str:
    """Why the server did not answer: its first line, in our words where it is the time or the locks."""
    if isinstance(error, psycopg.errors.QueryCanceled):
        return "there was not enough time"
    if isinstance(error, psycopg.errors.LockNotAvailable):
        return "another session wants to change it"
    if isinstance(error, psycopg.errors.OutOfMemory):
        return "the server has no room for more locks, see max_locks_per_transaction"
    return re.sub(r"\s+", " ", str(error).splitlines()[0]) if str(error) else type(error).__name__
