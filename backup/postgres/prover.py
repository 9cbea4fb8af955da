"""The proof of a backup: what its snapshot held, found out beside pg_dump on a connection of its own.

Owns the order that keeps it true. Sequences are read before pg_dump begins and after it has ended. Tables are locked
when pg_dump has sent its first byte, for then it holds its own locks: a table that was touched before, with an ALTER
waiting in between, would keep pg_dump waiting for ever. From our locks on no table is changed but for its rows. What
was changed between the snapshot and them, and whatever needs no lock, is found by looking again from outside of the
snapshot (see `movement`), and is not proven.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import psycopg

from backup.domain.patterns import Exclusion
from backup.domain.proof import LEFT_OUT, NOTHING, ROWS, ROWS_LEFT_OUT, Fact, Facts, Mode, Proof
from backup.errors import Interrupted, PartUnavailable, PgproofError
from backup.logs import log
from backup.postgres.connection import Connection, connect
from backup.postgres.facts import FactReader, Table
from backup.postgres.movement import moved_kinds, moved_tables, read_shapes, read_versions
from backup.postgres.sequences import Standings, positions, read_standings
from backup.postgres.session import settle
from backup.postgres.snapshot import HeldSnapshot
from backup.stream.readers import ByteReader, BytesReader

_STEP = 0.5
"""Seconds between two looks at the thread, so that signals are heard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofOptions:
    """How much is found out.

    Attributes:
        seconds: after which what is not known by then stays unproven.
        excluded: what the dump leaves out.
        without_rows: tables of which it leaves the rows out.
    """

    mode: Mode
    seconds: float
    excluded: tuple[Exclusion, ...] = ()
    without_rows: tuple[Exclusion, ...] = ()


class Prover:
    """Makes one proof. To be made before pg_dump is started; `close` ends whatever is under way."""

    def __init__(self, snapshot: HeldSnapshot, options: ProofOptions, *, connect_timeout: int = 10) -> None:
        self._snapshot = snapshot
        self._options = options
        self._connect_timeout = connect_timeout
        self._thread: threading.Thread | None = None
        self._done = threading.Event()
        self._connection: Connection | None = None
        self._reader: FactReader | None = None
        self._proof: Proof | None = None
        self._told: Proof | None = None
        self._failure: Exception | None = None
        self._before = Standings()
        try:
            self._before = self._where_sequences_stand()
        except Interrupted:
            raise
        except PgproofError as error:
            self._failure = error

    def start(self) -> None:
        """Begin: pg_dump holds its locks."""
        if self._failure is None:
            self._thread = threading.Thread(target=self._work, name="proof", daemon=True)
            self._thread.start()

    def finish(self) -> Proof:
        """Wait for what is known of the snapshot, and add where the sequences stand now.

        Raises:
            PartUnavailable: there is no proof; the dump is none the worse for it.
        """
        while not self._has_ended():
            self._done.wait(_STEP)
        if self._failure or self._proof is None:
            error = self._failure
            said = error.message if isinstance(error, PgproofError) else str(error or "it was not begun")
            raise PartUnavailable(f"the snapshot could not be looked at: {said}", detail=_detail(error)) from error
        try:
            facts, unproven = positions(self._before, self._where_sequences_stand())
        except Interrupted:
            raise
        except PgproofError as error:
            raise PartUnavailable(f"the sequences could not be read again: {error.message}") from error
        unproven |= self._proof.unproven
        return replace(
            self._proof,
            facts={**self._proof.facts, **{fact: facts[fact] for fact in facts.keys() - unproven.keys()}},
            unproven=unproven,
        )

    @contextmanager
    def open(self) -> Iterator[ByteReader]:
        """The proof as it is stored. Raises what `finish` raises."""
        proof = self.finish()
        self._told = proof
        if proof.unproven:
            log.warning("not everything is proven", facts=len(proof.unproven), first=str(next(iter(proof.unproven))))
        yield BytesReader(proof.to_json())

    @property
    def proof(self) -> Proof:
        """What was told, once it was opened."""
        if self._told is None:
            raise ValueError("the proof was not opened yet")
        return self._told

    def close(self) -> None:
        """End it; what is under way on the server is cancelled."""
        while not self._has_ended():
            reader, connection = self._reader, self._connection
            if reader is not None:
                reader.stop()
            if connection is not None and not connection.closed:
                try:
                    connection.cancel_safe(timeout=_STEP)
                except psycopg.Error as error:
                    log.debug("the proof's session cannot be cancelled", reason=str(error))
            self._done.wait(_STEP)

    def _has_ended(self) -> bool:
        """Whether nothing is under way. Thread.join would not know: a signal during it makes it forget the thread."""
        return self._thread is None or self._done.is_set()

    def _where_sequences_stand(self) -> Standings:
        with self._connected() as connection:
            return read_standings(connection)

    def _work(self) -> None:
        try:
            self._proof = self._prove()
        except Exception as error:  # noqa: BLE001 -- handed to the main thread, which tells it
            self._failure = error
        finally:
            self._done.set()

    def _prove(self) -> Proof:
        begun = time.monotonic()
        options = self._options
        with self._connected() as connection:
            self._connection = connection
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            connection.execute(b"SET TRANSACTION SNAPSHOT '" + self._snapshot.name.encode() + b"'")
            self._reader = reader = FactReader(connection, options.mode, seconds=options.seconds)
            excuses = reader.leave_out(options.without_rows, ROWS_LEFT_OUT)
            excuses |= reader.leave_out(options.excluded, LEFT_OUT)
            reader.settle(parallel=False)
            reader.read_tables(self._locked(reader, connection, excuses))
            reader.read_large_objects()
            reader.read_catalogue()
            unproven = {**reader.findings.unproven, **self._moved_kinds(connection)}
            connection.execute("ROLLBACK")
        return Proof(
            mode=options.mode,
            server_version=self._snapshot.database.server_version,
            facts=reader.findings.facts,
            unproven=unproven,
            seconds=time.monotonic() - begun,
        )

    def _locked(self, reader: FactReader, connection: Connection, excuses: dict[str, str]) -> list[Table]:
        """The tables, locked; those that could not be, or were changed before they were, with the reason."""
        locked = reader.lock(reader.tables(), excuses)
        then = read_shapes(connection)
        with self._connected() as outside:
            for name, reason in moved_tables(then, read_shapes(outside)).items():
                excuses.setdefault(name, reason)
        return [replace(each, excuse=each.excuse or excuses.get(each.name)) for each in reader.tables(locked)]

    def _moved_kinds(self, connection: Connection) -> dict[Fact, str]:
        with self._connected() as outside:
            return moved_kinds(read_versions(connection), read_versions(outside))

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        with connect(self._snapshot.address, connect_timeout=self._connect_timeout) as connection:
            settle(connection)
            yield connection


def take_proof(
    connection: Connection, mode: Mode, *, server_version: str, seconds: float, known: Facts = NOTHING
) -> Proof:
    """What a database holds now, for example one that was restored; nobody dumps it meanwhile.

    Args:
        connection: in autocommit mode, in the database.
        mode: `full` or `rows`.
        server_version: of the server, as in `18.6`.
        seconds: after which what is not known by then stays unproven.
        known: of tables, which are not looked at again.
    """
    begun = time.monotonic()
    standings = read_standings(connection)
    reader = FactReader(connection, mode, seconds=seconds)
    excuses: dict[str, str] = {}
    names = reader.tables()
    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    locked = reader.lock(names, excuses)  # before anything is asked: the snapshot is taken when nobody truncates
    reader.settle(parallel=True)
    reader.read_tables(
        replace(each, excuse=each.excuse or excuses.get(each.name))
        for each in reader.tables(locked)
        if Fact(ROWS, each.name) not in known
    )
    reader.read_large_objects()
    reader.read_catalogue()
    connection.execute("ROLLBACK")
    found = reader.findings
    facts, unproven = positions(standings, standings)
    return Proof(
        mode=mode,
        server_version=server_version,
        facts={**known, **found.facts, **facts},
        unproven={**unproven, **found.unproven},
        seconds=time.monotonic() - begun,
    )


def _detail(error: Exception | None) -> str | None:
    return error.detail if isinstance(error, PgproofError) else None
