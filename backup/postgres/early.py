"""Looks at the large tables of a restore as soon as they are loaded, beside what is still to be loaded and built.

Each is read in a transaction of its own. One of which a key is being made is left for later, and no key is begun of one
that is being read: nobody waits for anybody. Nothing of it is needed: what is not found out by the end of the restore
is found out then. Only the table that is being read at that moment may take as long again: mostly that is its end, and
sooner than to begin anew.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace

import psycopg

from backup.domain.proof import Fact, Mode, Value, unquoted
from backup.errors import PgproofError
from backup.logs import log
from backup.postgres.arrivals import Arrivals
from backup.postgres.connection import Connection
from backup.postgres.facts import SMALL, FactReader, Table
from backup.signals import undisturbed

_POLL = 0.2
"""Seconds between two looks at what is loaded."""
_LONGER = 300.0
"""Seconds that a table that is being read at the end may take at most; whoever restores may want the database."""
_LOCK = "SET LOCAL lock_timeout = '500ms'"
_LONG = 86_400.0

Reach = Callable[[], AbstractContextManager[Connection]]
"""Connects to the database that is being restored, settled."""


class EarlyLook:
    """One thread that looks; `facts` are what it has found out so far."""

    def __init__(self, arrivals: Arrivals, mode: Mode) -> None:
        self._arrivals = arrivals
        self._mode = mode
        self._ended = threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        self._since = time.monotonic()
        self._connection: Connection | None = None
        self._reader: FactReader | None = None
        self._quoted: dict[str, Table] = {}
        self._seen: set[int] = set()
        self.facts: dict[Fact, Value] = {}

    @contextmanager
    def at_work(self, reach: Reach) -> Iterator[None]:
        """Look as long as the context lasts: then somebody waits for the database."""
        self._idle.clear()
        thread = threading.Thread(target=self._run, args=(reach,), name="early look", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            with undisturbed():
                while not self._idle.is_set():  # not join: a signal there may leave the thread looking dead
                    self._break_off()
                    self._idle.wait(_POLL)

    def finish(self) -> None:
        """Begin nothing any more; the table that is being read may take as long again, though not for ever."""
        self._ended.set()
        self._idle.wait(min(time.monotonic() - self._since, _LONGER))

    def _break_off(self) -> None:
        """End what is being asked."""
        reader, connection = self._reader, self._connection
        if reader is not None:
            reader.stop()
        if connection is not None and not connection.closed:
            with suppress(psycopg.Error):
                connection.cancel_safe(timeout=_POLL)

    def _run(self, reach: Reach) -> None:
        try:
            with reach() as connection:
                self._connection = connection
                while not self._ended.is_set():
                    is_last = self._arrivals.complete
                    left = self._look(connection)
                    if is_last and not left:
                        return
                    self._ended.wait(_POLL)
        except (PgproofError, psycopg.Error, InterruptedError) as error:
            log.debug("no early look", reason=str(error))
        finally:
            self._idle.set()

    def _look(self, connection: Connection) -> bool:
        """Read what can be read and was not yet, the largest first; tells whether something has to wait."""
        loaded = self._arrivals.notable()
        large = [table for table in loaded if loaded[table] > SMALL and table not in self._seen]
        if large and not self._quoted:
            with connection.transaction():
                tables = FactReader(connection, self._mode, seconds=_LONG).tables()
            self._quoted = {unquoted(table.name): table for table in tables}
        left = False
        for table in sorted(large, key=lambda each: -loaded[each]):
            self._since = time.monotonic()
            if self._ended.is_set():
                break
            with self._arrivals.reading(table) as free:
                left = left or not free
                if free:
                    self._seen.add(table)
                    self._read(connection, self._quoted.get(self._arrivals.name_of(table)))
        return left

    def _read(self, connection: Connection, table: Table | None) -> None:
        if table is None or table.excuse:
            return
        with connection.transaction():
            connection.execute(_LOCK)
            self._reader = reader = FactReader(connection, self._mode, seconds=_LONG)
            reader.settle(parallel=False)
            reader.read_tables([replace(table, bytes=SMALL + 1)])
        self.facts |= reader.findings.facts
