"""Looks at the large tables of a restore as soon as they are loaded, beside what is still to be loaded and built.

Owns when a table can be read: the server says which one is being copied into, and those before it in the archive are
loaded. Each is read in a transaction of its own, so that whoever builds an index waits for no more than that; one that
is being changed is left for later, like everything that cannot be read now. Nothing of it is needed: what is not found
out by the end of the restore, for which nobody has to wait, is found out then.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress

import psycopg

from backup.domain.proof import Fact, Mode, Value, unquoted
from backup.domain.toc import Entry, load_order
from backup.errors import PgproofError
from backup.logs import log
from backup.postgres.connection import Connection
from backup.postgres.facts import SMALL, FactReader
from backup.signals import undisturbed

_POLL = 0.2
"""Seconds between two looks at what is loaded."""
_LOCK = "SET LOCAL lock_timeout = '500ms'"
_LONG = 86_400.0
_COPIED = """SELECT pg_catalog.format('%s.%s', n.nspname, c.relname) FROM pg_catalog.pg_stat_progress_copy AS p
JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) p.relid
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
WHERE p.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()"""

Reach = Callable[[], AbstractContextManager[Connection]]
"""Connects to the database that is being restored, settled."""


class EarlyLook:
    """One thread that looks; `facts` are what it has found out so far."""

    def __init__(self, entries: Sequence[Entry], mode: Mode) -> None:
        self._order = {name: position for position, name in enumerate(load_order(entries))}
        self._mode = mode
        self._loaded = threading.Event()
        self._ended = threading.Event()
        self._connection: Connection | None = None
        self._reader: FactReader | None = None
        self._seen: set[str] = set()
        self.facts: dict[Fact, Value] = {}

    def all_loaded(self) -> None:
        """Say that every table is."""
        self._loaded.set()

    @contextmanager
    def at_work(self, reach: Reach) -> Iterator[None]:
        """Look as long as the context lasts: then somebody waits for the database."""
        thread = threading.Thread(target=self._run, args=(reach,), name="early look", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            with undisturbed():
                while thread.is_alive():
                    self._break_off()
                    thread.join(_POLL)

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
                    is_last = self._loaded.is_set()
                    self._look(connection)
                    if is_last:
                        return
                    self._ended.wait(_POLL)
        except (PgproofError, psycopg.Error, InterruptedError) as error:
            log.debug("no early look", reason=str(error))

    def _look(self, connection: Connection) -> None:
        """Read what can be read and was not yet."""
        ready = self._ready(connection) - self._seen
        if not ready:
            return
        with connection.transaction():
            connection.execute(_LOCK)
            self._reader = reader = FactReader(connection, self._mode, seconds=_LONG)
            names = [table.name for table in reader.tables() if unquoted(table.name) in ready]
            tables = [table for table in reader.tables(names) if table.name in set(names)]
        self._seen |= ready
        for table in tables:
            if table.bytes > SMALL and not table.excuse and not self._ended.is_set():
                with connection.transaction():
                    connection.execute(_LOCK)
                    self._reader = reader = FactReader(connection, self._mode, seconds=_LONG)
                    reader.settle(parallel=False)
                    reader.read_tables([table])
                self.facts |= reader.findings.facts

    def _ready(self, connection: Connection) -> set[str]:
        """Names (`schema.table`) of the tables that are loaded."""
        if self._loaded.is_set():
            return set(self._order)
        copied = [self._order[name] for (name,) in connection.execute(_COPIED) if name in self._order]
        return {name for name, position in self._order.items() if position < max(copied)} if copied else set()
