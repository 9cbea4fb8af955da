"""A restore that does not come to its end leaves no half database."""

from __future__ import annotations

import os
import signal

import pytest

from backup.errors import AccessDenied, DatabaseUnreachable, RestoreFailed, UsageError
from tests.failures.conftest import Shop, check_failure
from tests.failures.holding import holding, through
from tests.fixtures.postgres import NewRole
from tests.fixtures.proxy import proxied
from tests.support.command import Command, wait_until

_MIB = 1 << 20


@pytest.fixture
def kept(pgproof: Command) -> str:
    """The id of a backup."""
    made = pgproof("backup", "--json")
    assert made.code == 0, made
    found: str = made.result["id"]
    return found


def test_a_killed_pg_restore_leaves_no_database(pgproof: Command, kept: str, shop: Shop) -> None:
    with holding(shop.server.host, shop.server.port) as proxy:
        proxy.hold_after(10 * _MIB)
        with pgproof.start("restore", kept, "--json", PGPROOF_DATABASE_URL=through(proxy, shop.url)) as running:
            running.wait_for(proxy.is_holding)
            (pg_restore,) = running.processes("pg_restore")
            os.kill(pg_restore.pid, signal.SIGKILL)
            ended = running.finish()
    check_failure(ended, RestoreFailed, says="pg_restore was killed by SIGKILL", hint="memory", retryable=False)
    wait_until(lambda: shop.sessions() == [])
    assert shop.databases() == [shop.database]


def test_a_line_that_is_cut_in_mid_restore_leaves_no_database(pgproof: Command, kept: str, shop: Shop) -> None:
    with proxied(shop.server.host, shop.server.port) as proxy:
        proxy.cut_after(10 * _MIB)
        ended = pgproof("restore", kept, "--json", PGPROOF_DATABASE_URL=through(proxy, shop.url))
    check_failure(ended, RestoreFailed, says="connection", hint="run it again", retryable=False)
    wait_until(lambda: shop.sessions() == [])
    assert shop.databases() == [shop.database]


def test_a_server_that_is_down_is_4_for_a_restore_too(pgproof: Command, kept: str, shop: Shop) -> None:
    with proxied(shop.server.host, shop.server.port) as proxy:
        proxy.refuse()
        ended = pgproof("restore", kept, "--json", PGPROOF_DATABASE_URL=through(proxy, shop.url))
    check_failure(ended, DatabaseUnreachable, says="does not answer", hint="running", retryable=True)


def test_a_role_that_may_not_make_databases_is_14(pgproof: Command, kept: str, shop: Shop, new_role: NewRole) -> None:
    role = new_role(shop.server)
    url = shop.server.url(shop.database, user=role.name, password=role.password)
    ended = pgproof("restore", kept, "--json", PGPROOF_DATABASE_URL=url)
    check_failure(ended, AccessDenied, says="may not create a database", hint="CREATEDB", retryable=False)
    assert shop.databases() == [shop.database]


def test_a_database_that_is_there_is_never_touched(pgproof: Command, kept: str, shop: Shop) -> None:
    ended = pgproof("restore", kept, "--into", shop.database, "--json")
    check_failure(ended, UsageError, says=shop.database, hint="--into", retryable=False)
    with shop.server.connect(shop.database) as connection:
        assert connection.execute("SELECT count(*) FROM customers").fetchone() == (1000,)
