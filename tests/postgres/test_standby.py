"""A standby is a source like any other, but for unlogged tables: a real one, that follows a server of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from backup.domain.checks import Check
from backup.errors import DatabaseUnreachable, DumpFailed
from backup.postgres.address import Address
from backup.postgres.clients import find_clients
from backup.postgres.dump import DumpOptions, PgDumpEngine
from backup.postgres.scratch import EMBEDDED, packaged_bin_dir
from backup.postgres.snapshot import hold_snapshot
from backup.postgres.source import PostgresSource
from backup.stream.child import Child
from backup.stream.readers import READ_SIZE
from tests.fixtures.postgres import Server, running, system_bin_dirs
from tests.support.services import missing

_DELAY = 0.1
"""Seconds that the standby waits for a session that is in the way."""

CLIENTS = find_clients([packaged_bin_dir(EMBEDDED)], {})


@dataclass(frozen=True)
class Pair:
    """A server, and the address of its standby."""

    primary: Server
    standby: str

    def write(self, *statements: str, wait_for: str = "pg_last_wal_replay_lsn") -> None:
        """Execute on the primary, and wait until the standby has it, or as far as a function of its tells."""
        with self.primary.connect() as connection:
            for statement in statements:
                connection.execute(statement.encode())
            connection.execute("SET synchronous_commit = on")
            connection.execute(
                "SELECT pg_logical_emit_message(true, '', '')"
            )  # flushes what nobody else would for 15 s
            (lsn,) = connection.execute("SELECT pg_current_wal_flush_lsn()::text").fetchone() or ("",)
        with psycopg.connect(self.standby, autocommit=True) as connection:
            wait_until(connection, f"SELECT {wait_for}() >= '{lsn}'")

    def source(self) -> PostgresSource:
        return PostgresSource(address=Address.parse(self.standby), clients=CLIENTS, connect_timeout=5)

    def checks(self) -> dict[str, Check]:
        return {each.name: each for each in self.source().checks()}


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    bin_dir = next(iter(system_bin_dirs()), None) or missing("there is no PostgreSQL server with pg_basebackup")
    account = "nobody" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="pgproof-", dir="/tmp"))
    if account:
        os.chown(folder, pwd.getpwnam(account).pw_uid, -1)
    try:
        with running(bin_dir, settings={"wal_level": "replica", "max_wal_senders": "3"}) as primary:
            copy(primary, folder / "data", account)
            port = free_port()
            argv = [str(bin_dir / "postgres"), "-D", str(folder / "data"), "-p", str(port), "-k", str(folder)]
            argv += ["-c", f"max_standby_streaming_delay={_DELAY * 1000:.0f}ms"]
            with Child(argv, env={"LC_ALL": "C"}, user=account, cwd=folder) as child:
                address = f"host={folder} port={port} user={primary.superuser} dbname=postgres"
                wait_for(address, child)
                yield Pair(primary, address)
    finally:
        shutil.rmtree(folder)


def copy(primary: Server, data: Path, account: str | None) -> None:
    argv = [
        str(primary.bin_dir / "pg_basebackup"),
        "--write-recovery-conf",
        "--checkpoint=fast",
        f"--pgdata={data}",
        f"--dbname={primary.conninfo()}",
    ]
    with Child(argv, env={"PGPASSWORD": primary.password, "LC_ALL": "C"}, user=account, cwd=data.parent) as child:
        assert child.wait() == 0, child.stderr_tail


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(address: str, child: Child) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end and child.poll() is None:
        try:
            psycopg.connect(address).close()
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(child.stderr_tail)


def wait_until(connection: psycopg.Connection, query: str) -> None:
    end = time.monotonic() + 30
    while connection.execute(query.encode()).fetchone() != (True,):
        assert time.monotonic() < end, query
        time.sleep(0.02)


def test_a_standby_is_told(pair: Pair) -> None:
    pair.write("DROP TABLE IF EXISTS fleeting")
    found = pair.checks()
    assert {each.verdict for each in found.values()} == {"ok"}
    assert found["standby"].message == "a standby is backed up"


def test_the_rows_of_unlogged_tables_that_a_standby_lacks_are_a_warning(pair: Pair) -> None:
    pair.write("CREATE UNLOGGED TABLE IF NOT EXISTS fleeting (id int)")
    found = pair.checks()
    assert found["standby"].verdict == "warn"
    assert "unlogged" in found["standby"].message


def test_a_standby_is_dumped_in_a_snapshot_of_its_own(pair: Pair) -> None:
    pair.write("CREATE TABLE kept (id int)", "INSERT INTO kept VALUES (1), (2)", "CREATE UNLOGGED TABLE lost (id int)")
    engine = PgDumpEngine(clients=CLIENTS, options=DumpOptions(), environ={})
    with hold_snapshot(Address.parse(pair.standby), "test", connect_timeout=5) as snapshot:
        assert snapshot.database.standby
        assert snapshot.mark.lsn.startswith("0/")
        pair.write("INSERT INTO kept VALUES (3)")
        with closing(engine.parts(snapshot)) as parts, next(parts).open() as reader:
            dumped = b"".join(iter(lambda: reader.read(READ_SIZE), b""))
    assert dumped.startswith(b"PGDMP")
    assert b"\x002\n" in dumped  # each row is a block of its own, after its length
    assert b"\x003\n" not in dumped


def dump_while(pair: Pair, *statements: str) -> None:
    """Dump the standby, and write to the primary as soon as something comes of it."""
    engine = PgDumpEngine(clients=CLIENTS, options=DumpOptions(), environ={})
    with (
        hold_snapshot(Address.parse(pair.standby), "test", connect_timeout=5) as snapshot,
        closing(engine.parts(snapshot)) as parts,
        next(parts).open() as reader,
    ):
        assert reader.read(READ_SIZE)
        pair.write(*statements, wait_for="pg_last_wal_receive_lsn")  # who sends and is not read is not cancelled
        time.sleep(3 * _DELAY)
        while reader.read(READ_SIZE):
            pass


def test_a_dump_in_the_way_of_a_change_of_the_primary_is_told_with_what_to_do(pair: Pair) -> None:
    pair.write("CREATE TABLE large AS SELECT repeat('x', 1000) AS t FROM generate_series(1, 40000)")
    with pytest.raises(DumpFailed, match="was ended by the standby") as caught:
        dump_while(pair, "DELETE FROM large", "VACUUM large")
    assert caught.value.retryable
    assert "hot_standby_feedback" in (caught.value.hint or "")
    assert "conflict with recovery" in (caught.value.detail or "")


def hold_while(pair: Pair, *statements: str) -> None:
    """Hold a snapshot of the standby and write to the primary, until the standby does not bear it any more."""
    with hold_snapshot(Address.parse(pair.standby), "test", connect_timeout=5) as snapshot:
        pair.write(*statements)
        while True:
            snapshot.rewritten_tables()


def test_our_session_in_the_way_of_a_change_of_the_primary_is_told_too(pair: Pair) -> None:
    pair.write("CREATE TABLE IF NOT EXISTS brief AS SELECT generate_series(1, 1000) AS a")
    with pytest.raises(DatabaseUnreachable, match="in the way of a change") as caught:
        hold_while(pair, "DELETE FROM brief", "VACUUM brief")
    assert "hot_standby_feedback" in (caught.value.hint or "")
