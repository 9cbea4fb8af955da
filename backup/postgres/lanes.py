"""A dump in several streams at a time: which tables go into which, and the gate where all wait for their locks.

Owns what is asked of the server for it. Must not keep a lock on a user's table, nor wait for one for long.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import psycopg

from backup.domain.lanes import LARGE, Balance, Table, balance, choose_jobs
from backup.domain.patterns import Exclusion
from backup.errors import DumpFailed, TablesRewritten
from backup.logs import log
from backup.postgres.connection import Connection
from backup.postgres.facts import read_excluded
from backup.postgres.pooler import is_between
from backup.postgres.queries import read_query
from backup.postgres.snapshot import HeldSnapshot, one_row
from backup.stream.child import Child

_LOCK_PATIENCE = "2s"
"""The size of a table waits for whoever has it for himself alone. A guess: pg_dump will have to wait for him anyway."""

_MAY_COUNT = """
SELECT bool_and(pg_catalog.has_table_privilege('pg_catalog.' || name, 'SELECT'))
FROM pg_catalog.unnest(ARRAY['pg_roles', 'pg_database', 'pg_stat_activity']) AS name"""

_LARGE_OBJECTS = "SELECT pg_catalog.pg_table_size('pg_catalog.pg_largeobject')"


def spread(snapshot: HeldSnapshot, jobs: int, exclusions: Sequence[Exclusion], *, large: int = LARGE) -> Balance:
    """Who has what of so many lanes; one lane where the tables' sizes cannot be had now.

    And one where a check of rows may look at other tables: these must be loaded before, and pg_dump's own order, by
    name, may be what sees to that.

    Args:
        snapshot: that is dumped.
        jobs: lanes, at least one.
        exclusions: what the dump leaves out, tables or their rows. Only for the balance: pg_dump sees to it itself.
        large: bytes of a table that may be in another lane than the first.
    """
    connection = snapshot.connection
    tables: list[Table] = []
    try:
        with connection.transaction():
            connection.execute("SELECT pg_catalog.set_config('lock_timeout', %(time)s, true)", {"time": _LOCK_PATIENCE})
            rows = connection.execute(read_query("lanes")).fetchall()
            (rest,) = one_row(connection, _LARGE_OBJECTS)
            checks = [name for (name,) in connection.execute(read_query("looking_checks"))]
    except psycopg.errors.LockNotAvailable:
        log.info("one lane only", reason="a table is locked, so the sizes of tables are not known")
        return balance((), jobs=1)
    if checks:
        log.info("one lane only", reason=f"{', '.join(checks)} may look at other tables when rows are loaded")
        return balance((), jobs=1)
    out = {name for kind, name, _ in read_excluded(connection, exclusions) if kind == "r"}
    for schema, name, quoted, size in rows:
        if quoted in out:
            continue
        if _can_be_named(schema + name, snapshot.database.encoding):
            tables.append(Table(schema=schema, name=name, bytes=size))
        else:
            rest += size
    return balance(tables, jobs=jobs, rest=rest, large=large)


def free_sessions(connection: Connection) -> int | None:
    """How many more sessions we may open beside this one; None where we may not know."""
    (permitted,) = one_row(connection, _MAY_COUNT)
    if not permitted:
        return None
    (free,) = one_row(connection, read_query("room"))
    return max(int(free), 0)


def sessions_of(lanes: int) -> int:
    """How many sessions such a dump takes beside that of the snapshot: one for each pg_dump, and two of the proof."""
    return lanes + 2


def fitting(snapshot: HeldSnapshot, wanted: int | None, cores: int) -> int:
    """How many lanes a database is dumped in: as many as wanted, as long as there are sessions for them.

    Where nobody said how many, a pooler's sessions are not taken for it: its pool may be small, and then lanes would
    wait for each other.

    Args:
        snapshot: that is dumped.
        wanted: what is wanted; None for what fits the database.
        cores: that this process may use.
    """
    jobs = choose_jobs(wanted, database_bytes=snapshot.database.bytes, cores=cores)
    if jobs == 1 or (wanted is None and is_between(snapshot.connection)):
        return 1
    free = free_sessions(snapshot.connection)
    if free is None:
        return jobs
    allowed = max(free - sessions_of(0), 1)
    if allowed < jobs:
        log.warning("fewer lanes than wanted", jobs=allowed, wanted=jobs, reason=f"{free} more sessions are possible")
    return min(jobs, allowed)


def _can_be_named(name: str, encoding: str) -> bool:
    """Whether pg_dump takes a name from its command line as it is: that comes in UTF-8, and is in the database's.

    Of a database that does not know its encoding, what has a backslash may be bytes that are no UTF-8.
    """
    return encoding == "UTF8" or (name.isascii() and not (encoding == "SQL_ASCII" and "\\" in name))


def _given_up() -> DumpFailed:
    return DumpFailed("the dump was given up")


class Gate:
    """Where lanes wait until each of them holds its locks, and nothing was rewritten before they did.

    Args:
        lanes: how many there are.
        snapshot: that they dump.
        begin: is called when all hold their locks and nothing was rewritten.
    """

    def __init__(self, lanes: int, snapshot: HeldSnapshot, begin: Callable[[], None] | None) -> None:
        self._missing = lanes
        self._snapshot = snapshot
        self._begin = begin
        self._changed = threading.Condition()
        self._failure: Exception | None = None
        self._children: list[Child] = []

    def join(self, child: Child) -> None:
        """A lane's program has been started. Raises DumpFailed where it is not needed any more."""
        with self._changed:
            self._children.append(child)
            if self._failure:
                raise self._failure

    def wait(self) -> None:
        """This lane holds its locks: return when every other one does too. To be called once by each.

        Raises:
            TablesRewritten: tables were, before they were locked.
            DumpFailed: the gate was closed.
            Exception: what the snapshot's session raises.
        """
        with self._changed:
            self._missing -= 1
            if not self._missing and not self._failure:
                self._look()
                self._changed.notify_all()
            while self._missing and not self._failure:
                self._changed.wait()
            if self._failure:
                raise self._failure

    def close(self) -> None:
        """Let nobody through any more, and end every program that runs; from any thread, and more than once."""
        with self._changed:
            self._failure = self._failure or _given_up()
            self._changed.notify_all()
            children = tuple(self._children)
        for child in children:
            child.terminate()
        for child in children:
            child.give_up()

    def _look(self) -> None:
        try:
            rewritten = self._snapshot.rewritten_tables()
        except Exception as error:
            self._failure = error  # for every lane: which of them comes home first, nobody knows
            self._changed.notify_all()
            raise
        if rewritten:
            self._failure = TablesRewritten(
                f"{', '.join(rewritten)}: truncated, rewritten or replaced while the dump began, its rows are not"
                " in the snapshot",
                hint="run it again; where this happens often, move the schedule away from that job",
            )
        elif self._begin:
            self._begin()
