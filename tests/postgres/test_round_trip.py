"""Equal in, equal out: the kitchen sink and databases of unusual kinds, from and into PostgreSQL 15 and 18."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import LiteralString

import pytest
from psycopg import sql

from backup.demo.s3_server import S3Server
from backup.postgres.clients import Client
from backup.postgres.restore_job import RestoreOptions
from backup.postgres.snapshot import HeldSnapshot
from backup.postgres.source import PostgresSource
from backup.stores.directory import DirectoryStore
from backup.workflow.back_up import BackUpChoice, back_up
from backup.workflow.copies import Copies
from tests.fixtures.postgres import NewDatabase, Server
from tests.fixtures.s3 import s3_store
from tests.support.compare import difference, facts
from tests.support.pgproof import (
    PLAIN,
    ZSTD,
    address_of,
    backed_up,
    clients_of,
    lanes,
    make_engine,
    make_restorer,
    now,
    restored,
    rows,
    run,
)
from tests.support.sink import COMMON, load_roles, load_sink

_OWN_SUBSCRIPTIONS = """
SELECT subname FROM pg_subscription s JOIN pg_database d ON d.oid = subdbid WHERE datname = current_database()"""


def held(server: Server, database: str) -> dict[str, object]:
    with server.connect(database) as connection:
        return facts(connection)


def drop(server: Server, database: str) -> None:
    """Drop a database that may have a subscription, if it is there."""
    if database not in server.databases():
        return
    with server.connect(database) as connection:
        for (name,) in connection.execute(_OWN_SUBSCRIPTIONS).fetchall():
            connection.execute(sql.SQL("DROP SUBSCRIPTION {}").format(sql.Identifier(name)))
    with server.connect() as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(database)))


def _sink(server: Server, *files: str) -> Iterator[str]:
    name = f"sink_{secrets.token_hex(3)}"
    with server.connect() as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        with server.connect(name) as connection:
            load_sink(connection, files or None)
        yield name
    finally:
        drop(server, name)


@pytest.fixture(scope="module")
def sink15(system_server: Server) -> Iterator[str]:
    """Everything that the system's server can take."""
    yield from _sink(system_server)


@pytest.fixture(scope="module")
def sink18(pg18: Server) -> Iterator[str]:
    """Everything that the embedded server can take."""
    yield from _sink(pg18)


@pytest.fixture(scope="module")
def common18(pg18: Server) -> Iterator[str]:
    """What every version can take, on 18."""
    yield from _sink(pg18, *COMMON)


@pytest.fixture(scope="module")
def common15(system_server: Server) -> Iterator[str]:
    """What every version can take, on the system's server."""
    yield from _sink(system_server, *COMMON)


def compare(source: Server, database: str, target: Server, again: str, *, ignore: tuple[str, ...] = ()) -> list[str]:
    return difference(held(source, database), held(target, again), ignore=ignore)


def check(
    source: Server,
    database: str,
    target: Server,
    store: DirectoryStore,
    *,
    clients: tuple[Client, ...] = (),
    jobs: int = 1,
    dump_jobs: int = 1,
) -> None:
    """Back up, restore, compare, drop."""
    with target.connect() as connection:
        load_roles(connection)
    again = f"{database}_{secrets.token_hex(3)}"
    backup = backed_up(source, database, store, clients=clients, encoding=ZSTD, dump=lanes(dump_jobs))
    assert len(backup.parts) == dump_jobs
    try:
        report = restored(backup, store, make_restorer(target, clients=clients), again, jobs=jobs)
        assert report.notes == ()
        assert compare(source, database, target, again) == []
    finally:
        drop(target, again)


def test_the_kitchen_sink_of_15_comes_back_equal_into_15(
    system_server: Server, sink15: str, store: DirectoryStore
) -> None:
    check(system_server, sink15, system_server, store, jobs=2)


def test_the_kitchen_sink_of_18_comes_back_equal_into_18(pg18: Server, sink18: str, store: DirectoryStore) -> None:
    check(pg18, sink18, pg18, store, jobs=2)


def test_the_kitchen_sink_of_15_comes_back_equal_into_18(
    system_server: Server, common15: str, pg18: Server, store: DirectoryStore
) -> None:
    check(system_server, common15, pg18, store, clients=clients_of(system_server, pg18))


@pytest.mark.parametrize("dump_jobs", [2, 5])
def test_the_kitchen_sink_of_18_comes_back_equal_out_of_several_lanes(
    pg18: Server, sink18: str, store: DirectoryStore, dump_jobs: int
) -> None:
    check(pg18, sink18, pg18, store, jobs=2, dump_jobs=dump_jobs)


def test_the_kitchen_sink_of_15_comes_back_equal_out_of_several_lanes(
    system_server: Server, sink15: str, store: DirectoryStore
) -> None:
    check(system_server, sink15, system_server, store, jobs=2, dump_jobs=3)


@pytest.mark.parametrize("jobs", [1, 3])
def test_the_kitchen_sink_of_18_comes_back_equal_into_15(
    pg18: Server, common18: str, system_server: Server, store: DirectoryStore, jobs: int
) -> None:
    check(pg18, common18, system_server, store, clients=clients_of(pg18), jobs=jobs)


@pytest.mark.parametrize("jobs", [1, 3])
def test_the_18_client_alone_backs_up_a_15_server_and_restores_into_it(
    system_server: Server, common15: str, pg18: Server, store: DirectoryStore, jobs: int
) -> None:
    check(system_server, common15, system_server, store, clients=clients_of(pg18), jobs=jobs)


def test_the_18_client_backs_up_a_whole_15_server_but_leaves_out_and_names_what_15_cannot_read_again(
    system_server: Server, sink15: str, pg18: Server, store: DirectoryStore
) -> None:
    clients = clients_of(pg18)
    again = f"{sink15}_again"
    backup = backed_up(system_server, sink15, store, clients=clients)
    try:
        report = restored(backup, store, make_restorer(system_server, clients=clients), again, jobs=2)
        assert [note for note in report.notes if "sub %s" in note]
        assert len(report.notes) == 1
        assert (
            compare(system_server, sink15, system_server, again, ignore=("subscription", "comment subscription")) == []
        )
    finally:
        drop(system_server, again)


def test_it_comes_back_equal_through_s3(
    pg18: Server, common18: str, s3_server: S3Server, bucket: str, new_database: NewDatabase
) -> None:
    store = s3_store(s3_server, bucket)
    again = f"{new_database(pg18)}_again"
    backup = backed_up(pg18, common18, store, encoding=replace(ZSTD, volume_size=1 << 17))
    assert len(backup.parts[0].volumes) > 1
    restored(backup, store, make_restorer(pg18), again, jobs=2)
    assert compare(pg18, common18, pg18, again) == []


@pytest.mark.parametrize(
    "options",
    [
        "TEMPLATE template0 ENCODING LATIN1 LC_COLLATE 'C' LC_CTYPE 'C'",
        "TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'de-DE' LOCALE 'C.UTF-8'",
        "TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C.UTF-8'",
        "CONNECTION LIMIT 7 IS_TEMPLATE true",
    ],
    ids=["latin1", "icu", "ctype", "template"],
)
def test_a_database_is_made_again_as_it_was(
    system_server: Server, new_database: NewDatabase, store: DirectoryStore, options: LiteralString
) -> None:
    name = new_database(system_server, options=options)
    run(system_server, name, "CREATE TABLE t AS SELECT 'gr\u00fc\u00dfe' COLLATE \"C\" AS a")
    report = restored(backed_up(system_server, name, store), store, make_restorer(system_server), f"{name}_again")
    try:
        assert report.notes == ()
        assert compare(system_server, name, system_server, f"{name}_again") == []
    finally:
        for each in (name, f"{name}_again"):
            with system_server.connect() as connection:
                connection.execute(sql.SQL("ALTER DATABASE {} IS_TEMPLATE false").format(sql.Identifier(each)))


def test_the_builtin_locale_provider_becomes_libc_on_15_and_that_is_said(
    pg18: Server, system_server: Server, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(pg18, options="TEMPLATE template0 LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C'")
    again = f"{new_database(system_server)}_again"
    run(pg18, name, "CREATE TABLE t AS SELECT 'x'::text AS a")
    backup = backed_up(pg18, name, store)
    report = restored(backup, store, make_restorer(system_server, clients=clients_of(pg18)), again)
    assert [note for note in report.notes if "builtin" in note and "libc" in note]
    assert rows(system_server, again, "SELECT a FROM t") == [("x",)]


def test_an_empty_database_comes_back_empty(pg18: Server, new_database: NewDatabase, store: DirectoryStore) -> None:
    name = new_database(pg18)
    restored(backed_up(pg18, name, store), store, make_restorer(pg18), f"{name}_again", jobs=2)
    assert compare(pg18, name, pg18, f"{name}_again") == []


def test_rows_written_after_the_snapshot_are_absent(
    pg18: Server, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(pg18)
    run(pg18, name, "CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
    clients = clients_of(pg18)

    class Writing(PostgresSource):
        """Lets a row be written between the snapshot and pg_dump."""

        @contextmanager
        def snapshot(self, target: str) -> Iterator[HeldSnapshot]:
            with super().snapshot(target) as held:
                run(pg18, name, "INSERT INTO t VALUES (2); CREATE TABLE later AS SELECT 1")
                yield held

    source = Writing(address=address_of(pg18, name), clients=clients)
    choice = BackUpChoice(target="it", encoding=PLAIN)
    backup = back_up(source, make_engine(clients), Copies(store), choice, clock=now)
    restored(backup, store, make_restorer(pg18), f"{name}_again")
    assert rows(pg18, f"{name}_again", "SELECT a, to_regclass('later') FROM t") == [(1, None)]


def test_two_thousand_tables_come_back_though_their_list_is_too_long_to_keep(
    pg18: Server, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(pg18)
    for first in range(0, 2000, 500):  # each a transaction, for the locks
        with pg18.connect(name, autocommit=False) as connection:
            for i in range(first, first + 500):
                connection.execute(f"CREATE TABLE t{i} AS SELECT {i} AS id".encode())
                connection.execute(f"ALTER TABLE t{i} ADD PRIMARY KEY (id)".encode())
    begun = time.monotonic()
    backup = backed_up(pg18, name, store, encoding=ZSTD)
    restorer = make_restorer(pg18, options=RestoreOptions(head_limit=64 << 10))
    restored(backup, store, restorer, f"{name}_again", jobs=2)
    took = time.monotonic() - begun
    assert rows(pg18, f"{name}_again", "SELECT count(*) FROM pg_index WHERE indisprimary AND indexrelid > 16384") == [
        (2000,)
    ]
    assert rows(pg18, f"{name}_again", "SELECT (SELECT id FROM t0), (SELECT id FROM t1999)") == [(0, 1999)]
    assert took < 120
