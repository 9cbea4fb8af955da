"""A dump that does not come to its end: the program is killed, the line is cut, the snapshot's session is ended."""

from __future__ import annotations

import os
import re
import signal

from backup.errors import DumpFailed
from tests.failures.conftest import Place, Shop, check_failure
from tests.failures.holding import Gate, holding, through
from tests.fixtures.proxy import proxied
from tests.support.command import Command

_MIB = 1 << 20


def test_a_killed_pg_dump_is_5_and_leaves_nothing(pgproof: Command, place: Place, shop: Shop) -> None:
    with holding(shop.server.host, shop.server.port) as proxy:
        proxy.hold_after(20 * _MIB)
        address = {"PGPROOF_DATABASE_URL": through(proxy, shop.url), **place.environ}
        with pgproof.start("backup", "--json", **address) as running:
            running.wait_for(proxy.is_holding)
            (pg_dump,) = running.processes("pg_dump")
            os.kill(pg_dump.pid, signal.SIGKILL)
            ended = running.finish()
    check_failure(ended, DumpFailed, says="pg_dump was killed by SIGKILL", hint="run it again", retryable=True)
    assert place.left() == []
    assert pgproof("list", "--json", **place.environ).code == 9


def test_a_line_that_is_cut_in_mid_dump_is_worth_a_retry_and_leaves_nothing(
    pgproof: Command, place: Place, shop: Shop
) -> None:
    with proxied(shop.server.host, shop.server.port) as proxy:
        proxy.cut_after(20 * _MIB)
        ended = pgproof("backup", "--json", **{"PGPROOF_DATABASE_URL": through(proxy, shop.url), **place.environ})
    check_failure(ended, DumpFailed, says="pg_dump lost its line", hint="run it again", retryable=True)
    assert "closed the connection" in (ended.error["detail"] or "")
    assert place.left() == []


def test_the_end_of_the_snapshots_session_before_pg_dump_has_it_leaves_nothing(
    pgproof: Command, place: Place, shop: Shop, gate: Gate
) -> None:
    environ = {"PGPROOF_PG_BIN": str(gate.folder), **place.environ}
    with pgproof.start("backup", "--json", **environ) as running:
        running.wait_for(gate.is_reached)
        shop.end_sessions("pgproof")
        gate.open()
        ended = running.finish()
    check_failure(ended, DumpFailed, says="found the snapshot gone", hint="run it again", retryable=True)
    assert re.search(r"snapshot .* does not exist|invalid snapshot", ended.error["detail"] or "")
    assert place.left() == []


def test_the_end_of_the_snapshots_session_in_mid_dump_does_not_spoil_the_dump_that_has_it(
    pgproof: Command, shop: Shop
) -> None:
    with holding(shop.server.host, shop.server.port) as proxy:
        proxy.hold_after(20 * _MIB)
        with pgproof.start("backup", "--json", PGPROOF_DATABASE_URL=through(proxy, shop.url)) as running:
            running.wait_for(proxy.is_holding)
            shop.end_sessions("pgproof")
            proxy.release()
            ended = running.finish()
    assert ended.code == 0, ended
    assert pgproof("verify", ended.result["id"]).code == 0
