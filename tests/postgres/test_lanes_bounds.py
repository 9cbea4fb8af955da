"""Where a dump has fewer lanes than were asked for, or a table stays in lane 0; and what a gate tells its lanes."""

from __future__ import annotations

import threading
from typing import LiteralString

import psycopg
import pytest

from backup.postgres.lanes import Gate
from backup.postgres.snapshot import hold_snapshot
from backup.stores.directory import DirectoryStore
from tests.fixtures.postgres import NewDatabase, Server
from tests.support.pgproof import address_of, backed_up, lanes, make_restorer, restored, rows, run
from tests.support.proofs import fill

KNOWN = "CREATE FUNCTION known(int) RETURNS bool LANGUAGE sql AS 'SELECT EXISTS (SELECT FROM public.a WHERE id = $1)'"
BEST = """
CREATE FUNCTION best(int) RETURNS int IMMUTABLE LANGUAGE plpgsql
AS 'BEGIN RETURN (SELECT max(id) / (count(*) > 0)::int FROM public.a WHERE id <= $1); END'"""


def shop(server: Server, new_database: NewDatabase, *statements: LiteralString) -> str:
    """A database with two tables of which each may have a lane."""
    name = new_database(server)
    fill(server, name, "CREATE TABLE a AS SELECT generate_series(1, 20000) AS id", "CREATE TABLE z (id int, n int)")
    fill(server, name, *statements, "INSERT INTO z SELECT id, id FROM a LIMIT 10")
    return name


@pytest.mark.parametrize(
    "statements",
    [
        (KNOWN, "ALTER TABLE z ADD CHECK (public.known(id))"),
        (
            KNOWN,
            "CREATE FUNCTION good(int) RETURNS bool LANGUAGE plpgsql AS 'BEGIN RETURN public.known($1); END'",
            "ALTER TABLE z ADD CHECK (good(id))",
        ),
        (KNOWN, "CREATE DOMAIN customer AS int CHECK (known(VALUE))", "ALTER TABLE z ALTER COLUMN id TYPE customer"),
        (
            BEST,
            "ALTER TABLE z ADD COLUMN best int GENERATED ALWAYS AS (best(id)) STORED",
        ),
    ],
    ids=["check", "check by another function", "domain", "column"],
)
def test_what_is_checked_against_other_tables_comes_back_in_the_order_of_one_dump(
    any_server: Server,
    new_database: NewDatabase,
    store: DirectoryStore,
    capsys: pytest.CaptureFixture[str],
    statements: tuple[LiteralString, ...],
) -> None:
    name = shop(any_server, new_database, *statements)
    backup = backed_up(any_server, name, store, dump=lanes(2))
    restored(backup, store, make_restorer(any_server), f"{name}_again", jobs=2)
    assert rows(any_server, f"{name}_again", "SELECT count(*) FROM z") == [(10,)]
    assert backup.lanes == ()
    assert "may look at other tables when rows are loaded" in capsys.readouterr().err


def test_a_check_by_a_standard_body_is_seen_too(pg18: Server, new_database: NewDatabase, store: DirectoryStore) -> None:
    body = "CREATE FUNCTION known(int) RETURNS bool RETURN EXISTS (SELECT FROM public.a WHERE id = $1)"
    name = shop(pg18, new_database, body, "ALTER TABLE z ADD CHECK (known(id))")
    assert backed_up(pg18, name, store, dump=lanes(2)).lanes == ()


def test_checks_that_look_at_their_own_row_alone_cost_no_lane(
    any_server: Server, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = shop(
        any_server,
        new_database,
        KNOWN,
        "CREATE FUNCTION even(int) RETURNS bool LANGUAGE sql AS 'SELECT $1 % 1 = 0'",
        "ALTER TABLE z ADD CHECK (even(id)), ADD CHECK (n > 0), ALTER COLUMN n SET DEFAULT known(1)::int",
        "CREATE DOMAIN mail AS text CHECK (VALUE ~ '@')",
    )
    assert len(backed_up(any_server, name, store, dump=lanes(2)).lanes) == 1


def test_names_of_no_known_encoding_stay_in_lane_0(
    any_server: Server, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(any_server, options="TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'")
    with any_server.connect(name) as connection:
        connection.execute("SET client_encoding = 'SQL_ASCII'")
        connection.execute(b'CREATE TABLE "gr\xf6\xdfe" AS SELECT generate_series(1, 20000) AS id')
        connection.execute("CREATE TABLE larger AS SELECT generate_series(1, 30000) AS id")
    backup = backed_up(any_server, name, store, dump=lanes(2))
    restored(backup, store, make_restorer(any_server), f"{name}_again")
    with any_server.connect(f"{name}_again") as connection:
        assert connection.execute(b'SELECT count(*) FROM "gr\xf6\xdfe"').fetchone() == (20000,)


def test_a_snapshot_that_is_gone_is_what_every_lane_is_told(pg18: Server, new_database: NewDatabase) -> None:
    name = new_database(pg18)
    run(pg18, name, "CREATE TABLE a (id int)")
    told: list[Exception] = []
    with hold_snapshot(address_of(pg18, name), "it", connect_timeout=10) as snapshot:
        gate = Gate(3, snapshot, None)
        snapshot.connection.close()

        def wait() -> None:
            try:
                gate.wait()
            except Exception as error:  # noqa: BLE001 -- looked at below
                told.append(error)

        threads = [threading.Thread(target=wait) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(told) == 3
    assert all(isinstance(error, psycopg.OperationalError) for error in told), told
