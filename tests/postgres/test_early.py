"""What a restore finds out of its tables on the way: the same as afterwards, and asked again where it differs."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import psycopg
import pytest

from backup.domain.comparison import compare
from backup.domain.proof import CONTENT, ROWS, Fact, Mode
from backup.domain.toc import Entry
from backup.errors import Interrupted
from backup.ports import RestoreChoice
from backup.postgres.address import Address
from backup.postgres.arrivals import Arrivals
from backup.postgres.connection import Connection, connect
from backup.postgres.early import EarlyLook
from backup.postgres.facts import SMALL
from backup.postgres.session import settle
from backup.signals import interruptible
from backup.stores.directory import DirectoryStore
from backup.workflow.restore import look, restore
from tests.fixtures.postgres import NewDatabase, Server
from tests.support.command import wait_until
from tests.support.pgproof import make_restorer
from tests.support.proofs import LONG, contents, fill, proof_of, proven_backup, proving_engine, take

ROWS_OF_EACH = 150_000  # so that there is time for a look while they are restored
LARGE = ('"A large one"', "last", "middle")


def filled(server: Server, new_database: NewDatabase) -> str:
    name = new_database(server)
    for table in LARGE:
        fill(
            server,
            name,
            f"CREATE TABLE {table} AS SELECT i AS id, md5(i::text) AS note"
            f" FROM generate_series(1, {ROWS_OF_EACH}) AS i",
            f"ALTER TABLE {table} ADD PRIMARY KEY (id)",
            f"CREATE INDEX ON {table} (note)",
        )
    fill(server, name, "CREATE TABLE little AS SELECT 1 AS id", "CREATE TABLE hollow (id int)")
    return name


@pytest.mark.parametrize("mode", ["full", "rows"])
def test_what_is_found_out_on_the_way_is_what_is_found_out_afterwards(
    pg18: Server, new_database: NewDatabase, store: DirectoryStore, mode: Mode
) -> None:
    name = filled(pg18, new_database)
    backup = proven_backup(pg18, name, store, proving_engine(pg18, mode=mode))
    choice = RestoreChoice(into=f"{name}_again", jobs=2, look=mode)
    report = restore(backup, store, make_restorer(pg18), choice)
    later = take(pg18, choice.into, mode=mode)
    assert report.early == {fact: later.facts[fact] for fact in report.early}
    names = {fact.name for fact in report.early}
    assert names <= {f"public.{table}" for table in (*LARGE, "little")}
    assert 'public."A large one"' in names  # the first; the last may not be read when all is done
    assert (Fact(CONTENT, 'public."A large one"') in report.early) is (mode == "full")


def test_nothing_is_looked_at_unless_it_is_wanted(
    pg18: Server, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = filled(pg18, new_database)
    backup = proven_backup(pg18, name, store)
    report = restore(backup, store, make_restorer(pg18), RestoreChoice(into=f"{name}_again"))
    assert report.early == {}


def test_what_is_not_as_expected_is_asked_again_and_what_is_is_not(
    pg18: Server, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = filled(pg18, new_database)
    backup = proven_backup(pg18, name, store)
    expected = proof_of(backup, store)
    restorer = make_restorer(pg18)
    choice = RestoreChoice(into=f"{name}_again", look="full")
    report = restore(backup, store, restorer, choice)

    # Of which table bytes are is not known exactly: a slow machine may take the little one for a large one.
    early = {fact: value for fact, value in report.early.items() if fact.name != "public.little"}
    wrong = replace(report, early={**early, Fact(CONTENT, "public.last"): "0", Fact(ROWS, "public.middle"): 3})
    assert compare(expected, look(restorer, wrong, expected, within=LONG)).text.startswith("proven: every value of 5")

    fill(pg18, choice.into, "DELETE FROM last WHERE id = 7", "DELETE FROM little")
    found = look(restorer, wrong, expected, within=LONG)
    told = {f"{each.kind} {each.name}" for each in compare(expected, found).differences}
    assert told == {"rows public.last", "content public.last", "rows public.little", "content public.little"}
    assert contents(found)['public."A large one"'] == contents(expected)['public."A large one"']


@pytest.mark.parametrize("freed", [True, False], ids=["soon", "never"])
def test_at_the_end_the_table_that_is_being_read_may_take_as_long_again(
    pg18: Server, new_database: NewDatabase, *, freed: bool
) -> None:
    name = new_database(pg18)
    fill(pg18, name, "CREATE TABLE last AS SELECT generate_series(1, 3) AS id")
    early = EarlyLook(_arrived("last"), "rows")
    with psycopg.connect(pg18.url(name)) as other:
        other.execute("LOCK TABLE last")
        with early.at_work(partial(_reach, pg18, name)):
            _wait_for_the_lock(pg18, name)
            if freed:
                threading.Timer(0.05, other.rollback).start()
            early.finish()
        _wait_for_one_session(pg18, name)  # `other`
    assert early.facts == ({Fact(ROWS, "public.last"): 3} if freed else {})


def test_a_signal_while_it_gets_longer_ends_it(pg18: Server, new_database: NewDatabase) -> None:
    name = new_database(pg18)
    fill(pg18, name, "CREATE TABLE last AS SELECT generate_series(1, 3) AS id")
    early = EarlyLook(_arrived("last"), "rows")
    with psycopg.connect(pg18.url(name)) as other:
        other.execute("LOCK TABLE last")
        with interruptible(), pytest.raises(Interrupted):
            _look_until_a_signal(early, pg18, name)
        _wait_for_one_session(pg18, name)
    assert early.facts == {}


def _look_until_a_signal(early: EarlyLook, server: Server, name: str) -> None:
    with early.at_work(partial(_reach, server, name)):
        _wait_for_the_lock(server, name)
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)).start()
        early.finish()
    signal.pause()  # on a machine that is slow it comes here


def _arrived(name: str) -> Arrivals:
    entries = [Entry(number=1, kind="TABLE", schema="public", name=name)]
    arrivals = Arrivals([*entries, Entry(number=2, kind="TABLE DATA", depends=(1,))], notable=1)
    arrivals.add(1, SMALL + 1)
    return arrivals


@contextmanager
def _reach(server: Server, name: str) -> Iterator[Connection]:
    with connect(Address.parse(server.url(name))) as connection:
        settle(connection)
        yield connection


def _wait_for_the_lock(server: Server, name: str) -> None:
    query = "SELECT 1 FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        wait_until(lambda: connection.execute(query, (name,)).fetchone())
    time.sleep(0.1)  # of the half second that a lock is waited for


def _wait_for_one_session(server: Server, name: str) -> None:
    query = "SELECT 1 FROM pg_stat_activity WHERE datname = %s HAVING count(*) = 1"
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        wait_until(lambda: connection.execute(query, (name,)).fetchone())
