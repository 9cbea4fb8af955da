"""What stands between us and a server: a real PgBouncer, in each of its modes."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from backup.domain.checks import Check
from backup.errors import ConfigurationError
from backup.postgres.address import Address
from backup.postgres.checks import check_source
from backup.postgres.clients import find_clients
from backup.postgres.scratch import EMBEDDED, packaged_bin_dir
from backup.stream.child import Child
from tests.fixtures.postgres import Server
from tests.support.services import missing

CLIENTS = find_clients([packaged_bin_dir(EMBEDDED)], {})


@contextmanager
def pgbouncer(server: Server, mode: str, *, pool_size: int = 5, port: int = 0, more: str = "") -> Iterator[str]:
    """PgBouncer in this mode before a server; gives the address of the database `postgres` behind it.

    With `port` it is one by unix socket, so that no port of this machine need be free.
    """
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        missing("there is no pgbouncer")
    account = "nobody" if os.geteuid() == 0 else None
    with short_folder() as folder:
        listening = free_port()
        (folder / "users").write_text(f'"{server.superuser}" ""')
        (folder / "pgbouncer.ini").write_text(
            "[databases]\n"
            f"* = host={server.host} port={server.port} user={server.superuser} password={server.password}\n"
            "[pgbouncer]\nlisten_addr = 127.0.0.1\nauth_type = any\nauth_file = users\n"
            f"listen_port = {listening}\nunix_socket_dir = {folder}\n"
            f"pool_mode = {mode}\ndefault_pool_size = {pool_size}\n{more}\n"
        )
        if account:
            for path in (folder, *folder.iterdir()):
                os.chown(path, pwd.getpwnam(account).pw_uid, -1)
        with Child([program, "-q", str(folder / "pgbouncer.ini")], env={}, user=account, cwd=folder) as child:
            wait_for(listening, child)
            account_there = f"user={server.superuser} dbname=postgres"
            if port:
                with on_port(port, folder / f".s.PGSQL.{listening}", account_there) as address:
                    yield address
            else:
                yield f"host=127.0.0.1 port={listening} {account_there}"


@contextmanager
def on_port(port: int, there: Path, address: str) -> Iterator[str]:
    """The unix socket `there` as that of another port, so that no port of this machine need be free."""
    with short_folder() as folder:
        (folder / f".s.PGSQL.{port}").symlink_to(there)
        yield f"{address} host={folder} port={port}"


@contextmanager
def short_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="pgproof-", dir="/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(port: int, child: Child) -> None:
    end = time.monotonic() + 20
    while child.poll() is None and time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    pytest.fail(f"pgbouncer did not start: {child.stderr_tail}")


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
def test_a_pooler_that_shares_sessions_is_refused(mode: str, any_server: Server) -> None:
    with pgbouncer(any_server, mode) as address:
        found, rest = line(address)
    assert (found.verdict, found.error, found.to_error().status) == ("fail", ConfigurationError, 3)
    assert found.message.startswith("PgBouncer 1.")
    assert "shares sessions" in found.message
    assert "5432" in (found.hint or "")
    assert rest == []


def test_a_pool_in_use_that_hands_its_sessions_out_in_turn_is_seen_through(pg18: Server) -> None:
    with pgbouncer(pg18, "transaction", more="server_round_robin = 1") as address:
        others = [psycopg.connect(address) for _ in range(3)]
        for other in others:
            other.execute("SELECT 1")
        for other in others:
            other.commit()
        found, _ = line(address)
        for other in others:
            other.close()
    assert (found.verdict, found.error) == ("fail", ConfigurationError)


def test_a_pooler_that_keeps_sessions_is_a_warning(any_server: Server) -> None:
    with pgbouncer(any_server, "session") as address:
        found, rest = line(address)
    assert found.verdict == "warn"
    assert "it keeps our session" in found.message
    assert {each.verdict for each in rest} == {"ok"}


def test_a_pooler_without_a_second_session_for_us_is_refused(pg18: Server) -> None:
    with pgbouncer(pg18, "session", pool_size=1) as address:
        found, rest = line(address)
    assert (found.verdict, rest) == ("fail", [])
    assert "no second session" in found.message


def test_a_pooler_that_does_not_tell_its_name_is_still_seen(pg18: Server) -> None:
    more = "ignore_startup_parameters = options\nauth_type = trust"
    with pgbouncer(pg18, "transaction", more=more) as address:
        found, _ = line(address)
    assert found.verdict == "fail"
    assert found.message.startswith("a pooler or proxy stands in between")


def test_options_that_pgbouncer_refuses_are_told_as_its_refusal(pg18: Server) -> None:
    with pgbouncer(pg18, "session") as address:
        found = list(
            check_source(
                Address.parse(f"{address} options='-c geqo=on'"), clients=CLIENTS, connect_timeout=5, filtered=False
            )
        )
    assert [each.name for each in found] == ["address", "connection"]
    assert found[1].error is ConfigurationError
    assert found[1].message.startswith("PgBouncer stands in between")


def test_supabases_port_has_its_own_advice(pg18: Server) -> None:
    with pgbouncer(pg18, "transaction", port=6543) as address:
        found, _ = line(address)
    assert found.verdict == "fail"
    assert "use port 5432 instead of 6543" in (found.hint or "")


@pytest.mark.parametrize(("port", "verdict"), [(6432, "ok"), (6543, "warn")])
def test_a_poolers_port_with_no_pooler_behind_it(port: int, verdict: str, pg18: Server) -> None:
    with on_port(port, pg18.socket_folder / f".s.PGSQL.{pg18.port}", "user=postgres dbname=postgres") as address:
        found, rest = line(address)
    assert found.verdict == verdict
    assert rest
