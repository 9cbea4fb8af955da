"""Which installed client is used: the server's own major, else the nearest newer one, never one that cannot read."""

from __future__ import annotations

from pathlib import Path

import pytest

from backup.errors import ConfigurationError
from backup.postgres.clients import Client, choose, find_clients
from backup.stores.directory import DirectoryStore
from tests.fixtures.postgres import NewDatabase, Server
from tests.support.pgproof import backed_up, clients_of, make_engine, make_restorer, make_source, restored

_15, _16_1, _16_4, _18 = (
    Client(major, minor, Path(f"/{major}")) for major, minor in [(15, 2), (16, 1), (16, 4), (18, 0)]
)
INSTALLED = (_18, _16_1, _15, _16_4)


@pytest.mark.parametrize(
    ("server", "archive", "chosen"),
    [
        (15, 0, _15),
        (16, 0, _16_4),
        (17, 0, _18),
        (18, 0, _18),
        (9, 0, _15),
        (15, 16, _16_4),
        (15, 17, _18),
        (18, 15, _18),
        (0, 16, _16_4),
        (0, 0, _15),
    ],
)
def test_the_servers_own_major_is_preferred_else_the_nearest_newer_and_never_one_older_than_the_archive(
    server: int, archive: int, chosen: Client
) -> None:
    assert choose(INSTALLED, server=server, archive=archive) == chosen


@pytest.mark.parametrize(
    ("server", "archive", "named"), [(19, 0, "PostgreSQL 19"), (15, 19, "pg_dump 19"), (20, 19, "PostgreSQL 20")]
)
def test_only_older_clients_are_refused_with_both_versions(server: int, archive: int, named: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        choose(INSTALLED, server=server, archive=archive)
    assert named in caught.value.message
    assert "18.0" in caught.value.message
    assert "15.2, 16.1, 16.4, 18.0" in (caught.value.detail or "")
    assert f"postgresql-client-{max(server, archive)}" in (caught.value.hint or "")


def test_no_client_at_all_is_said() -> None:
    with pytest.raises(ConfigurationError, match="no PostgreSQL client is installed"):
        choose((), server=15)


def test_clients_are_found_in_named_folders_and_on_the_path(pg18: Server, pg17: Server) -> None:
    found = find_clients([pg18.bin_dir], {"PATH": f"/nowhere:{pg17.bin_dir}"})
    folders = [client.folder for client in found]
    assert pg18.bin_dir in folders
    assert pg17.bin_dir in folders
    assert [client.major for client in found] == sorted(client.major for client in found)


def test_a_folder_without_pg_restore_or_with_a_broken_pg_dump_has_no_client(tmp_path: Path) -> None:
    for name in ("pg_dump", "pg_restore"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    assert tmp_path not in [client.folder for client in find_clients([tmp_path, tmp_path / "none"], {})]


def test_the_backup_says_which_client_made_it(
    system_server: Server, pg18: Server, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(system_server)
    both = clients_of(system_server, pg18)
    assert backed_up(system_server, name, store, clients=both).tool.major == 15
    assert backed_up(system_server, name, store, clients=clients_of(pg18)).tool.major == 18


def test_a_server_newer_than_every_client_is_refused_before_anything_starts(
    system_server: Server, pg18: Server, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(pg18)
    clients = clients_of(system_server)
    with pytest.raises(ConfigurationError, match=r"PostgreSQL 18.* 15\.\d+"):
        backed_up(pg18, name, store, clients=clients)
    with pytest.raises(ConfigurationError):
        make_engine(clients).tool(make_source(pg18, name).database())
    assert [each.key for each in store.list("") if not each.key.endswith("/failed.json")] == []


def test_a_restore_never_takes_a_client_older_than_the_archive(
    system_server: Server, pg18: Server, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(pg18)
    backup = backed_up(pg18, name, store)
    with pytest.raises(ConfigurationError, match="the archive is of pg_dump 18"):
        restored(backup, store, make_restorer(system_server), f"{name}_again")
    into = f"{new_database(system_server)}_again"
    restored(backup, store, make_restorer(system_server, clients=clients_of(system_server, pg18)), into)
    assert into in system_server.databases()


def test_17_restores_into_15_with_several_connections(
    pg17: Server, system_server: Server, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(pg17)
    with pg17.connect(name) as connection:
        for number in range(8):
            connection.execute(f"CREATE TABLE t{number} (id int PRIMARY KEY)".encode())
    backup = backed_up(pg17, name, store)
    into = f"{new_database(system_server)}_again"
    restored(backup, store, make_restorer(system_server, clients=clients_of(pg17)), into, jobs=4)
    assert into in system_server.databases()
