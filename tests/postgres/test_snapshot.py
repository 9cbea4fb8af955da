"""The snapshot's session, and what a dump makes of tables that others rewrite or that are left out."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import pytest
from psycopg import sql

from backup.errors import DumpFailed
from backup.postgres.address import Address
from backup.postgres.dump import DumpOptions
from backup.postgres.snapshot import HeldSnapshot, hold_snapshot
from backup.stores.directory import DirectoryStore
from backup.stream.readers import READ_SIZE
from backup.workflow.back_up import BackUpChoice, back_up
from backup.workflow.copies import Copies
from tests.fixtures.postgres import NewDatabase, NewRole, Server
from tests.support.pgproof import (
    PLAIN,
    address_of,
    backed_up,
    clients_of,
    make_engine,
    make_restorer,
    make_source,
    now,
    restored,
    rows,
    run,
)


def dump(server: Server, snapshot: HeldSnapshot, options: DumpOptions, *, pause: float = 0) -> int:
    """Bytes of a dump, read with a pause after the first of them."""
    size = 0
    with closing(make_engine(clients_of(server), options).parts(snapshot)) as parts, next(parts).open() as reader:
        while data := reader.read(READ_SIZE):
            size += len(data)
            time.sleep(pause)
            pause = 0
    return size


def test_the_server_notices_soon_that_the_lock_s_holder_is_gone(pg18: Server, new_database: NewDatabase) -> None:
    with hold_snapshot(address_of(pg18, new_database(pg18)), "it", connect_timeout=5) as snapshot:
        found = snapshot.connection.execute(
            "SELECT name, setting FROM pg_settings WHERE name ~ '^tcp_keepalives' ORDER BY name"
        ).fetchall()
    assert found == [("tcp_keepalives_count", "6"), ("tcp_keepalives_idle", "60"), ("tcp_keepalives_interval", "10")]


def test_by_unix_socket_there_is_nothing_to_keep_alive_and_nothing_fails(pg18: Server) -> None:
    address = Address.parse(f"host={pg18.socket_folder} port={pg18.port} user=postgres dbname=postgres")
    with hold_snapshot(address, "it", connect_timeout=5) as snapshot:
        assert snapshot.name


def test_children_wait_for_a_connection_as_long_as_we_do(pg18: Server) -> None:
    with hold_snapshot(address_of(pg18), "it", connect_timeout=7) as snapshot:
        assert "connect_timeout=7" in snapshot.address.argument()
    with hold_snapshot(address_of(pg18).with_keywords(connect_timeout="9"), "it", connect_timeout=7) as snapshot:
        assert "connect_timeout=9" in snapshot.address.argument()


def test_short_timeouts_of_the_role_do_not_end_a_backup(
    pg18: Server, new_database: NewDatabase, new_role: NewRole
) -> None:
    name, role = new_database(pg18), new_role(pg18)
    run(pg18, name, "CREATE TABLE t AS SELECT repeat('x', 1000) AS t FROM generate_series(1, 40000)")
    with pg18.connect(name) as connection:
        connection.execute(sql.SQL("GRANT SELECT ON t TO {}").format(sql.Identifier(role.name)))
        for setting in ("statement_timeout", "idle_in_transaction_session_timeout", "transaction_timeout"):
            connection.execute(
                sql.SQL("ALTER ROLE {} SET {} = '200ms'").format(sql.Identifier(role.name), sql.SQL(setting))
            )
    with hold_snapshot(address_of(pg18, name, role), "it", connect_timeout=5) as snapshot:
        time.sleep(0.3)
        assert dump(pg18, snapshot, DumpOptions(globals="off"), pause=0.6) > 40_000_000
        assert snapshot.rewritten_tables() == ()


def test_a_table_that_is_truncated_meanwhile_ends_a_dump_though_it_is_left_out(
    pg18: Server, new_database: NewDatabase
) -> None:
    name = new_database(pg18)
    run(pg18, name, "CREATE TABLE kept AS SELECT 1 AS a; CREATE TABLE staging AS SELECT 1 AS a")
    with hold_snapshot(address_of(pg18, name), "it", connect_timeout=5) as snapshot:
        run(pg18, name, "TRUNCATE staging")
        with pytest.raises(DumpFailed, match=r"^public\.staging: truncated"):
            dump(pg18, snapshot, DumpOptions(exclude_tables=("staging",)))


def test_what_is_left_out_is_not_in_the_backup_and_all_else_is(
    pg18: Server, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(pg18)
    run(
        pg18,
        name,
        "CREATE TABLE kept AS SELECT 1 AS a; CREATE TABLE hollow AS SELECT 1 AS a;"
        " CREATE TABLE absent AS SELECT 1 AS a; CREATE SCHEMA gone; CREATE TABLE gone.t AS SELECT 1 AS a",
    )
    options = DumpOptions(
        globals="off", exclude_schemas=("gone",), exclude_tables=("absent",), exclude_table_data=("hollow",)
    )
    engine = make_engine(clients_of(pg18), options)
    backup = back_up(
        make_source(pg18, name), engine, Copies(store), BackUpChoice(target="it", encoding=PLAIN), clock=now
    )
    assert backup.filtered
    again = f"{name}_again"
    restored(backup, store, make_restorer(pg18), again)
    assert rows(pg18, again, "SELECT a, (SELECT count(*) FROM hollow) FROM kept") == [(1, 0)]
    assert rows(pg18, again, "SELECT to_regclass('absent'), to_regnamespace('gone')") == [(None, None)]


def test_a_database_that_writes_times_in_its_own_way_is_backed_up(
    pg18: Server, new_database: NewDatabase, tmp_path: Path
) -> None:
    name = new_database(pg18)
    with pg18.connect() as connection:
        connection.execute(sql.SQL("ALTER DATABASE {} SET datestyle = 'German'").format(sql.Identifier(name)))
    backup = backed_up(pg18, name, DirectoryStore(tmp_path / "store"))
    assert backup.status.value == "complete"
