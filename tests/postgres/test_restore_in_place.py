"""`--in-place`: everything of the backup in one transaction, nothing else touched, refusals before that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import LiteralString

import pytest

from backup.errors import IntegrityFailed, RestoreFailed, UsageError
from backup.ports import RestoreChoice
from backup.postgres.scratch import packaged_bin_dir
from backup.stores.directory import DirectoryStore
from backup.workflow.restore import restore
from tests.fixtures.postgres import NewDatabase, NewRole, Server, running
from tests.support.compare import difference, facts
from tests.support.pgproof import backed_up, clients_of, make_restorer, restored_in_place, rows, run
from tests.support.sink import ORDINARY, load_roles, load_sink

_SHOP = """
CREATE TYPE size AS ENUM ('s', 'l');
CREATE TABLE customers (id serial PRIMARY KEY, name text, size size);
CREATE TABLE orders (id int PRIMARY KEY, customer int REFERENCES customers);
CREATE TABLE events (id int, at date) PARTITION BY RANGE (at);
CREATE TABLE events_24 PARTITION OF events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE FUNCTION price(o orders) RETURNS int LANGUAGE sql AS 'SELECT $1.id';
CREATE FUNCTION add_up(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + $2';
CREATE VIEW names AS SELECT name FROM customers;
INSERT INTO customers (name) SELECT 'c' || i FROM generate_series(1, 10) i;
INSERT INTO orders SELECT i, i FROM generate_series(1, 10) i;
INSERT INTO events VALUES (1, '2024-05-05');
SELECT lo_from_bytea(77, 'x');
"""


@pytest.fixture
def shop(pg18: Server, new_database: NewDatabase) -> str:
    name = new_database(pg18)
    run(pg18, name, _SHOP)
    return name


def held(server: Server, database: str) -> dict[str, object]:
    with server.connect(database) as connection:
        return facts(connection)


def test_what_was_changed_is_as_it_was_and_a_newer_table_stays(pg18: Server, shop: str, store: DirectoryStore) -> None:
    before = held(pg18, shop)
    backup = backed_up(pg18, shop, store)
    run(
        pg18,
        shop,
        "DELETE FROM orders WHERE id > 2; UPDATE customers SET name = 'x'; DROP VIEW names; DROP TABLE events;"
        " ALTER TABLE orders ADD COLUMN more int; SELECT lo_unlink(77); SELECT lo_from_bytea(77, 'y');"
        " CREATE TABLE newer (a int PRIMARY KEY); INSERT INTO newer VALUES (1)",
    )
    restored_in_place(backup, store, make_restorer(pg18, shop))
    assert rows(pg18, shop, "SELECT a FROM newer") == [(1,)]
    run(pg18, shop, "DROP TABLE newer")
    assert difference(before, held(pg18, shop)) == []


def test_the_ordinary_kitchen_sink_is_replaced_by_an_equal_one(
    pg18: Server, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(pg18)
    with pg18.connect(name) as connection:
        load_roles(connection)
        load_sink(connection, ORDINARY)
    before = held(pg18, name)
    report = restored_in_place(backed_up(pg18, name, store), store, make_restorer(pg18, name))
    assert "default privileges" in report.notes[0]
    assert difference(before, held(pg18, name), ignore=("acl routine",)) == []  # which the sink's own change


@pytest.mark.parametrize(
    ("newer", "named"),
    [
        ("CREATE VIEW late AS SELECT id FROM orders", "relation public.late (on public.orders)"),
        ("CREATE MATERIALIZED VIEW late AS SELECT * FROM names", "relation public.late (on public.names)"),
        (
            "CREATE TABLE late (o int CONSTRAINT owed REFERENCES orders)",
            "foreign key public.late owed (on public.orders)",
        ),
        ("CREATE TABLE late (s size)", "relation public.late (on public.size)"),
        ("CREATE TABLE late (s size[])", "relation public.late (on public.size)"),
        ("CREATE FUNCTION late(orders) RETURNS int LANGUAGE sql AS 'SELECT 1'", "function public.late(public.orders)"),
        ("CREATE FUNCTION late() RETURNS int LANGUAGE sql RETURN add_up(1, 2)", "function public.late()"),
        ("CREATE TABLE late (a int DEFAULT add_up(1, 2))", "relation public.late"),
        (
            "CREATE TABLE late PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')",
            "relation public.late (on public.events)",
        ),
        ("CREATE TABLE late () INHERITS (customers)", "relation public.late (on public.customers)"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_newer_and_depends_on_the_backup_is_named_before_anything_is_touched(
    pg18: Server, shop: str, store: DirectoryStore, newer: LiteralString, named: str
) -> None:
    backup = backed_up(pg18, shop, store)
    run(pg18, shop, newer)
    run(pg18, shop, "DELETE FROM orders WHERE id = 10")
    with pytest.raises(RestoreFailed, match="newer than the backup") as caught:
        restored_in_place(backup, store, make_restorer(pg18, shop))
    assert named in caught.value.message
    assert rows(pg18, shop, "SELECT count(*) FROM orders") == [(9,)]


def test_tables_cannot_be_chosen_in_place(pg18: Server, shop: str, store: DirectoryStore) -> None:
    backup = backed_up(pg18, shop, store)
    choice = RestoreChoice(into="", in_place=True, tables=("orders",))
    with pytest.raises(UsageError, match="--table"):
        restore(backup, store, make_restorer(pg18, shop), choice)


def test_a_role_that_owns_everything_may_do_it(
    pg18: Server, new_database: NewDatabase, new_role: NewRole, store: DirectoryStore
) -> None:
    name = new_database(pg18)
    role = new_role(pg18)
    with pg18.connect() as connection:
        connection.execute(f"ALTER DATABASE {name} OWNER TO {role.name}".encode())
    run(pg18, name, _SHOP, role=role)
    before = held(pg18, name)
    backup = backed_up(pg18, name, store, role=role)
    run(pg18, name, "DELETE FROM orders; DROP VIEW names", role=role)
    report = restored_in_place(backup, store, make_restorer(pg18, name, role=role))
    assert report.notes == ()
    assert difference(before, held(pg18, name)) == []


def test_damage_that_is_found_at_the_end_leaves_everything_as_it_was(
    pg18: Server, shop: str, store: DirectoryStore
) -> None:
    backup = backed_up(pg18, shop, store)
    (dump,) = [each.key for each in store.list("") if "dump" in each.key]
    path = store.url + "/" + dump
    with open(path, "r+b") as file:  # noqa: PTH123 - opened to change one byte of it
        content = file.read()
        file.seek(content.index(b"c7\t"))
        file.write(b"X")
    run(pg18, shop, "DELETE FROM orders; UPDATE customers SET name = 'kept'")
    with pytest.raises(IntegrityFailed, match="changed after it was written"):
        restored_in_place(backup, store, make_restorer(pg18, shop))
    assert rows(pg18, shop, "SELECT DISTINCT name FROM customers") == [("kept",)]


def test_only_a_newer_client_is_not_enough_for_an_older_server(
    pg18: Server, system_server: Server, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(system_server)
    run(system_server, name, "CREATE TABLE t AS SELECT 1 AS a")
    backup = backed_up(system_server, name, store)
    with pytest.raises(RestoreFailed, match=r"pg_restore 18\.\d+ .* PostgreSQL 15") as caught:
        restored_in_place(backup, store, make_restorer(system_server, name, clients=clients_of(pg18)))
    assert "postgresql-client-15" in (caught.value.hint or "")
    restored_in_place(backup, store, make_restorer(system_server, name, clients=clients_of(pg18, system_server)))


@pytest.fixture(scope="module")
def few_locks() -> Iterator[Server]:
    with running(packaged_bin_dir(), settings={"max_locks_per_transaction": "10", "max_connections": "20"}) as server:
        yield server


def test_too_few_locks_are_said_before_anything_is_touched(few_locks: Server, store: DirectoryStore) -> None:
    with few_locks.connect() as connection:
        connection.execute("CREATE DATABASE many")
        for first in range(0, 200, 10):
            connection.execute("SELECT")
            with few_locks.connect("many") as inside:
                for number in range(first, first + 10):
                    inside.execute(f"CREATE TABLE t{number} (id int PRIMARY KEY, t text)".encode())
    backup = backed_up(few_locks, "many", store)
    with pytest.raises(RestoreFailed, match="locks in one transaction, the server has 200") as caught:
        restored_in_place(backup, store, make_restorer(few_locks, "many"))
    assert "max_locks_per_transaction" in (caught.value.hint or "")
    assert rows(few_locks, "many", "SELECT count(*) FROM pg_class WHERE relname ~ '^t[0-9]+$'") == [(200,)]
