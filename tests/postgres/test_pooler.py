"""What stands between us and a server: a real PgBouncer, in each of its modes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from backup.domain.checks import Check
from backup.errors import ConfigurationError
from backup.postgres.address import Address
from backup.postgres.checks import check_source
from backup.postgres.clients import find_clients
from backup.postgres.lanes import fitting
from backup.postgres.scratch import EMBEDDED, packaged_bin_dir
from backup.postgres.snapshot import hold_snapshot
from backup.postgres.source import PostgresSource
from backup.stores.directory import DirectoryStore
from backup.workflow.back_up import BackUpChoice, back_up
from backup.workflow.copies import Copies
from backup.workflow.verify import verify
from tests.fixtures.pgbouncer import NewPooler, PoolMode
from tests.fixtures.postgres import NewDatabase, NewRole, Server
from tests.support.pgproof import PLAIN, lanes, make_engine, make_restorer, now, run

CLIENTS = find_clients([packaged_bin_dir(EMBEDDED)], {})


@contextmanager
def socket_folder() -> Iterator[Path]:
    """A folder where any account may put a socket, with a path short enough for one."""
    with tempfile.TemporaryDirectory(prefix="pgproof-", dir="/tmp") as name:
        Path(name).chmod(0o777)
        yield Path(name)


def on_port(port: int, folder: Path, there: Path) -> str:
    """The socket `there` as that of another port, so that no port of this machine need be free."""
    (folder / f".s.PGSQL.{port}").symlink_to(there)
    return f"host={folder} port={port} dbname=postgres"


def line(address: str) -> tuple[Check, list[Check]]:
    """The check of the line, and those after it."""
    found = list(check_source(Address.parse(address), clients=CLIENTS, connect_timeout=5, filtered=False))
    assert [each.name for each in found[:3]] == ["address", "connection", "direct line"]
    return found[2], found[3:]


def test_nothing_between_is_told(any_server: Server) -> None:
    found, rest = line(any_server.url())
    assert (found.verdict, found.message) == ("ok", "nothing stands in between")
    assert rest


@pytest.mark.parametrize("mode", ["transaction", "statement"])
def test_a_pooler_that_shares_sessions_is_refused(mode: PoolMode, any_server: Server, new_pooler: NewPooler) -> None:
    found, rest = line(new_pooler(any_server, mode=mode).url())
    assert (found.verdict, found.error, found.to_error().status) == ("fail", ConfigurationError, 3)
    assert found.message.startswith("PgBouncer 1.")
    assert "shares sessions" in found.message
    assert "5432" in (found.hint or "")
    assert rest == []


def test_a_pool_that_hands_its_sessions_out_in_turn_is_seen_through(pg18: Server, new_pooler: NewPooler) -> None:
    pooler = new_pooler(pg18, settings={"server_round_robin": "1"})
    others = [psycopg.connect(pooler.url()) for _ in range(3)]
    for other in others:
        other.execute("SELECT 1")
    for other in others:
        other.close()
    found, _ = line(pooler.url())
    assert (found.verdict, found.error) == ("fail", ConfigurationError)


def test_a_pooler_that_keeps_sessions_is_a_warning(any_server: Server, new_pooler: NewPooler) -> None:
    found, rest = line(new_pooler(any_server, mode="session").url())
    assert found.verdict == "warn"
    assert "it keeps our session" in found.message
    assert {each.verdict for each in rest} == {"ok"}


def test_a_pooler_without_a_second_session_for_us_is_refused(pg18: Server, new_pooler: NewPooler) -> None:
    found, rest = line(new_pooler(pg18, mode="session", settings={"default_pool_size": "1"}).url())
    assert (found.verdict, rest) == ("fail", [])
    assert "no second session" in found.message


def test_a_pooler_that_does_not_tell_its_version_is_known_by_its_words(
    pg18: Server, new_pooler: NewPooler, new_role: NewRole
) -> None:
    role = new_role(pg18)
    found, _ = line(new_pooler(pg18, roles=[role]).url(role=role))
    assert found.verdict == "fail"
    assert found.message.startswith("PgBouncer stands in between")


def test_a_pooler_that_tells_nothing_is_still_seen(pg18: Server, new_pooler: NewPooler, new_role: NewRole) -> None:
    role = new_role(pg18)
    found, _ = line(new_pooler(pg18, roles=[role], settings={"ignore_startup_parameters": "options"}).url(role=role))
    assert found.verdict == "fail"
    assert found.message.startswith("a pooler or proxy stands in between")


def test_options_that_pgbouncer_refuses_are_told_as_its_refusal(pg18: Server, new_pooler: NewPooler) -> None:
    address = Address.parse(f"{new_pooler(pg18, mode='session').url()}?options=-c%20geqo%3Don")
    found = list(check_source(address, clients=CLIENTS, connect_timeout=5, filtered=False))
    assert [each.name for each in found] == ["address", "connection"]
    assert found[1].error is ConfigurationError
    assert found[1].message.startswith("PgBouncer stands in between")


def test_supabases_port_has_its_own_advice(pg18: Server, new_pooler: NewPooler) -> None:
    with socket_folder() as folder:
        pooler = new_pooler(pg18, settings={"unix_socket_dir": str(folder)})
        address = on_port(6543, folder, folder / f".s.PGSQL.{pooler.port}")
        found, _ = line(f"{address} user={pooler.superuser} password={pooler.password}")
    assert found.verdict == "fail"
    assert "use port 5432 instead of 6543" in (found.hint or "")


@pytest.mark.parametrize(("port", "verdict"), [(6432, "ok"), (6543, "warn")])
def test_a_poolers_port_with_no_pooler_behind_it(port: int, verdict: str, pg18: Server) -> None:
    with socket_folder() as folder:
        address = on_port(port, folder, pg18.socket_folder / f".s.PGSQL.{pg18.port}")
        found, rest = line(f"{address} user={pg18.superuser}")
    assert found.verdict == verdict
    assert rest


def test_lanes_go_through_a_pooler_that_keeps_sessions_if_somebody_asks_for_them(
    pg18: Server, new_database: NewDatabase, new_pooler: NewPooler, tmp_path: Path
) -> None:
    name = new_database(pg18)
    run(pg18, name, "CREATE TABLE a AS SELECT 1 AS id; CREATE TABLE b AS SELECT 2 AS id; CREATE TABLE c AS SELECT 3")
    pooler = new_pooler(pg18, mode="session")
    source = PostgresSource(address=Address.parse(pooler.url(name)), clients=CLIENTS)
    store = DirectoryStore(tmp_path / "store")
    choice = BackUpChoice(target="it", encoding=PLAIN)
    backup = back_up(source, make_engine(CLIENTS, lanes(3)), Copies(store), choice, clock=now)
    assert len(backup.parts) == 3
    verify(backup, store, make_restorer(pg18))


def test_by_itself_a_large_database_has_one_lane_behind_a_pooler(pg18: Server, new_pooler: NewPooler) -> None:
    pooler = new_pooler(pg18, mode="session")
    for address, jobs in ((pg18.url(), 2), (pooler.url(), 1)):
        with hold_snapshot(Address.parse(address), "it", connect_timeout=5) as snapshot:
            large = replace(snapshot, database=replace(snapshot.database, bytes=1 << 30))
            assert fitting(large, None, 4) == jobs
            assert fitting(large, 3, 1) == 3
