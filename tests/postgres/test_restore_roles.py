"""Owners and grants: by a superuser, by an ordinary role, and where roles or extensions are missing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from psycopg import sql

from backup.errors import AccessDenied, RestoreFailed
from backup.ports import RestoreChoice
from backup.postgres.restore_job import RestoreOptions
from backup.postgres.scratch import packaged_bin_dir
from backup.stores.directory import DirectoryStore
from backup.workflow.restore import plan_restore, restore
from tests.fixtures.postgres import NewDatabase, NewRole, Role, Server, running
from tests.support.compare import difference, facts
from tests.support.pgproof import backed_up, lanes, make_restorer, restored, rows, run

_APP = """
CREATE TABLE customers (id serial PRIMARY KEY, name text);
CREATE TABLE orders (id int PRIMARY KEY);
CREATE SCHEMA inner_room;
CREATE TABLE inner_room.things (id int);
CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE TYPE size AS ENUM ('s');
SELECT lo_from_bytea(4242, 'x');
INSERT INTO customers (name) VALUES ('a');
ALTER TABLE customers OWNER TO {app};
ALTER TABLE inner_room.things OWNER TO {app};
ALTER SCHEMA inner_room OWNER TO {app};
ALTER FUNCTION one() OWNER TO {app};
ALTER TYPE size OWNER TO {app};
ALTER LARGE OBJECT 4242 OWNER TO {app};
GRANT SELECT ON customers, orders TO {reader};
GRANT UPDATE (name) ON customers TO {reader} WITH GRANT OPTION;
GRANT SELECT ON LARGE OBJECT 4242 TO {reader};
GRANT USAGE ON SCHEMA inner_room TO {reader};
REVOKE EXECUTE ON FUNCTION one() FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE {app} IN SCHEMA public GRANT SELECT ON TABLES TO {reader};
"""


def execute(server: Server, database: str, script: str, **roles: Role) -> None:
    """Carry out SQL with the names of roles in it."""
    names = {name: sql.Identifier(role.name) for name, role in roles.items()}
    with server.connect(database) as connection:
        connection.execute(sql.SQL(script).format(**names))


def held(server: Server, database: str) -> dict[str, object]:
    with server.connect(database) as connection:
        return facts(connection)


@pytest.fixture
def app(pg18: Server, new_role: NewRole) -> Role:
    return new_role(pg18)


@pytest.fixture
def reader(pg18: Server, new_role: NewRole) -> Role:
    return new_role(pg18)


@pytest.fixture
def shop(pg18: Server, app: Role, reader: Role, new_database: NewDatabase) -> str:
    """A database of `app`, where `reader` may read, with an extension that neither owns."""
    name = new_database(pg18)
    execute(pg18, name, _APP, app=app, reader=reader)
    execute(pg18, name, "ALTER DATABASE " + name + " OWNER TO {app}", app=app)
    return name


def test_a_superuser_brings_all_owners_and_grants_back(pg18: Server, shop: str, store: DirectoryStore) -> None:
    report = restored(backed_up(pg18, shop, store), store, make_restorer(pg18), f"{shop}_again")
    assert report.notes == ()
    assert difference(held(pg18, shop), held(pg18, f"{shop}_again")) == []


def test_an_ordinary_member_of_the_owner_brings_owners_and_grants_back(
    pg18: Server, shop: str, app: Role, new_role: NewRole, store: DirectoryStore
) -> None:
    admin = new_role(pg18, options="CREATEDB")
    execute(
        pg18, "postgres", "GRANT {app} TO {admin}; ALTER DATABASE " + shop + " OWNER TO {app}", app=app, admin=admin
    )
    execute(
        pg18, shop, "ALTER TABLE orders OWNER TO {admin}; ALTER SCHEMA public OWNER TO pg_database_owner", admin=admin
    )
    report = restored(backed_up(pg18, shop, store), store, make_restorer(pg18, role=admin), f"{shop}_again")
    assert report.notes == ()
    assert difference(held(pg18, shop), held(pg18, f"{shop}_again")) == []


def test_a_role_that_has_not_the_rights_of_the_owner_gives_the_database_away_last(
    pg18: Server, shop: str, app: Role, stranger: Role, store: DirectoryStore
) -> None:
    execute(pg18, "postgres", "GRANT {app} TO {stranger} WITH INHERIT FALSE, SET TRUE", app=app, stranger=stranger)
    again = f"{shop}_again"
    report = restored(backed_up(pg18, shop, store), store, make_restorer(pg18, role=stranger), again)
    assert not [note for note in report.notes if "ALTER DATABASE" in note]
    owners = rows(pg18, again, "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()")
    assert owners == [(app.name,)]
    assert rows(pg18, again, "SELECT name FROM customers") == [("a",)]
    assert [name for name in pg18.databases() if name.startswith(shop)] == [shop, again]


@pytest.fixture
def stranger(pg18: Server, new_role: NewRole) -> Role:
    return new_role(pg18, options="CREATEDB")


def test_owners_that_it_is_no_member_of_are_noted_and_the_rest_comes_back(
    pg18: Server, shop: str, app: Role, stranger: Role, store: DirectoryStore
) -> None:
    report = restored(backed_up(pg18, shop, store), store, make_restorer(pg18, role=stranger), f"{shop}_again")
    assert [note for note in report.notes if app.name in note and f"will belong to {stranger.name}" in note]
    again = f"{shop}_again"
    assert rows(
        pg18, again, "SELECT name, pg_get_userbyid(relowner) FROM customers, pg_class WHERE oid = 'orders'::regclass"
    ) == [("a", stranger.name)]
    granted = "SELECT DISTINCT table_name FROM information_schema.role_table_grants WHERE grantee LIKE 'role%'"
    assert sorted(rows(pg18, again, granted)) == [("customers",), ("orders",), ("things",)]


def test_without_createdb_it_is_refused_with_what_to_grant(
    pg18: Server, shop: str, new_role: NewRole, store: DirectoryStore
) -> None:
    role = new_role(pg18)
    backup = backed_up(pg18, shop, store)
    with pytest.raises(AccessDenied, match="may not create a database") as caught:
        restored(backup, store, make_restorer(pg18, role=role), f"{shop}_again")
    assert f'ALTER ROLE "{role.name}" CREATEDB' in (caught.value.hint or "")


@pytest.mark.parametrize(("limit", "jobs"), [(2, 1), (3, 1), (4, 2), (10, 3)])
def test_a_restore_takes_no_more_sessions_than_its_role_may_have(
    pg18: Server, shop: str, stranger: Role, store: DirectoryStore, *, limit: int, jobs: int
) -> None:
    backup = backed_up(pg18, shop, store, dump=lanes(3))
    with pg18.connect() as connection:
        connection.execute(f'ALTER ROLE "{stranger.name}" CONNECTION LIMIT {limit}'.encode())
    choice = RestoreChoice(into=f"{shop}_again", owner=False, privileges=False, jobs=3, look="full")
    restorer = make_restorer(pg18, role=stranger, options=RestoreOptions(large=-1))
    assert f"{jobs} connections" in plan_restore(backup, store, restorer, choice).steps[2]
    restore(backup, store, restorer, choice)
    assert rows(pg18, f"{shop}_again", "SELECT name FROM customers") == [("a",)]


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Server]:
    """A second server, which has no role but the superuser."""
    with running(packaged_bin_dir()) as server:
        yield server


def test_missing_roles_are_named_ready_to_create_before_anything_is(
    pg18: Server, new_role: NewRole, new_database: NewDatabase, elsewhere: Server, store: DirectoryStore
) -> None:
    app, reader = new_role(pg18), new_role(pg18)
    shop = new_database(pg18)
    execute(pg18, shop, _APP, app=app, reader=reader)
    backup = backed_up(pg18, shop, store)
    with pytest.raises(RestoreFailed, match="lacks 2 roles") as caught:
        restored(backup, store, make_restorer(elsewhere), f"{shop}_again")
    hint = caught.value.hint or ""
    assert f'CREATE ROLE "{app.name}";\nCREATE ROLE "{reader.name}";' in hint or (
        f'CREATE ROLE "{reader.name}";\nCREATE ROLE "{app.name}";' in hint
    )
    assert "--no-owner --no-privileges" in hint
    assert elsewhere.databases() == ["postgres", "template0", "template1"]


def test_a_role_that_only_owns_a_large_object_is_missed_too(
    pg18: Server, app: Role, new_database: NewDatabase, elsewhere: Server, store: DirectoryStore
) -> None:
    name = new_database(pg18)
    execute(pg18, name, "SELECT lo_create(77); ALTER LARGE OBJECT 77 OWNER TO {app}", app=app)
    backup = backed_up(pg18, name, store)
    with pytest.raises(RestoreFailed, match=app.name):
        restored(backup, store, make_restorer(elsewhere), f"{name}_again")


@pytest.mark.parametrize("ordinary", [False, True])
def test_missing_roles_can_be_waved_off(
    pg18: Server, shop: str, elsewhere: Server, store: DirectoryStore, new_role: NewRole, *, ordinary: bool
) -> None:
    role = new_role(elsewhere, options="CREATEDB") if ordinary else None
    backup = backed_up(pg18, shop, store)
    again = f"{shop}_again"
    choice = RestoreChoice(into=again, owner=False, privileges=False)
    try:
        assert restore(backup, store, make_restorer(elsewhere, role=role), choice).notes == ()
        who = role.name if role else "postgres"
        found = rows(
            elsewhere, again, "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = 'customers'::regclass"
        )
        assert found == [(who,)]
    finally:
        with elsewhere.connect() as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(again)))


def test_a_role_of_a_policy_cannot_be_waved_off(
    pg18: Server, app: Role, new_database: NewDatabase, elsewhere: Server, store: DirectoryStore
) -> None:
    name = new_database(pg18)
    execute(pg18, name, "CREATE TABLE t (a int); CREATE POLICY p ON t TO {app} USING (true)", app=app)
    backup = backed_up(pg18, name, store)
    choice = RestoreChoice(into=f"{name}_again", owner=False, privileges=False)
    with pytest.raises(RestoreFailed, match=app.name) as caught:
        restore(backup, store, make_restorer(elsewhere), choice)
    assert "--no-owner" not in (caught.value.hint or "")


def test_missing_extensions_are_named_before_anything_is_created(
    system_server: Server, pg18: Server, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(system_server)
    run(system_server, name, 'CREATE EXTENSION pgcrypto; CREATE EXTENSION "uuid-ossp"')
    backup = backed_up(system_server, name, store)
    before = pg18.databases()
    with pytest.raises(RestoreFailed, match="does not have the extension pgcrypto, uuid-ossp") as caught:
        restored(backup, store, make_restorer(pg18), f"{name}_again")
    assert "PostgreSQL 18" in (caught.value.hint or "")
    assert pg18.databases() == before


def test_comments_on_extensions_that_are_not_its_own_are_left_out_and_said(
    system_server: Server, new_database: NewDatabase, new_role: NewRole, store: DirectoryStore
) -> None:
    name = new_database(system_server)
    run(system_server, name, "CREATE EXTENSION hstore; CREATE TABLE t AS SELECT 'a=>1'::hstore AS h")
    role = new_role(system_server, options="CREATEDB")
    backup = backed_up(system_server, name, store)
    report = restored(backup, store, make_restorer(system_server, role=role), f"{name}_again", jobs=2)
    assert "comment on extension hstore left out, it is not ours" in report.notes
    found = rows(system_server, f"{name}_again", "SELECT h -> 'a' FROM t")
    assert found == [("1",)]
