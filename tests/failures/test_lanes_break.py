"""A dump in lanes of which one breaks: the others end with it, and nothing is left."""

from __future__ import annotations

import os
import secrets
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from backup.demo.s3_server import S3Server
from backup.errors import DumpFailed, StoreUnreachable, TablesRewritten
from tests.failures.conftest import (
    BucketPlace,
    DirectoryPlace,
    Place,
    Shop,
    check_failure,
    database_environ,
    s3_environ,
)
from tests.failures.holding import Gate, holding, through
from tests.failures.test_store_breaks import small_disk
from tests.fixtures.postgres import Server
from tests.fixtures.s3 import s3_store
from tests.support.command import Command

__all__ = ["small_disk"]  # a fixture
LANES = {"PGPROOF_DUMP_JOBS": "3", "PGPROOF_COMPRESSION": "none"}
_MIB = 1 << 20


@pytest.fixture(scope="module")
def wide(pg18: Server) -> Iterator[Shop]:
    """A database with four large tables, of 12 MB each, that nobody may change for long."""
    name = f"wide_{secrets.token_hex(4)}"
    with pg18.connect() as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    with pg18.connect(name) as connection:
        for number in range(4):
            connection.execute(
                f"CREATE TABLE orders_{number} AS SELECT n AS id, encode(sha512(int4send(n)), 'base64')"
                f" || encode(sha512(int4send(-n)), 'base64') AS note FROM generate_series(1, 60000) n".encode()
            )
    yield Shop(server=pg18, database=name)
    with pg18.connect() as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def run(pgproof: Command, wide: Shop) -> Command:
    """The command, set up to back that up in three lanes."""
    return pgproof.changed(**database_environ(wide.server, wide.url), **LANES)


@pytest.fixture
def lanes_gate(tmp_path: Path, wide: Shop) -> Gate:
    """Programs whose pg_dump waits for the test, but not that of lane 0."""
    gate = Gate(tmp_path / "lanes", wide.server.bin_dir)
    script = gate.folder / "pg_dump"
    script.write_text(
        script.read_text().replace(
            '[ "$1" = --version ]', f'{{ [ "$1" = --version ] || {{ touch "{gate.folder}/started"; false; }}; }}'
        )
    )
    words = script.read_text().splitlines()
    free = f'case "$*" in *--data-only*) ;; *) exec "{wide.server.bin_dir}/pg_dump" "$@" ;; esac'
    script.write_text("\n".join([words[0], free, *words[1:]]) + "\n")
    return gate


def parts(backup: dict[str, object]) -> list[str]:
    found = backup["parts"]
    assert isinstance(found, list)
    return [part["name"] for part in found if part["role"] == "dump"]


def dumps(shop: Shop) -> bool:
    """Whether a pg_dump waits for somebody to read: its rows are on their way."""
    with shop.server.connect() as connection:
        query = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'pg_dump' AND wait_event = 'ClientWrite'"
        return connection.execute(query).fetchone() is not None


def test_lanes_make_one_backup_that_is_proven(run: Command, place: Place, wide: Shop) -> None:
    made = run("backup", "--json", **place.environ)
    assert made.code == 0, made
    assert parts(made.result) == ["dump.pgc", "dump.1.pgc", "dump.2.pgc"]
    assert run("verify", "latest", **place.environ).code == 0
    into = f"{wide.database}_again"
    restored = run("restore", "latest", "--into", into, "--json", **place.environ)
    assert (restored.code, restored.result["proven"]) == (0, True), restored
    with wide.server.connect() as connection:
        connection.execute(f"DROP DATABASE {into} WITH (FORCE)".encode())
    drilled = run("drill", "latest", "--json", **place.environ)
    assert (drilled.code, drilled.result["verdict"]) == (0, "proven"), drilled
    shown = run("show", "latest", **place.environ).stdout
    assert "dump.2.pgc" in shown
    assert "seconds of" in shown


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_killed_pg_dump_of_any_lane_ends_all_and_leaves_nothing(
    run: Command, place: Place, wide: Shop, number: int
) -> None:
    with holding(wide.server.host, wide.server.port) as proxy:
        proxy.hold_after(20 * _MIB)
        environ = {"PGPROOF_DATABASE_URL": through(proxy, wide.url), "PGPROOF_RATE": "8MiB", **place.environ}
        with run.start("backup", "--json", **environ) as running:
            running.wait_for(lambda: len(running.processes("pg_dump")) == 3)
            pg_dump = sorted(running.processes("pg_dump"), key=lambda each: each.pid)[number]
            os.kill(pg_dump.pid, signal.SIGKILL)
            proxy.release()
            ended = running.finish()
    check_failure(ended, DumpFailed, says="pg_dump was killed by SIGKILL", hint="run it again", retryable=True)
    assert place.left() == []
    assert wide.sessions() == []
    assert run("list", "--json", **place.environ).code == 9


def test_a_line_that_is_cut_in_one_lane_leaves_nothing(run: Command, place: Place, wide: Shop) -> None:
    with holding(wide.server.host, wide.server.port) as proxy:
        proxy.hold_after(20 * _MIB)
        environ = {"PGPROOF_DATABASE_URL": through(proxy, wide.url), **place.environ}
        with run.start("backup", "--json", **environ) as running:
            running.wait_for(proxy.is_holding)
            wide.end_sessions("pg_dump")
            proxy.release()
            ended = running.finish()
    check_failure(ended, DumpFailed, says="pg_dump lost its line", hint="run it again", retryable=True)
    assert place.left() == []


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT], ids=lambda each: each.name)
def test_a_signal_ends_every_lane_and_leaves_nothing(
    run: Command, place: Place, wide: Shop, signum: signal.Signals
) -> None:
    with holding(wide.server.host, wide.server.port) as proxy:
        proxy.hold_after(20 * _MIB)
        environ = {"PGPROOF_DATABASE_URL": through(proxy, wide.url), **place.environ}
        with run.start("backup", "--json", **environ) as running:
            running.wait_for(proxy.is_holding)
            running.signal(signum)
            ended = running.finish()
    assert ended.code == 128 + signum, ended
    assert ended.complaint == f"stopped by {signum.name}"
    assert "Traceback" not in ended.stderr
    assert ended.left == ()
    assert ended.seconds < 30
    assert place.left() == []
    assert wide.sessions() == []


def test_a_signal_while_lanes_wait_for_each_other_ends_them(
    run: Command, folder: DirectoryPlace, wide: Shop, lanes_gate: Gate
) -> None:
    with run.start("backup", "--json", PGPROOF_PG_BIN=str(lanes_gate.folder)) as running:
        running.wait_for(lambda: lanes_gate.is_reached() and "pg_dump" in wide.sessions())
        running.signal(signal.SIGTERM)
        ended = running.finish()
    assert ended.code == 143, ended
    assert ended.seconds < 20
    assert folder.left() == []


def test_no_lane_gives_a_byte_before_every_one_has_its_locks(
    run: Command, folder: DirectoryPlace, wide: Shop, lanes_gate: Gate
) -> None:
    with run.start("backup", "--json", PGPROOF_PG_BIN=str(lanes_gate.folder)) as running:
        running.wait_for(lambda: lanes_gate.is_reached() and dumps(wide))
        assert [name for name in folder.left() if "dump" in name] == []
        lanes_gate.open()
        ended = running.finish()
    assert ended.code == 0, ended
    assert len(parts(ended.result)) == 3


def test_a_table_that_is_emptied_before_the_lanes_begin_is_named(
    run: Command, folder: DirectoryPlace, wide: Shop, gate: Gate
) -> None:
    with wide.server.connect(wide.database) as connection:
        connection.execute("CREATE TABLE emptied AS SELECT repeat(md5(n::text), 9) FROM generate_series(1, 20000) n")
        try:
            with run.start("backup", "--json", PGPROOF_PG_BIN=str(gate.folder)) as running:
                running.wait_for(gate.is_reached)
                connection.execute("TRUNCATE emptied")
                gate.open()
                ended = running.finish()
        finally:
            connection.execute("DROP TABLE emptied")
    check_failure(ended, TablesRewritten, says="public.emptied", hint="run it again", retryable=True)
    assert "orders" not in ended.complaint
    assert folder.left() == []


def test_a_truncate_that_comes_between_the_locks_of_two_lanes_ends_the_dump_in_time(
    run: Command, folder: DirectoryPlace, wide: Shop, lanes_gate: Gate
) -> None:
    def truncate() -> None:
        with wide.server.connect(wide.database) as connection:
            connection.execute("BEGIN")
            connection.execute("LOCK TABLE orders_1 IN ACCESS EXCLUSIVE MODE")
            connection.execute("ROLLBACK")

    def waits() -> bool:
        with wide.server.connect() as connection:
            return bool(connection.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone())

    other = threading.Thread(target=truncate)
    environ = {"PGPROOF_PG_BIN": str(lanes_gate.folder), "PGPROOF_LOCK_WAIT_TIMEOUT": "1"}
    with run.start("backup", "--json", **environ) as running:
        running.wait_for(lambda: lanes_gate.is_reached() and dumps(wide))
        other.start()
        running.wait_for(waits)
        lanes_gate.open()
        ended = running.finish()
        other.join()
    check_failure(ended, DumpFailed, says="waited too long for a lock", hint="lock", retryable=True)
    assert folder.left() == []


def test_a_lane_that_cannot_be_made_is_stood_in_for_as_a_dump_is(
    run: Command, folder: DirectoryPlace, wide: Shop, tmp_path: Path
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("pg_restore", "pg_dumpall", "psql"):
        if (wide.server.bin_dir / name).exists():
            (programs / name).symlink_to(wide.server.bin_dir / name)
    script = programs / "pg_dump"
    fails = 'case "$*" in *--data-only*) printf PGDMP; echo "out of memory" >&2; exit 1 ;; esac'
    script.write_text(f'#!/bin/sh\n{fails}\nexec "{wide.server.bin_dir}/pg_dump" "$@"\n')
    script.chmod(0o755)
    ended = run("backup", "--json", PGPROOF_PG_BIN=str(programs), PGPROOF_NO_FALLBACK="0")
    assert (ended.code, ended.error["code"]) == (13, "backup_degraded"), ended
    assert ended.result["warnings"] == ["degraded: dump failed"]
    assert not [name for name in folder.left() if "dump" in name]
    assert run("verify", ended.result["id"]).code == 0


def test_a_lane_that_does_not_hear_is_killed(run: Command, folder: DirectoryPlace, wide: Shop, tmp_path: Path) -> None:
    """Slow: it is given ten seconds."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "pg_restore").symlink_to(wide.server.bin_dir / "pg_restore")
    script = programs / "pg_dump"
    deaf = "trap '' TERM; while :; do sleep 0.1; done"
    cases = f'case "$*" in *--data-only*) {deaf} ;; *--snapshot*) sleep 1; exit 1 ;; esac'
    script.write_text(f'#!/bin/sh\n{cases}\nexec "{wide.server.bin_dir}/pg_dump" "$@"\n')
    script.chmod(0o755)
    ended = run("backup", "--json", PGPROOF_PG_BIN=str(programs), PGPROOF_GLOBALS="off")
    check_failure(ended, DumpFailed, says="pg_dump failed with exit status 1", hint="", retryable=True)
    assert ended.seconds < 45
    assert folder.left() == []


def test_a_store_that_goes_away_under_lanes_is_6_and_no_backup_is_listed(
    run: Command, s3_server: S3Server, bucket: str, wide: Shop
) -> None:
    place = BucketPlace(s3_server, bucket, s3_server.port)
    with holding("127.0.0.1", s3_server.port) as proxy:
        proxy.hold_after(17 * _MIB)
        with run.start("backup", "--json", **s3_environ(s3_server, bucket, port=proxy.port)) as running:
            running.wait_for(proxy.is_holding)
            proxy.refuse()
            proxy.release()
            ended = running.finish()
    check_failure(ended, StoreUnreachable, says="does not answer", hint="", retryable=True)
    assert wide.sessions() == []
    assert run("list", "--json", **place.environ).code == 9


def test_of_two_stores_one_that_is_full_has_nothing_of_any_lane(
    run: Command, folder: DirectoryPlace, small_disk: DirectoryPlace
) -> None:
    ended = run("backup", "--json", PGPROOF_STORE=f"{small_disk.folder},{folder.folder}")
    assert (ended.code, ended.error["code"]) == (11, "afterwards_failed"), ended
    assert ended.stderr.count("this store is left behind") == 1
    assert list(small_disk.folder.rglob("*")) == []
    assert run("verify", "latest").code == 0


def test_of_two_stores_one_that_dies_under_lanes_is_left_behind(
    run: Command, folder: DirectoryPlace, s3_server: S3Server, bucket: str
) -> None:
    with holding("127.0.0.1", s3_server.port) as proxy:
        proxy.hold_after(17 * _MIB)
        environ = {
            **s3_environ(s3_server, bucket, port=proxy.port),
            "PGPROOF_STORE": f"s3://{bucket},{folder.folder}",
            "PGPROOF_VOLUME_SIZE": "6MiB",
        }
        with run.start("backup", "--json", **environ) as running:
            running.wait_for(proxy.is_holding)
            proxy.refuse()
            proxy.release()
            ended = running.finish(limit=120)
    assert (ended.code, ended.error["code"]) == (11, "afterwards_failed"), ended
    assert ended.stderr.count("this store is left behind") == 1
    assert run("verify", "latest").code == 0
    store = s3_store(s3_server, bucket)
    assert not [found.key for found in store.list("") if found.key.endswith("manifest.json")]


def test_lanes_with_a_rate_share_it(run: Command) -> None:
    made = run("backup", "--json", "-v", PGPROOF_RATE="16MiB", PGPROOF_PROOF="off")
    assert made.code == 0, made
    dumps = [part for part in made.result["parts"] if part["role"] == "dump"]
    assert sum(part["raw_bytes"] for part in dumps) > 40 * _MIB
    assert made.result["seconds"]["dump"] > 40 / 16 - 0.5
    assert all(part["seconds"]["rate"] > 0.5 for part in dumps)
    assert "slowest stage" in made.stderr
    assert "PGPROOF_RATE" in made.stderr


def test_four_lanes_to_a_bucket_stay_within_192_mib_with_all_their_programs(
    run: Command, wide: Shop, s3_server: S3Server, bucket: str
) -> None:
    """Slow for its 200 MB: with less, no buffer is ever full. Pages that processes share count for each of them."""
    environ = {**s3_environ(s3_server, bucket), "PGPROOF_DUMP_JOBS": "4", "PGPROOF_COMPRESSION": "zstd"}
    with wide.server.connect(wide.database) as connection:
        for number in range(4):
            connection.execute(
                f"CREATE TABLE large_{number} AS SELECT a.* FROM orders_{number} a, generate_series(1, 4)".encode()
            )
        try:
            peak = 0
            with run.start("backup", "--json", **environ) as running:
                while running.is_running():
                    with suppress(psutil.Error):
                        whole = [psutil.Process(running.pid), *psutil.Process(running.pid).children(recursive=True)]
                        peak = max(peak, sum(each.memory_info().rss for each in whole))
                    time.sleep(0.02)
                ended = running.finish()
        finally:
            for number in range(4):
                connection.execute(f"DROP TABLE large_{number}".encode())
    assert ended.code == 0, ended
    assert len(parts(ended.result)) == 4
    assert sum(part["raw_bytes"] for part in ended.result["parts"]) > 200 * _MIB
    assert 40 * _MIB < peak < 192 * _MIB
