"""Finds out what a database holds in one transaction: rows, fingerprints, large objects, and what the catalogue says.

Owns how values become text that is the same on every server, and the fingerprint of a table: the number of its rows
and the sum of a 64-bit hash of each, `sum(hashtextextended((x.*)::text, 0))`. A sum minds no order; a row that changed
stays unseen with odds of 1 in 2^64. Each question has its own savepoint and its own share of the time: what cannot be
answered is unproven, with the reason, and never a failure.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg

from backup.domain.proof import CONTENT, LARGE_OBJECT, LARGE_OBJECTS, POSITION, ROWS, Fact, Mode, Value, kept
from backup.logs import log
from backup.postgres.catalogue import QUERIES
from backup.postgres.connection import Connection, is_lost
from backup.postgres.queries import read_query

_SETTINGS = {
    "search_path": "",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "xmloption": "content",
    "lc_monetary": "C",
    "row_security": "off",
    "quote_all_identifiers": "off",
    "jit": "off",
}
"""How values are written."""
_ONE_CORE = {"max_parallel_workers_per_gather": "0"}

_SMALL = 1 << 20
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
    """A table with rows of its own. `name` is qualified and quoted, `excuse` why it will not be read."""

    name: str
    bytes: int
    excuse: str | None = None


@dataclass(slots=True, kw_only=True)
class Findings:
    """What was found out, and what was not."""

    facts: dict[Fact, Value] = field(default_factory=dict)
    unproven: dict[Fact, str] = field(default_factory=dict)


class FactReader:
    """Asks one database, in the transaction that the connection is in.

    Args:
        connection: in a transaction that sees one state (REPEATABLE READ), read only.
        mode: `full` for fingerprints, `rows` for counts alone.
        seconds: in which all must be known.
    """

    def __init__(self, connection: Connection, mode: Mode, *, seconds: float) -> None:
        self._connection = connection
        self._mode = mode
        self._begun = time.monotonic()
        self._seconds = seconds
        self.findings = Findings()

    def settle(self, *, parallel: bool) -> None:
        """Let values be written alike, whatever roles, databases and servers are set to.

        Args:
            parallel: whether the server may use several cores for one table; beside a dump it should not.
        """
        for name, value in {**_SETTINGS, **({} if parallel else _ONE_CORE)}.items():
            self._connection.execute("SELECT pg_catalog.set_config(%(n)s, %(v)s, true)", {"n": name, "v": value})

    def tables(self, excluded: Sequence[str] = (), sized: Collection[str] = ()) -> list[Table]:
        """The tables with rows of their own, the smallest first.

        Args:
            excluded: regular expressions of PostgreSQL on `schema.table`; such tables are not read.
            sized: names of those whose size is asked for, which waits for their locks; others count as empty.
        """
        arguments = {"excluded": list(excluded), "sized": list(sized)}
        found = self._connection.execute(read_query("tables"), arguments)
        return [Table(name=name, bytes=size, excuse=excuse) for name, size, excuse in found]

    def lock(self, tables: Iterable[Table], excuses: MutableMapping[str, str]) -> list[str]:
        """Lock tables as every reader does, so that nobody rewrites them; the names of those that are locked.

        Those that somebody waits to change are not waited for; `excuses` says why one could not be locked.
        """
        names = [table.name for table in tables if not table.excuse]
        for start in range(0, len(names), _LOCKED_TOGETHER):
            batch = names[start : start + _LOCKED_TOGETHER]
            if self._refused(batch, _PATIENCE):
                refused = {name: self._refused([name], _IMPATIENCE) for name in batch}
                excuses.update({name: reason for name, reason in refused.items() if reason})
        return [name for name in names if name not in excuses]

    def _refused(self, names: Sequence[str], seconds: float) -> str | None:
        """Why these tables could not be locked, if they could not."""
        try:
            with self._connection.transaction():
                self._connection.execute(f"SET LOCAL lock_timeout = {seconds * 1000:.0f}".encode())
                self._connection.execute(f"LOCK TABLE ONLY {', ONLY '.join(names)} IN ACCESS SHARE MODE".encode())
        except psycopg.Error as error:
            if is_lost(error):
                raise
            return _reason(error)
        return None

    def read_tables(self, tables: Iterable[Table]) -> None:
        """Rows and fingerprints: small tables together, each large one by itself while there is time."""
        small: list[Table] = []
        large: list[Table] = []
        for table in tables:
            if table.excuse:
                self._miss(Fact(ROWS, table.name), table.excuse)
            else:
                (small if table.bytes <= _SMALL else large).append(table)
        for start in range(0, len(small), _TOGETHER):
            self._read_together(small[start : start + _TOGETHER])
        for table in large:
            self._read_alone(table)

    def read_catalogue(self) -> None:
        """What the catalogue says of every object."""
        for kind, query in QUERIES.items():
            with self._asking(Fact(kind, "")):
                for name, value in self._connection.execute(query.encode()):
                    self.findings.facts[Fact(kind, name)] = kept(value or "")

    def read_large_objects(self) -> None:
        """Count, bytes and MD5 of the large objects: of each, where there are not too many."""
        fact = Fact(LARGE_OBJECTS, "")
        found: list[tuple[int, int, str, int]] = []
        with self._asking(fact):
            found = self._connection.execute(read_query("large_objects_content")).fetchall()
        if fact in self.findings.unproven:
            return
        size, mark = sum(row[1] for row in found), sum(row[3] for row in found)
        self.findings.facts[fact] = f"{len(found)} objects, {size} bytes, {mark}"
        for oid, length, digest, _ in found if len(found) <= _MANY_OBJECTS else []:
            self.findings.facts[Fact(LARGE_OBJECT, str(oid))] = f"{length} bytes, md5 {digest}"

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self._seconds - (time.monotonic() - self._begun)

    def _read_together(self, tables: Sequence[Table]) -> None:
        """Ask for many in one query; where one of them cannot be read, for each by itself."""
        if self.left < self._seconds * _GRACE:
            for table in tables:
                self._read_alone(table)
            return
        pieces = (f"SELECT {place}, {self._question(table.name)}" for place, table in enumerate(tables))
        query = " UNION ALL ".join(pieces)
        try:
            with self._connection.transaction():
                self._limit(self.left)
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
                with self._asking(fact, seconds=self.left - self._seconds * _GRACE / 2):
                    for count, content in self._connection.execute(f"SELECT {self._question(name)}".encode()):
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

    def _question(self, name: str) -> str:
        """What is selected of a table. `(x.*)`, for `x` alone would mean a column of that name."""
        content = 'sum(pg_catalog.hashtextextended((x.*)::text COLLATE "C", 0)::numeric)::text'
        return f"count(*), {content if self._mode == 'full' else 'NULL'} FROM ONLY {name} AS x"

    def _keep(self, name: str, count: int, content: str | None) -> None:
        self.findings.facts[Fact(ROWS, name)] = count
        if self._mode == "full" and (content is not None or not count):
            self.findings.facts[Fact(CONTENT, name)] = content or "0"

    @contextmanager
    def _asking(self, fact: Fact, *, seconds: float | None = None) -> Iterator[None]:
        """A question of its own: what the server refuses makes `fact` unproven, what it takes too long for too."""
        try:
            with self._connection.transaction():
                self._limit(max(self.left, 1) if seconds is None else seconds)
                yield
        except psycopg.Error as error:
            if is_lost(error):
                raise
            self._miss(fact, _reason(error))

    def _limit(self, seconds: float) -> None:
        milliseconds = str(max(int(seconds * 1000), 1))
        self._connection.execute(
            "SELECT pg_catalog.set_config('statement_timeout', %(ms)s, true)", {"ms": milliseconds}
        )

    def _miss(self, fact: Fact, reason: str) -> None:
        log.debug("unproven", fact=str(fact), reason=reason)
        self.findings.unproven[fact] = reason


def read_positions(connection: Connection) -> tuple[dict[str, tuple[int, bool]], dict[Fact, str]]:
    """Where every sequence stands now, whatever the transaction sees, and which cannot be read.

    Holds no lock afterwards: must be called outside of a transaction.
    """
    names = [name for (name,) in connection.execute(read_query("sequences"))]
    found: dict[str, tuple[int, bool]] = {}
    unproven: dict[Fact, str] = {}
    for start in range(0, len(names), _TOGETHER):
        batch = names[start : start + _TOGETHER]
        try:
            found |= _ask_positions(connection, batch)
        except psycopg.Error as error:
            if is_lost(error):
                raise
            for name in batch:
                try:
                    found |= _ask_positions(connection, [name])
                except psycopg.Error as single:
                    if is_lost(single):
                        raise
                    unproven[Fact(POSITION, name)] = _reason(single)
    return found, unproven


def positions(before: Mapping[str, tuple[int, bool]], after: Mapping[str, tuple[int, bool]]) -> dict[Fact, Value]:
    """The facts of what was read before and after: whatever was in between lies within."""
    found: dict[Fact, Value] = {}
    for name in before.keys() & after.keys():
        low, high = sorted((before[name], after[name]))
        found[Fact(POSITION, name)] = (low, high)
    return found


def _ask_positions(connection: Connection, names: Sequence[str]) -> dict[str, tuple[int, bool]]:
    query = " UNION ALL ".join(f"SELECT {i}, last_value, is_called FROM {name}" for i, name in enumerate(names))
    return {names[i]: (value, called) for i, value, called in connection.execute(query.encode())}


def _reason(error: psycopg.Error) -> str:
    """The server's first line, in our words where it is the time."""
    if isinstance(error, psycopg.errors.QueryCanceled):
        return "there was not enough time"
    if isinstance(error, psycopg.errors.LockNotAvailable):
        return "another session wants to change it"
    return re.sub(r"\s+", " ", str(error).splitlines()[0]) if str(error) else type(error).__name__
