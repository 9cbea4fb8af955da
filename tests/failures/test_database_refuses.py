"""A database that does not answer, or does not want us: told apart, before anything starts."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from backup.errors import AccessDenied, ClientMissing, DatabaseMissing, DatabaseUnreachable
from tests.failures.conftest import DirectoryPlace, Shop, check_failure, database_environ
from tests.fixtures.postgres import NewDatabase, NewRole, Server
from tests.support.command import Command, Finished


@pytest.fixture
def dead_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def test_a_server_that_is_down_is_4_and_worth_a_retry(pgproof: Command, folder: DirectoryPlace, dead_port: int) -> None:
    url = f"postgresql://app@127.0.0.1:{dead_port}/shop"
    ended = pgproof("backup", "--json", PGPROOF_DATABASE_URL=url)
    check_failure(ended, DatabaseUnreachable, says=f"app@127.0.0.1:{dead_port}/shop", hint="running", retryable=True)
    assert ended.seconds < 20
    assert folder.left() == []


def test_a_wrong_password_is_14(pgproof: Command, folder: DirectoryPlace, shop: Shop) -> None:
    url = shop.server.url(shop.database).replace(shop.server.password, "not-the-password")
    ended = pgproof("backup", "--json", PGPROOF_DATABASE_URL=url)
    check_failure(ended, AccessDenied, says="refuses us", hint="password", retryable=False)
    assert "not-the-password" not in ended.stdout + ended.stderr
    assert folder.left() == []


def test_no_password_at_all_is_14_and_nobody_is_asked_for_one(pgproof: Command, shop: Shop) -> None:
    server = shop.server
    url = f"postgresql://{server.superuser}@{server.host}:{server.port}/{shop.database}"
    ended = pgproof("backup", "--json", PGPROOF_DATABASE_URL=url)
    check_failure(ended, AccessDenied, says="refuses us", hint="password", retryable=False)


def test_a_database_that_is_not_there_is_4_and_not_worth_a_retry(
    pgproof: Command, folder: DirectoryPlace, shop: Shop
) -> None:
    ended = pgproof("backup", "--json", PGPROOF_DATABASE_URL=shop.server.url("no such shop"))
    check_failure(ended, DatabaseMissing, says="no such shop", hint="name", retryable=False)
    assert folder.left() == []


def test_a_table_without_rights_is_14_and_the_grant_is_ready_to_paste(
    pgproof: Command, folder: DirectoryPlace, shop: Shop, new_database: NewDatabase, new_role: NewRole
) -> None:
    server = shop.server
    database, role = new_database(server), new_role(server)
    with server.connect(database) as connection:
        connection.execute("CREATE TABLE open (id int); CREATE TABLE closed (id int)")
        connection.execute(f"GRANT SELECT ON open TO {role.name}".encode())
    environ = database_environ(server, server.url(database, user=role.name, password=role.password))
    ended = pgproof("backup", "--json", **environ)
    grant = f"GRANT SELECT ON TABLE public.closed TO {role.name};"
    check_failure(ended, AccessDenied, says="public.closed", hint=grant, retryable=False)
    assert "public.open" not in ended.stderr
    assert folder.left() == []
    with server.connect(database) as connection:
        connection.execute(grant.encode())
    granted = pgproof("backup", "--json", **environ)
    assert granted.code == 0, granted


def test_an_ordinary_role_backs_up_and_globals_that_it_may_not_read_are_a_warning(
    pgproof: Command, shop: Shop, new_database: NewDatabase, new_role: NewRole
) -> None:
    server = shop.server
    database, role = new_database(server), new_role(server)
    with server.connect(database) as connection:
        connection.execute("CREATE TABLE orders AS SELECT generate_series(1, 100) AS id")
        connection.execute(f"GRANT SELECT ON orders TO {role.name}".encode())
    address = server.url(database, user=role.name, password=role.password)
    allowed = pgproof("backup", "--json", **database_environ(server, address))
    assert (allowed.code, _roles(allowed)) == (0, ["dump", "globals", "proof"]), allowed
    with server.connect(database) as connection:
        connection.execute("REVOKE SELECT ON pg_auth_members FROM PUBLIC")  # as some managed servers do
    refused = pgproof("backup", "--json", **database_environ(server, address))
    assert (refused.code, _roles(refused)) == (0, ["dump", "proof"]), refused
    assert any("globals" in warning for warning in refused.result["warnings"])
    assert "left out" in refused.stderr
    assert refused.left == ()


def test_globals_are_left_out_with_a_warning_where_pg_dumpall_is_not_installed(
    pgproof: Command, shop: Shop, tmp_path: Path
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("pg_dump", "pg_restore"):
        (programs / name).symlink_to(shop.server.bin_dir / name)
    ended = pgproof("backup", "--json", PGPROOF_PG_BIN=str(programs))
    assert (ended.code, _roles(ended)) == (0, ["dump", "proof"]), ended
    assert any("pg_dumpall" in warning for warning in ended.result["warnings"])


def test_a_client_older_than_the_server_is_3_and_both_versions_are_named(
    pgproof: Command, folder: DirectoryPlace, system_server: Server
) -> None:
    ended = pgproof("backup", "--json", PGPROOF_PG_BIN=str(system_server.bin_dir))
    older = f"{system_server.major}."
    check_failure(
        ended,
        ClientMissing,
        says="PostgreSQL 18, but the newest client here is " + older,
        hint="postgresql-client-18",
        retryable=False,
    )
    assert folder.left() == []


def _roles(ended: Finished) -> list[str]:
    return [part["role"] for part in ended.result.get("parts", ())]
