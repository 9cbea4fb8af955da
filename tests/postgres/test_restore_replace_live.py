"""`pgproof restore --replace` while the database is in use: sessions, rights, what is in the way, and being killed."""

from __future__ import annotations

import random
import signal
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from backup.postgres.swap import Exchange
from tests.failures.holding import through
from tests.fixtures.postgres import NewDatabase, NewRole, Server, running
from tests.fixtures.proxy import proxied
from tests.support.command import wait_until
from tests.support.live import TARGET, Live, names, orders
from tests.support.pgproof import run


@pytest.fixture
def live(pg18: Server, new_role: NewRole, new_database: NewDatabase, tmp_path: Path) -> Live:
    """A database with three orders of which two are lost, and two roles for it."""
    return Live.made(pg18, new_database(pg18), tmp_path, [new_role(pg18), new_role(pg18)])


@pytest.fixture
def backup(live: Live) -> str:
    made = live.backed_up()
    live.break_it()
    return made


def sessions(live: Live, database: str) -> int:
    with live.server.connect() as connection:
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend'"
        (count,) = connection.execute(query, [database]).fetchone() or (0,)
    return int(count)


def assert_untouched(live: Live) -> None:
    """It is the old one, and it can be connected to."""
    wait_until(lambda: orders(live.server, live.name) == [1])


def test_a_session_of_another_stops_it_before_anything_is_done(live: Live, backup: str) -> None:
    with psycopg.connect(live.server.conninfo(live.name), application_name="till"):
        done = live.replace(backup)
    assert done.code == 8, done
    assert f"{live.name} is in use by 1 session" in done.error["message"]
    assert done.error["detail"] == f"till, {live.server.superuser} from 127.0.0.1"
    assert "--disconnect" in done.error["hint"]
    assert (names(live), live.ids()) == ([live.name], [backup])
    assert_untouched(live)


def test_a_session_that_came_meanwhile_stops_the_swap_and_the_restored_one_stays(live: Live, backup: str) -> None:
    command = ("restore", backup, "--replace", "--confirm", live.name, "--json")
    with live.pgproof.start(*command) as running_:
        running_.wait_for(lambda: len(names(live)) > 1)
        with psycopg.connect(live.server.conninfo(live.name), application_name="till"):
            done = running_.finish()
    assert done.code == 8, done
    assert done.error["detail"].startswith("till, ")
    (stays,) = [name for name in names(live) if name != live.name]
    assert orders(live.server, stays) == [1, 2, 3]
    assert f"{stays} is restored and stays" in done.error["hint"]
    statements = done.error["hint"].rpartition("--command ")[2].strip().strip("'")
    with live.server.connect() as connection:
        connection.execute(statements.encode())
    assert orders(live.server, live.name) == [1, 2, 3]


def test_with_disconnect_sessions_are_ended_and_the_next_ones_are_in_the_new_database(live: Live, backup: str) -> None:
    with psycopg.connect(live.server.conninfo(live.name), application_name="till") as till:
        till.execute("LOCK orders IN SHARE MODE")
        done = live.replace(backup, "--disconnect")
        assert done.code == 0, done
        with pytest.raises(psycopg.OperationalError):
            till.execute("SELECT 1")
    assert f"sessions=till, {live.server.superuser} from 127.0.0.1" in done.stderr.replace('"', "")
    assert orders(live.server, live.name) == [1, 2, 3]
    assert "pg_terminate_backend" in done.result["swap_back"]


@contextmanager
def clients(live: Live, number: int) -> Iterator[list[list[int]]]:
    """Clients that read the orders and connect anew all the time, whatever happens to them; what they have read."""
    enough = threading.Event()
    read: list[list[int]] = []

    def loop() -> None:
        while not enough.is_set():
            try:
                with live.server.connect(live.name) as connection:
                    read.append([number for (number,) in connection.execute("SELECT id FROM orders ORDER BY id")])
            except psycopg.Error:
                continue

    threads = [threading.Thread(target=loop) for _ in range(number)]
    for thread in threads:
        thread.start()
    try:
        yield read
    finally:
        enough.set()
        for thread in threads:
            thread.join()


def test_clients_that_connect_all_the_time_see_the_old_one_then_the_new_one_and_nothing_else(
    live: Live, backup: str
) -> None:
    with clients(live, 3) as read:
        wait_until(lambda: read)
        done = live.replace(backup, "--disconnect")
        after = len(read)
        wait_until(lambda: len(read) > after + 10)
    assert done.code == 0, done
    assert {tuple(each) for each in read} == {(1,), (1, 2, 3)}
    assert read[-1] == [1, 2, 3]


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_whenever_it_is_ended_the_name_leads_to_the_old_or_the_new_and_lets_people_in(
    live: Live, backup: str, signum: signal.Signals
) -> None:
    whole = live.replace(backup, "--no-safety-backup", "--disconnect")
    assert whole.code == 0, whole
    chance = random.Random(signum)  # noqa: S311 -- no secret
    command = ("restore", backup, "--replace", "--confirm", live.name, "--no-safety-backup", "--disconnect", "--json")
    for _ in range(6):
        with live.pgproof.start(*command) as running_:
            pause = threading.Event()
            pause.wait(chance.uniform(0.4, 1) * whole.seconds)
            if running_.is_running():
                running_.signal(signum)
            wait_until(lambda: not running_.is_running() and not running_.processes())
            ended = running_.finish()
        assert ended.code in {0, -signum, 128 + signum}, ended
        wait_until(lambda: sessions(live, live.name) == 0)
        assert orders(live.server, live.name) == [1, 2, 3]
        kept = [name for name in names(live) if "_replaced_" in name]
        assert all(orders(live.server, name) in ([1], [1, 2, 3]) for name in kept)
    assert [1] in [orders(live.server, name) for name in kept]


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGINT])
def test_a_signal_while_it_waits_for_the_names_leaves_them_swapped_or_not_and_people_let_in(
    live: Live, backup: str, signum: signal.Signals
) -> None:
    command = ("restore", backup, "--replace", "--confirm", live.name, "--no-safety-backup", "--json")
    with live.server.connect(autocommit=False) as holder:
        with live.pgproof.start(*command) as running_:
            running_.wait_for(lambda: len(names(live)) > 1)
            holder.execute(f'COMMENT ON DATABASE "{live.name}" IS NULL'.encode())  # a rename waits for this
            running_.wait_for(lambda: _waits(live))
            running_.signal(signum)
            if signum == signal.SIGINT:
                holder.rollback()
            ended = running_.finish()
        holder.rollback()
    wait_until(lambda: not _waits(live))
    assert orders(live.server, live.name) in ([1], [1, 2, 3])
    if signum == signal.SIGINT:
        assert (ended.code, ended.result["database"]) == (0, live.name)  # it had nothing to stop any more
        assert orders(live.server, live.name) == [1, 2, 3]


def _waits(live: Live) -> bool:
    with live.server.connect() as connection:
        query = "SELECT 1 FROM pg_stat_activity WHERE query ~ 'ALTER DATABASE .* RENAME' AND wait_event_type = 'Lock'"
        return connection.execute(query).fetchone() is not None


def test_a_line_that_breaks_at_the_swap_is_looked_after_and_what_was_done_is_told(live: Live, backup: str) -> None:
    stamp = "20261122t080000z"
    restored, kept = f"{live.name}_replacing_{stamp}", f"{live.name}_replaced_{stamp}"
    wanted = Exchange(restored=restored, database=live.name, kept=kept, disconnect=False).statements.encode()
    with proxied(live.server.host, live.server.port) as proxy:
        proxy.lose_answer_to(b"Q" + struct.pack("!I", len(wanted) + 5) + b"ALTER DATABASE")
        done = live.replace(backup, PGPROOF_DATABASE_URL=through(proxy, live.server.url(live.name)))
    assert done.code == 0, done
    assert "the line broke, but the names were swapped before" in done.stderr
    assert orders(live.server, live.name) == [1, 2, 3]
    assert orders(live.server, done.result["replaced"]) == [1]


def test_a_damaged_dump_leaves_everything_as_it_was(live: Live, backup: str, tmp_path: Path) -> None:
    (dump,) = (tmp_path / "store" / TARGET / backup).glob("dump*")
    data = bytearray(dump.read_bytes())
    data[len(data) // 2] ^= 1
    dump.write_bytes(data)
    done = live.replace(backup, "--no-safety-backup")
    assert (done.code, names(live)) == (7, [live.name])
    assert_untouched(live)


def test_what_would_stay_with_the_old_database_is_refused_by_name(pg18: Server, tmp_path: Path) -> None:
    settings = {"wal_level": "logical", "max_wal_senders": "4", "max_prepared_transactions": "2"}
    with running(pg18.bin_dir, settings=settings) as server:
        with server.connect() as connection:
            connection.execute("CREATE DATABASE of_a_test")
        live = Live.made(server, "of_a_test", tmp_path)
        backup = live.backed_up()
        run(server, live.name, "SELECT pg_create_logical_replication_slot('a_slot', 'pgoutput')")
        with server.connect(live.name) as connection:
            connection.execute(
                "CREATE SUBSCRIPTION a_subscription CONNECTION 'dbname=none' PUBLICATION p WITH (connect = false)"
            )
            connection.execute("BEGIN")
            connection.execute("INSERT INTO orders VALUES (7)")
            connection.execute("PREPARE TRANSACTION 'a_transaction'")
        done = live.replace(backup, "--disconnect")
        with server.connect(live.name) as connection:
            connection.execute("ROLLBACK PREPARED 'a_transaction'")
            connection.execute("SELECT pg_drop_replication_slot('a_slot')")
        assert done.code == 8, done
        for each in ("prepared transaction 'a_transaction'", "replication slot a_slot", "subscription a_subscription"):
            assert each in done.error["message"]
        assert names(live) == [live.name]
