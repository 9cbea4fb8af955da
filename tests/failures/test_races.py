"""What other sessions do between our snapshot and pg_dump's locks, and two runs at once."""

from __future__ import annotations

import threading

import pytest

from backup.errors import DumpFailed, LockHeld, TablesRewritten
from tests.failures.conftest import TARGET, DirectoryPlace, Shop, check_failure, database_environ
from tests.failures.holding import Gate, holding, through
from tests.fixtures.postgres import NewDatabase
from tests.support.command import Command


@pytest.fixture
def own(shop: Shop, new_database: NewDatabase) -> Shop:
    """A small database that a test may change."""
    found = Shop(server=shop.server, database=new_database(shop.server))
    with found.server.connect(found.database) as connection:
        connection.execute(
            "CREATE TABLE orders AS SELECT n AS id, 'order ' || n AS note FROM generate_series(1, 1000) n"
        )
        connection.execute("CREATE TABLE other AS SELECT 1 AS id")
    return found


@pytest.mark.parametrize(
    "statement",
    [
        "TRUNCATE orders",
        "ALTER TABLE orders ALTER COLUMN id TYPE bigint",
        "BEGIN; DELETE FROM orders; COMMIT; VACUUM FULL orders",
    ],
    ids=["truncate", "rewriting alter", "vacuum full"],
)
def test_a_table_that_is_emptied_or_rewritten_before_it_is_locked_is_5_and_named(
    pgproof: Command, folder: DirectoryPlace, own: Shop, gate: Gate, statement: str
) -> None:
    environ = {**database_environ(own.server, own.url), "PGPROOF_PG_BIN": str(gate.folder)}
    with pgproof.start("backup", "--json", **environ) as running:
        running.wait_for(gate.is_reached)
        with own.server.connect(own.database) as connection:
            for each in statement.split("; "):
                connection.execute(each.encode())
        gate.open()
        ended = running.finish()
    check_failure(ended, TablesRewritten, says="public.orders", hint="run it again", retryable=True)
    assert "public.other" not in ended.complaint
    assert folder.left() == []
    again = pgproof("backup", "--json", **environ)
    assert again.code == 0, again


def test_an_emptied_partition_is_named_too(pgproof: Command, folder: DirectoryPlace, own: Shop, gate: Gate) -> None:
    with own.server.connect(own.database) as connection:
        connection.execute("CREATE TABLE sales (id int) PARTITION BY RANGE (id)")
        connection.execute("CREATE TABLE sales_1 PARTITION OF sales FOR VALUES FROM (0) TO (10)")
        connection.execute("INSERT INTO sales VALUES (1)")
    environ = {**database_environ(own.server, own.url), "PGPROOF_PG_BIN": str(gate.folder)}
    with pgproof.start("backup", "--json", **environ) as running:
        running.wait_for(gate.is_reached)
        with own.server.connect(own.database) as connection:
            connection.execute("TRUNCATE sales")
        gate.open()
        ended = running.finish()
    check_failure(ended, TablesRewritten, says="public.sales_1", hint="run it again", retryable=True)
    assert folder.left() == []


def test_rows_that_others_write_meanwhile_do_no_harm_and_are_not_in_the_backup(
    pgproof: Command, own: Shop, gate: Gate
) -> None:
    environ = {**database_environ(own.server, own.url), "PGPROOF_PG_BIN": str(gate.folder)}
    with pgproof.start("backup", "--json", **environ) as running:
        running.wait_for(gate.is_reached)
        with own.server.connect(own.database) as connection:
            connection.execute("INSERT INTO orders VALUES (9999, 'late')")
            connection.execute("ALTER TABLE orders ADD COLUMN later int")
        gate.open()
        ended = running.finish()
    assert ended.code == 0, ended
    into = f"{own.database}_again"
    restored = pgproof("restore", ended.result["id"], "--into", into, **environ)
    assert restored.code == 0, restored
    with own.server.connect(into) as connection:
        assert connection.execute("SELECT count(*), max(id) FROM orders").fetchone() == (1000, 1000)


def test_an_alter_that_waits_for_an_older_transaction_ends_the_dump_in_time_and_not_never(
    pgproof: Command, folder: DirectoryPlace, own: Shop, gate: Gate
) -> None:
    environ = {**database_environ(own.server, own.url), "PGPROOF_PG_BIN": str(gate.folder)}
    with (
        own.server.connect(own.database, autocommit=False) as reader,
        pgproof.start("backup", "--json", "--lock-wait-timeout", "1", **environ) as running,
    ):
        running.wait_for(gate.is_reached)
        reader.execute("SELECT count(*) FROM orders")
        altering = threading.Thread(target=_alter, args=(own,))
        altering.start()
        running.wait_for(lambda: _waiting(own) == 1)
        gate.open()
        ended = running.finish()
        reader.rollback()
        altering.join()
    check_failure(ended, DumpFailed, says="waited too long for a lock", hint="lock", retryable=True)
    assert "orders" in (ended.error["detail"] or "")
    assert folder.left() == []


def test_an_alter_that_comes_while_pg_dump_has_its_locks_waits_and_the_dump_ends_well(
    pgproof: Command, shop: Shop, own: Shop
) -> None:
    with own.server.connect(own.database) as connection:
        connection.execute("INSERT INTO other SELECT n FROM generate_series(1, 1000000) n")
    with holding(shop.server.host, shop.server.port) as proxy:
        proxy.hold_after(6 << 20)
        environ = database_environ(own.server, through(proxy, own.url))
        with pgproof.start("backup", "--json", **environ) as running:
            running.wait_for(proxy.is_holding)
            altering = threading.Thread(target=_alter, args=(own,))
            altering.start()
            running.wait_for(lambda: _waiting(own) == 1)
            proxy.release()
            ended = running.finish()
            altering.join()
    assert ended.code == 0, ended


def test_a_second_run_of_the_same_target_is_10_and_the_first_goes_on(pgproof: Command, gate: Gate) -> None:
    with pgproof.start("backup", "--json", PGPROOF_PG_BIN=str(gate.folder)) as first:
        first.wait_for(gate.is_reached)
        second = pgproof("backup", "--json")
        other = pgproof("backup", "--json", PGPROOF_TARGET="another")
        gate.open()
        ended = first.finish()
    check_failure(second, LockHeld, says=f"another run of {TARGET}", hint="wait for it", retryable=False)
    assert (ended.code, other.code) == (0, 0)
    listed = pgproof("list", "--json").result["backups"]
    assert [backup["id"] for backup in listed] == [ended.result["id"]]


def _alter(shop: Shop) -> None:
    with shop.server.connect(shop.database) as connection:
        connection.execute("ALTER TABLE orders ADD COLUMN waited int DEFAULT 1")


def _waiting(shop: Shop) -> int:
    """Sessions that wait for a lock."""
    with shop.server.connect() as connection:
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
        row = connection.execute(query, [shop.database]).fetchone()
    return int(row[0]) if row else 0
