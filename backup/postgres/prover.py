"""The proof of a backup: what its snapshot held, found out beside pg_dump on a connection of its own.

Owns the order that keeps it true. Sequences are read before pg_dump begins and after it has ended. Tables are locked
when pg_dump has sent its first byte, for then it holds its own locks: a table that was touched before, with an ALTER
waiting in between, would keep pg_dump waiting for ever. From our locks on nothing is truncated or rewritten any more;
what was, between the snapshot and them, looks empty in the snapshot and is not read.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import psycopg

from backup.domain.proof import Fact, Mode, Proof, Totals
from backup.errors import PartUnavailable, PgproofError
from backup.logs import log
from backup.postgres.connection import Connection, connect
from backup.postgres.facts import FactReader, Table, positions, read_positions
from backup.postgres.queries import read_query
from backup.postgres.session import settle
from backup.postgres.snapshot import HeldSnapshot
from backup.stream.readers import ByteReader, BytesReader

_SEQUENCE_PATIENCE = "3s"
_STEP = 0.5
"""Seconds between two looks at the thread, so that signals are heard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofOptions:
    """How much is found out.

    Attributes:
        seconds: after which what is not known by then stays unproven.
        excluded: regular expressions on `schema.table`: what the dump leaves out.
    """

    mode: Mode
    seconds: float
    excluded: tuple[str, ...] = ()


class Prover:
    """Makes one proof. To be made before pg_dump is started; `close` ends whatever is under way."""

    def __init__(self, snapshot: HeldSnapshot, options: ProofOptions, *, connect_timeout: int = 10) -> None:
        self._snapshot = snapshot
        self._options = options
        self._connect_timeout = connect_timeout
        self._thread = threading.Thread(target=self._work, name="proof", daemon=True)
        self._connection: Connection | None = None
        self._closed = False
        self._proof: Proof | None = None
        self._totals: Totals | None = None
        self._failure: Exception | None = None
        self._unread: dict[Fact, str] = {}
        self._before: dict[str, tuple[int, bool]] = {}
        try:
            self._before, self._unread = self._where_sequences_stand()
        except PgproofError as error:
            self._failure = error

    def start(self) -> None:
        """Begin: pg_dump holds its locks."""
        if self._failure is None:
            self._thread.start()

    def finish(self) -> Proof:
        """Wait for what is known of the snapshot, and add where the sequences stand now.

        Raises:
            PartUnavailable: there is no proof; the dump is none the worse for it.
        """
        while self._thread.is_alive():
            self._thread.join(_STEP)
        if self._failure or self._proof is None:
            error = self._failure
            said = error.message if isinstance(error, PgproofError) else str(error or "it was not begun")
            raise PartUnavailable(f"the snapshot could not be looked at: {said}", detail=_detail(error)) from error
        try:
            after, missed = self._where_sequences_stand()
        except PgproofError as error:
            raise PartUnavailable(f"the sequences could not be read again: {error.message}") from error
        facts = positions(self._before, after)
        return replace(
            self._proof,
            facts={**self._proof.facts, **facts},
            unproven={**self._proof.unproven, **self._unread, **missed},
        )

    @contextmanager
    def open(self) -> Iterator[ByteReader]:
        """The proof as it is stored. Raises what `finish` raises."""
        proof = self.finish()
        self._totals = proof.totals
        if proof.unproven:
            log.warning("not everything is proven", facts=len(proof.unproven), first=str(next(iter(proof.unproven))))
        yield BytesReader(proof.to_json())

    @property
    def totals(self) -> Totals:
        """The proof in figures, once it was opened."""
        if self._totals is None:
            raise ValueError("the proof was not opened yet")
        return self._totals

    def close(self) -> None:
        """End it; what is under way on the server is cancelled."""
        self._closed = True
        while self._thread.is_alive():
            connection = self._connection
            if connection is not None and not connection.closed:
                try:
                    connection.cancel_safe(timeout=_STEP)
                except psycopg.Error as error:
                    log.debug("the proof's session cannot be cancelled", reason=str(error))
            self._thread.join(_STEP)

    def _where_sequences_stand(self) -> tuple[dict[str, tuple[int, bool]], dict[Fact, str]]:
        with self._connected() as connection:
            connection.execute(f"SET lock_timeout = '{_SEQUENCE_PATIENCE}'".encode())
            return read_positions(connection)

    def _work(self) -> None:
        try:
            self._proof = self._prove()
        except Exception as error:  # noqa: BLE001 -- handed to the main thread, which tells it
            self._failure = error

    def _prove(self) -> Proof:
        begun = time.monotonic()
        options = self._options
        with self._connected() as connection:
            self._connection = connection
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            connection.execute(b"SET TRANSACTION SNAPSHOT '" + self._snapshot.name.encode() + b"'")
            reader = FactReader(connection, options.mode, seconds=options.seconds)
            reader.settle(parallel=False)
            reader.read_tables(self._locked(reader, connection))
            if not self._closed:
                reader.read_large_objects()
                reader.read_catalogue()
            connection.execute("ROLLBACK")
        found = reader.findings
        return Proof(
            mode=options.mode,
            server_version=self._snapshot.database.server_version,
            facts=found.facts,
            unproven=found.unproven,
            seconds=time.monotonic() - begun,
        )

    def _locked(self, reader: FactReader, connection: Connection) -> list[Table]:
        """The tables, locked; those that could not be, or were rewritten before they were, with the reason."""
        excuses: dict[str, str] = {}
        locked = reader.lock(reader.tables(self._options.excluded), excuses)
        for (name,) in connection.execute(read_query("rewritten")):
            excuses[name] = "it was truncated or rewritten while the dump began"
        tables = reader.tables(self._options.excluded, locked)
        return [replace(table, excuse=table.excuse or excuses.get(table.name)) for table in tables]

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        with connect(self._snapshot.address, connect_timeout=self._connect_timeout) as connection:
            settle(connection)
            yield connection


def take_proof(connection: Connection, mode: Mode, *, server_version: str, seconds: float) -> Proof:
    """What a database holds now, for example one that was restored; nobody dumps it meanwhile.

    Args:
        connection: in autocommit mode, in the database.
        mode: `full` or `rows`.
        server_version: of the server, as in `18.6`.
        seconds: after which what is not known by then stays unproven.
    """
    begun = time.monotonic()
    where, unread = read_positions(connection)
    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    reader = FactReader(connection, mode, seconds=seconds)
    reader.settle(parallel=True)
    reader.read_tables(reader.tables(sized=[table.name for table in reader.tables()]))
    reader.read_large_objects()
    reader.read_catalogue()
    connection.execute("ROLLBACK")
    found = reader.findings
    return Proof(
        mode=mode,
        server_version=server_version,
        facts={**found.facts, **positions(where, where)},
        unproven={**found.unproven, **unread},
        seconds=time.monotonic() - begun,
    )


def _detail(error: Exception | None) -> str | None:
    return error.detail if isinstance(error, PgproofError) else None
