"""Restores into a new database: names, what is there already, and that nothing half is ever left."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path

import psutil
import psycopg
import pytest
from psycopg import sql

from backup.errors import DatabaseUnreachable, IntegrityFailed, PgproofError, RestoreFailed, UsageError
from backup.ports import RestoreChoice
from backup.postgres.address import Address
from backup.postgres.connection import Connection, connect
from backup.postgres.new_database import new_database as make_database
from backup.postgres.restore_job import RestoreOptions
from backup.postgres.restorer import PostgresRestorer
from backup.stores.directory import DirectoryStore
from backup.workflow.restore import plan_restore
from tests.fixtures.postgres import NewDatabase, Server
from tests.fixtures.proxy import proxied
from tests.support.pgproof import ENVIRON, backed_up, clients_of, make_restorer, restored, rows, run


@contextmanager
def meanwhile(act: Callable[[], bool]) -> Iterator[None]:
    """Try `act` on a thread until it says that it has done what it is for, or the block has ended."""
    over = threading.Event()

    def repeat() -> None:
        while not over.is_set() and not act():
            time.sleep(0.005)

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def with_prefix(server: Server, name: str) -> list[str]:
    return [each for each in server.databases() if each.startswith(name)]


def reaching(server: Server, name: str) -> AbstractContextManager[Connection]:
    return connect(Address.parse(server.url(name)))


def fill(server: Server, name: str) -> None:
    run(server, name, "CREATE TABLE t AS SELECT i AS id, repeat('x', 200) AS t FROM generate_series(1, 50000) i")
    run(server, name, "ALTER TABLE t ADD PRIMARY KEY (id)")


@pytest.mark.parametrize(
    "name",
    ['quo"ted %s', "it's 100%", "two\nlines", "database", "user", "a b=c", "x" * 50, "\u00e9" * 25, "UPPER"],
    ids=["quote", "percent", "newline", "database", "user", "conninfo", "long", "bytes", "upper"],
)
@pytest.mark.parametrize("server", ["pg18", "system_server"])
def test_names_of_databases_may_be_anything(
    request: pytest.FixtureRequest, new_database: NewDatabase, store: DirectoryStore, server: str, name: str
) -> None:
    place: Server = request.getfixturevalue(server)
    new_database(place, name=name)
    with place.connect() as connection:
        identifier = sql.Identifier(name)
        connection.execute(sql.SQL("ALTER DATABASE {} SET work_mem = '7MB'").format(identifier))
        connection.execute(sql.SQL("COMMENT ON DATABASE {} IS 'it''s'").format(identifier))
    run(place, name, "CREATE TABLE t AS SELECT 1 AS a")
    again = name + "_restored"
    assert restored(backed_up(place, name, store), store, make_restorer(place), again).notes == ()
    assert rows(place, again, "SELECT a, current_setting('work_mem') FROM t") == [(1, "7MB")]


def test_names_of_63_bytes_are_taken(pg18: Server, new_database: NewDatabase, store: DirectoryStore) -> None:
    name = new_database(pg18, name="n" * 63)
    again = new_database(pg18) + "\u00e9" * 24
    again += "x" * (63 - len(again.encode()))
    restored(backed_up(pg18, name, store), store, make_restorer(pg18), again)
    assert again in pg18.databases()


def test_a_database_that_exists_is_never_touched(
    pg18: Server, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(pg18)
    backup = backed_up(pg18, name, store)
    run(pg18, name, "CREATE TABLE mine (a int)")
    with pytest.raises(UsageError, match="exists already") as caught:
        restored(backup, store, make_restorer(pg18), name)
    assert caught.value.exit_code == 2
    assert caught.value.hint == "give another name with --into"
    with pytest.raises(UsageError, match="exists already") as caught:
        restored(backup, store, make_restorer(pg18, name), name)
    assert "--in-place" in (caught.value.hint or "")
    assert rows(pg18, name, "SELECT count(*) FROM mine") == [(0,)]


def test_a_dry_run_changes_nothing(pg18: Server, new_database: NewDatabase, store: DirectoryStore) -> None:
    name = new_database(pg18)
    run(pg18, name, "CREATE TABLE t (a int)")
    backup = backed_up(pg18, name, store)
    before = (pg18.databases(), sorted(store.list(""), key=str))
    restorer = make_restorer(pg18, name)
    plan = plan_restore(backup, store, restorer, RestoreChoice(into=f"{name}_again", jobs=2))
    assert (plan.database, plan.server.split(".")[0]) == (f"{name}_again", "18")
    plan_restore(backup, store, restorer, RestoreChoice(into="", in_place=True))
    assert (pg18.databases(), sorted(store.list(""), key=str)) == before


def test_a_load_that_the_server_refuses_leaves_no_database(
    pg18: Server, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(pg18)
    run(pg18, name, "CREATE TABLE t (a int); INSERT INTO t VALUES (1), (2)")
    run(pg18, name, "ALTER TABLE t ADD CONSTRAINT small CHECK (a < 2) NOT VALID")
    run(pg18, name, "UPDATE pg_constraint SET convalidated = true WHERE conname = 'small'")
    backup = backed_up(pg18, name, store)
    with pytest.raises(RestoreFailed, match="COPY failed for table") as caught:
        restored(backup, store, make_restorer(pg18), f"{name}_again")
    assert "small" in caught.value.message + (caught.value.detail or "")
    assert with_prefix(pg18, name) == [name]


def test_an_index_that_cannot_be_built_leaves_no_database(
    pg18: Server, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(pg18)
    run(pg18, name, "CREATE TABLE t (a int); CREATE INDEX only_once ON t (a); INSERT INTO t VALUES (1), (1)")
    run(pg18, name, "UPDATE pg_index SET indisunique = true WHERE indexrelid = 'only_once'::regclass")
    backup = backed_up(pg18, name, store)
    with pytest.raises(RestoreFailed, match="could not create unique index"):
        restored(backup, store, make_restorer(pg18), f"{name}_again", jobs=2)
    assert with_prefix(pg18, name) == [name]


def test_a_failure_beside_a_subscription_leaves_no_database(
    system_server: Server, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(system_server)
    with system_server.connect(name) as connection:
        connection.execute(
            "CREATE SUBSCRIPTION sub CONNECTION 'host=127.0.0.1 port=1' PUBLICATION p"
            " WITH (connect = false, slot_name = s)"
        )
    try:
        run(
            system_server,
            name,
            "CREATE TABLE t (a int); CREATE INDEX only_once ON t (a); INSERT INTO t VALUES (1), (1)",
        )
        run(system_server, name, "CREATE MATERIALIZED VIEW m AS SELECT 1 / a AS x FROM t")
        run(system_server, name, "UPDATE t SET a = 0")
        backup = backed_up(system_server, name, store)
        with pytest.raises(RestoreFailed, match="division by zero"):
            restored(backup, store, make_restorer(system_server), f"{name}_again")
        assert with_prefix(system_server, name) == [name]
    finally:
        with system_server.connect(name) as connection:
            connection.execute("ALTER SUBSCRIPTION sub SET (slot_name = NONE)")
            connection.execute("DROP SUBSCRIPTION sub")


def test_a_pg_restore_that_is_killed_leaves_no_database(
    pg18: Server, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(pg18)
    fill(pg18, name)
    backup = backed_up(pg18, name, store)

    def kill() -> bool:
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process().children():
                if "--section=data" in child.cmdline():
                    child.kill()
                    return True
        return False

    with meanwhile(kill), pytest.raises(PgproofError) as caught:
        restored(backup, store, make_restorer(pg18), f"{name}_again")
    assert caught.value.exit_code == 8
    assert with_prefix(pg18, name) == [name]


def test_a_line_that_breaks_leaves_no_database(pg18: Server, new_database: NewDatabase, store: DirectoryStore) -> None:
    name = new_database(pg18)
    fill(pg18, name)
    backup = backed_up(pg18, name, store)
    with proxied(pg18.host, pg18.port) as proxy:
        address = Address.parse(pg18.url()).with_keywords(port=str(proxy.port))
        restorer = PostgresRestorer(
            address=address, clients=clients_of(pg18), environ=ENVIRON, options=RestoreOptions()
        )
        proxy.cut_after(3_000_000)
        with pytest.raises(PgproofError) as caught:
            restored(backup, store, restorer, f"{name}_again")
    assert caught.value.exit_code in {4, 8}
    assert with_prefix(pg18, name) == [name]


def test_damage_in_the_store_leaves_no_database(pg18: Server, new_database: NewDatabase, store: DirectoryStore) -> None:
    name = new_database(pg18)
    fill(pg18, name)
    backup = backed_up(pg18, name, store)
    (key,) = [each.key for each in store.list("") if "dump" in each.key]
    path = Path(store.url, key)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"4999\txxx", b"9999\txxx", 1))
    with pytest.raises(IntegrityFailed):
        restored(backup, store, make_restorer(pg18), f"{name}_again")
    path.write_bytes(content[:-10])
    with pytest.raises(IntegrityFailed):
        restored(backup, store, make_restorer(pg18), f"{name}_again")
    assert with_prefix(pg18, name) == [name]


def test_sessions_that_look_into_the_new_database_do_not_keep_it_from_its_name(
    pg18: Server, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(pg18)
    fill(pg18, name)
    backup = backed_up(pg18, name, store)
    monitors: list[psycopg.Connection[tuple[object, ...]]] = []

    def look() -> bool:
        monitors.extend(map(pg18.connect, with_prefix(pg18, f"{name}_again__restoring_")))
        return bool(monitors)

    with meanwhile(look):
        restored(backup, store, make_restorer(pg18), f"{name}_again")
    assert monitors
    for monitor in monitors:
        monitor.close()
    assert with_prefix(pg18, name) == [name, f"{name}_again"]


def test_short_timeouts_of_the_role_do_not_end_a_restore(
    pg18: Server, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(pg18)
    fill(pg18, name)
    backup = backed_up(pg18, name, store)
    options = "-c statement_timeout=60 -c idle_session_timeout=60 -c transaction_timeout=60 -c lock_timeout=60"
    address = Address.parse(pg18.url()).with_keywords(options=options)
    restorer = PostgresRestorer(address=address, clients=clients_of(pg18), environ=ENVIRON, options=RestoreOptions())
    restored(backup, store, restorer, f"{name}_again", jobs=2)
    assert rows(pg18, f"{name}_again", "SELECT count(*) FROM t") == [(50000,)]


def test_statistics_that_cannot_be_gathered_are_a_note(
    pg18: Server, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(pg18)
    run(
        pg18,
        name,
        "CREATE TABLE t AS SELECT 1 AS a; CREATE TABLE late AS SELECT 0 AS a;"
        " CREATE FUNCTION f(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS"
        " $$ BEGIN IF (SELECT max(a) FROM public.late) = 0 THEN RAISE 'no'; END IF; RETURN 1; END $$;",
    )
    run(pg18, name, "UPDATE late SET a = 1; CREATE STATISTICS s ON (f(a)) FROM t; UPDATE late SET a = 0")
    report = restored(backed_up(pg18, name, store), store, make_restorer(pg18), f"{name}_again")
    assert [note for note in report.notes if note.startswith("not done: ANALYZE")]
    assert rows(pg18, f"{name}_again", "SELECT a FROM t") == [(1,)]


def test_a_name_that_another_takes_meanwhile_is_told_with_what_to_do(pg18: Server, new_database: NewDatabase) -> None:
    name, passing = new_database(pg18) + "_again", new_database(pg18) + "_passing"
    statement = f"CREATE DATABASE {passing} TEMPLATE template0"
    with (
        pytest.raises(RestoreFailed, match="could not be named") as caught,
        reaching(pg18, "postgres") as connection,
        make_database(connection, statement, passing=passing, name=name, owner=None, reach=partial(reaching, pg18)),
    ):
        new_database(pg18, name=name)
    assert "another name with --into" in (caught.value.hint or "")
    assert name in pg18.databases()
    assert passing not in pg18.databases()


def test_a_session_that_ends_while_the_database_is_made_is_4(
    pg18: Server, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(pg18)
    backup = backed_up(pg18, name, store)
    with pg18.connect() as holder, pg18.connect() as observer, holder.transaction(force_rollback=True):
        holder.execute("COMMENT ON DATABASE template0 IS 'held'")

        def end() -> bool:
            ended = observer.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE starts_with(query, 'CREATE DATABASE') AND wait_event_type = 'Lock' AND strpos(query, %s) > 0",
                [f"{name}_again"],
            )
            return bool(ended.rowcount)

        with meanwhile(end), pytest.raises(DatabaseUnreachable, match="broke") as caught:
            restored(backup, store, make_restorer(pg18), f"{name}_again")
    assert (caught.value.exit_code, caught.value.retryable) == (4, True)
    assert with_prefix(pg18, name) == [name]


@pytest.mark.parametrize(
    ("options", "hinted"), [("LC_COLLATE 'no_such'", True), ("ENCODING 'LATIN1'", True), ("OWNER no_such", False)]
)
def test_only_what_is_about_a_locale_is_told_to_be_one(pg18: Server, options: str, *, hinted: bool) -> None:
    statement = f"CREATE DATABASE never TEMPLATE template0 LOCALE 'C.UTF-8' {options}"
    with (
        pytest.raises(RestoreFailed, match="could not be created") as caught,
        reaching(pg18, "postgres") as connection,
        make_database(connection, statement, passing="never", name="never", owner=None, reach=partial(reaching, pg18)),
    ):
        raise AssertionError("it was made")
    assert ("locale" in (caught.value.hint or "")) is hinted
