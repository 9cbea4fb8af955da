"""Equal in, equal out: the kitchen sink and databases of unusual kinds, from and into PostgreSQL 15 and 18."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg import sql

from backup.postgres.clients import Client
from backup.stores.directory import DirectoryStore
from tests.fixtures.postgres import Server
from tests.support.compare import difference, facts
from tests.support.pgproof import ZSTD, backed_up, clients_of, make_restorer, restored
from tests.support.sink import load_roles, load_sink

ANYWHERE = ("types", "objects", "superuser")
"""Of the kitchen sink: what needs neither contrib modules nor a version of its own."""

_OWN_SUBSCRIPTIONS = """
SELECT subname FROM pg_subscription s JOIN pg_database d ON d.oid = subdbid WHERE datname = current_database()"""


def held(server: Server, database: str) -> dict[str, object]:
    with server.connect(database) as connection:
        return facts(connection)


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "store")


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
    """Everything that an embedded server can take."""
    yield from _sink(pg18, *ANYWHERE, "only_18")


@pytest.fixture(scope="module")
def common18(pg18: Server) -> Iterator[str]:
    """What every version can take, on 18."""
    yield from _sink(pg18, *ANYWHERE)


@pytest.fixture(scope="module")
def common15(system_server: Server) -> Iterator[str]:
    """What every build can take, on the system's server."""
    yield from _sink(system_server, *ANYWHERE)


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
) -> None:
    """Back up, restore, compare, drop."""
    with target.connect() as connection:
        load_roles(connection)
    again = f"{database}_{secrets.token_hex(3)}"
    backup = backed_up(source, database, store, clients=clients, encoding=ZSTD)
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
