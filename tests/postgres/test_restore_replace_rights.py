"""`pgproof restore --replace` by a role that is no superuser: what it needs is told beforehand, with what to grant."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from tests.fixtures.postgres import NewDatabase, NewRole, Role, Server
from tests.support.live import Live, names, orders


@pytest.fixture
def live(pg18: Server, new_role: NewRole, new_database: NewDatabase, tmp_path: Path) -> Live:
    """A database with three orders of which two are lost, and two roles for it."""
    return Live.made(pg18, new_database(pg18), tmp_path, [new_role(pg18), new_role(pg18)])


@pytest.fixture
def backup(live: Live) -> str:
    made = live.backed_up()
    live.break_it()
    return made


@pytest.fixture
def owner(live: Live, new_role: NewRole) -> Role:
    """The database's owner."""
    role = new_role(live.server, options="CREATEDB")
    with live.server.connect() as connection:
        connection.execute(f'ALTER DATABASE "{live.name}" OWNER TO {role.name}'.encode())
    return role


def replace(live: Live, backup: str, role: Role, *options: str) -> tuple[int, dict[str, str]]:
    url = live.server.url(live.name, user=role.name, password=role.password)
    done = live.replace(backup, "--no-safety-backup", "--no-owner", *options, PGPROOF_DATABASE_URL=url)
    return done.code, done.result.get("error", done.result)


def test_the_owner_with_createdb_may(live: Live, backup: str, owner: Role) -> None:
    code, told = replace(live, backup, owner)
    assert (code, told.get("message")) == (0, None)
    assert orders(live.server, live.name) == [1, 2, 3]
    with live.server.connect() as connection:
        found = connection.execute("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = %s", [live.name])
        assert found.fetchone() == (owner.name,)


@pytest.mark.usefixtures("owner")
def test_a_member_of_the_owner_may_and_others_are_told_the_grant(live: Live, backup: str, new_role: NewRole) -> None:
    other = new_role(live.server, options="CREATEDB")
    code, told = replace(live, backup, other)
    assert code == 14, told
    assert (names(live), orders(live.server, live.name)) == ([live.name], [1])
    with live.server.connect() as connection:
        connection.execute(told["hint"].encode())
    code, told = replace(live, backup, other)
    assert (code, told.get("message")) == (0, None)
    assert orders(live.server, live.name) == [1, 2, 3]


def test_without_createdb_it_is_refused(live: Live, backup: str, owner: Role) -> None:
    with live.server.connect() as connection:
        connection.execute(f"ALTER ROLE {owner.name} NOCREATEDB".encode())
    code, told = replace(live, backup, owner)
    assert (code, "CREATEDB" in told["hint"]) == (14, True)


def test_settings_that_it_may_not_make_are_told_beforehand_without_their_values(
    live: Live, backup: str, owner: Role
) -> None:
    with live.server.connect() as connection:
        connection.execute(f"ALTER DATABASE \"{live.name}\" SET log_statement = 'ddl'".encode())
    code, told = replace(live, backup, owner)
    assert code == 14, told
    assert (told["detail"], names(live)) == ("the setting log_statement: not permitted", [live.name])
    with live.server.connect() as connection:
        connection.execute(told["hint"].encode())
    try:
        code, told = replace(live, backup, owner)
        assert (code, told.get("message")) == (0, None)
    finally:
        with live.server.connect() as connection:
            connection.execute(f"REVOKE SET ON PARAMETER log_statement FROM {owner.name}".encode())


def test_sessions_that_it_may_not_end_are_told_beforehand(live: Live, backup: str, owner: Role) -> None:
    other = live.roles.pop()
    with psycopg.connect(live.server.conninfo(live.name, user=other.name, password=other.password)):
        code, told = replace(live, backup, owner, "--disconnect")
        assert code == 14, told
        assert (other.name in told["detail"], names(live)) == (True, [live.name])
        with live.server.connect() as connection:
            connection.execute(told["hint"].partition(";")[0].encode())
        code, told = replace(live, backup, owner, "--disconnect")
        assert (code, told.get("message")) == (0, None)
