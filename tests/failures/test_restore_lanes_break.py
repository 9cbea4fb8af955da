"""A restore of lanes of which one breaks: the others end with it, at once, and no half database is left."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from backup.demo.s3_server import S3Server
from backup.errors import IntegrityFailed, RestoreFailed, StoreUnreachable
from tests.failures.conftest import BucketPlace, Shop, check_failure, database_environ, s3_environ
from tests.failures.holding import holding, through
from tests.fixtures.postgres import Server
from tests.support.command import Command, Finished, wait_until

StopInPlace = Callable[[str, signal.Signals], tuple[Finished, int | None]]

LANES = 3
_MIB = 1 << 20
_ENVIRON = {
    "PGPROOF_DUMP_JOBS": str(LANES),
    "PGPROOF_RESTORE_JOBS": str(LANES),
    "PGPROOF_COMPRESSION": "none",
    "PGPROOF_VOLUME_SIZE": "5MiB",
}


@pytest.fixture(scope="module")
def keyed(pg18: Server) -> Iterator[Shop]:
    """A database with three tables of 12 MB, each with a key, and a foreign key between two of them."""
    name = f"keyed_{secrets.token_hex(4)}"
    with pg18.connect() as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    with pg18.connect(name) as connection:
        for number in range(LANES):
            connection.execute(
                f"CREATE TABLE orders_{number} AS SELECT n AS id, encode(sha512(int4send(n)), 'base64')"
                f" || encode(sha512(int4send(-n)), 'base64') AS note FROM generate_series(1, 60000) n".encode()
            )
            connection.execute(f"ALTER TABLE orders_{number} ADD PRIMARY KEY (id)".encode())
        connection.execute("ALTER TABLE orders_0 ADD FOREIGN KEY (id) REFERENCES orders_1")
    yield Shop(server=pg18, database=name)
    with pg18.connect() as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def run(pgproof: Command, keyed: Shop) -> Command:
    """The command, set up for that database and three lanes."""
    return pgproof.changed(**database_environ(keyed.server, keyed.url), **_ENVIRON)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, keyed: Shop) -> Path:
    """A store with a backup in lanes, to be copied."""
    base = tmp_path_factory.mktemp("lanes")
    (base / "home").mkdir()
    environ = database_environ(keyed.server, keyed.url) | _ENVIRON | {"PGPROOF_STORE": str(base / "store")}
    made = Command(home=base / "home", environ=environ)("backup", "--json")
    assert made.code == 0, made
    return base / "store"


@pytest.fixture
def copy(store: Path, tmp_path: Path) -> Path:
    """The folder of the backup, in a copy of the store."""
    shutil.copytree(store, tmp_path / "copy")
    (found,) = (path.parent for path in (tmp_path / "copy").rglob("manifest.json"))
    return found


def _environ(copy: Path) -> dict[str, str]:
    return {"PGPROOF_STORE": str(copy.parent.parent)}


def _nothing_is_left(run: Command, keyed: Shop) -> None:
    wait_until(lambda: keyed.sessions() == [])
    assert keyed.databases() == [keyed.database]
    assert list((run.home / "tmp").iterdir()) == []


@pytest.mark.parametrize("number", range(LANES))
def test_a_killed_pg_restore_of_any_lane_ends_all(run: Command, copy: Path, keyed: Shop, number: int) -> None:
    with holding(keyed.server.host, keyed.server.port) as proxy:
        proxy.hold_after(20 * _MIB)
        environ = {"PGPROOF_DATABASE_URL": through(proxy, keyed.url), **_environ(copy)}
        with run.start("restore", "latest", "--json", **environ) as running:
            running.wait_for(proxy.is_holding)
            loading = sorted(running.processes("pg_restore"), key=lambda each: each.pid)
            os.kill(loading[number % len(loading)].pid, signal.SIGKILL)
            ended = running.finish()
    check_failure(ended, RestoreFailed, says="pg_restore was killed by SIGKILL", hint="memory", retryable=False)
    assert ended.seconds < 40
    _nothing_is_left(run, keyed)


def test_a_signal_ends_every_lane(run: Command, copy: Path, keyed: Shop) -> None:
    with holding(keyed.server.host, keyed.server.port) as proxy:
        proxy.hold_after(20 * _MIB)
        environ = {"PGPROOF_DATABASE_URL": through(proxy, keyed.url), **_environ(copy)}
        with run.start("restore", "latest", "--json", **environ) as running:
            running.wait_for(proxy.is_holding)
            running.signal(signal.SIGTERM)
            ended = running.finish()
    assert ended.code == 128 + signal.SIGTERM, ended
    assert ended.left == ()
    assert ended.seconds < 40
    _nothing_is_left(run, keyed)


def _flip(volume: Path) -> str:
    content = bytearray(volume.read_bytes())
    content[len(content) // 2] ^= 1
    volume.write_bytes(content)
    return "was changed after it was written"


def _lose(volume: Path) -> str:
    volume.unlink()
    return f"{volume.name} is missing"


def _shorten(volume: Path) -> str:
    volume.write_bytes(volume.read_bytes()[:-1])
    return volume.name


@pytest.mark.parametrize("lane", range(LANES))
@pytest.mark.parametrize("spoil", [_flip, _lose, _shorten])
def test_a_lane_that_is_not_what_was_written_ends_all(
    run: Command, copy: Path, keyed: Shop, lane: int, spoil: Callable[[Path], str]
) -> None:
    names = sorted(copy.glob(f"dump.{lane}.pgc.*" if lane else "dump.pgc.*"))
    says = spoil(names[-1])
    ended = run("restore", "latest", "--json", **_environ(copy))
    check_failure(ended, IntegrityFailed, says=says, hint="another backup", retryable=False)
    _nothing_is_left(run, keyed)


def test_a_lane_that_is_damaged_changes_nothing_in_place(run: Command, copy: Path, keyed: Shop) -> None:
    _flip(max(copy.glob("dump.2.pgc.*")))
    ended = run(
        "restore",
        "latest",
        "--in-place",
        "--confirm",
        keyed.database,
        "--no-safety-backup",
        "--json",
        **_environ(copy),
    )
    check_failure(ended, IntegrityFailed, says="was changed after it was written", hint="another", retryable=False)
    wait_until(lambda: keyed.sessions() == [])
    with keyed.server.connect(keyed.database) as connection:
        for number in range(LANES):
            assert connection.execute(f"SELECT count(*) FROM orders_{number}".encode()).fetchone() == (60000,)


def test_a_store_that_goes_away_in_mid_restore_ends_every_lane(
    run: Command, keyed: Shop, s3_server: S3Server, bucket: str
) -> None:
    with holding("127.0.0.1", s3_server.port) as proxy:
        environ = BucketPlace(s3_server, bucket, proxy.port).environ
        assert run("backup", "--json", **environ).code == 0
        proxy.hold_after(15 * _MIB)
        with run.start("restore", "latest", "--json", **environ) as running:
            running.wait_for(proxy.is_holding)
            proxy.refuse()
            proxy.release()
            ended = running.finish()
    check_failure(ended, StoreUnreachable, says="does not answer", hint="", retryable=True)
    _nothing_is_left(run, keyed)


def test_a_restore_of_four_lanes_from_a_bucket_stays_within_192_mib_with_all_its_programs(
    run: Command, keyed: Shop, s3_server: S3Server, bucket: str
) -> None:
    """Slow for its 200 MB: with less, no buffer is ever full. Pages that processes share count for each of them."""
    environ = {
        **s3_environ(s3_server, bucket),
        "PGPROOF_DUMP_JOBS": "4",
        "PGPROOF_RESTORE_JOBS": "4",
        "PGPROOF_COMPRESSION": "zstd",
        "PGPROOF_PROOF": "off",
    }
    with keyed.server.connect(keyed.database) as connection:
        for number in range(4):
            connection.execute(
                f"CREATE TABLE large_{number} AS SELECT a.* FROM orders_1 a, generate_series(1, 4)".encode()
            )
        try:
            made = run("backup", "--json", **environ)
        finally:
            for number in range(4):
                connection.execute(f"DROP TABLE large_{number}".encode())
    assert made.code == 0, made
    assert sum(part["raw_bytes"] for part in made.result["parts"]) > 200 * _MIB
    into, peak = f"{keyed.database}_again", 0
    with run.start("restore", "latest", "--into", into, "--json", **environ) as running:
        while running.is_running():
            with suppress(psutil.Error):
                programs = running.processes("pg_restore")
                whole = [psutil.Process(running.pid), *programs]
                peak = max(peak, sum(each.memory_info().rss for each in whole))
            time.sleep(0.02)
        ended = running.finish()
    assert ended.code == 0, ended
    with keyed.server.connect() as connection:
        connection.execute(f"DROP DATABASE {into} WITH (FORCE)".encode())
    assert 40 * _MIB < peak < 192 * _MIB


_SLOW = """
CREATE FUNCTION slow(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN
    IF starts_with(current_query(), nullif(current_setting('our.sleep'), '')) THEN PERFORM pg_sleep(60); END IF;
    RETURN $1;
END $$
"""


@pytest.fixture
def stopped_in_place(run: Command, keyed: Shop, tmp_path: Path) -> Iterator[StopInPlace]:
    """A restore of two lanes over what is there that gets a signal when a statement of such a beginning is at work.

    Table `one` has a row in the backup, and two in the database before it.
    """
    name = f"{keyed.database}_slow"
    with keyed.server.connect() as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        connection.execute(f"ALTER DATABASE {name} SET our.sleep = ''".encode())
    with keyed.server.connect(name) as connection:
        for statement in (
            _SLOW,
            "CREATE TABLE one AS SELECT 1 AS id",
            "CREATE TABLE two AS SELECT 2 AS id, repeat(md5(i::text), 20) FROM generate_series(1, 10000) AS i",
            "CREATE INDEX one_slow ON one (slow(id))",
        ):
            connection.execute(statement)
    url = keyed.server.url(name)
    environ = {"PGPROOF_DATABASE_URL": url, "PGPROOF_STORE": str(tmp_path / "slow")}
    made = run("backup", **environ)
    assert made.code == 0, made
    with keyed.server.connect(name) as connection:
        connection.execute("INSERT INTO one VALUES (2)")

    def stopped(sleeping: str, signum: signal.Signals) -> tuple[Finished, int | None]:
        with keyed.server.connect() as connection:
            connection.execute(f"ALTER DATABASE {name} SET our.sleep = '{sleeping}'".encode())

            def is_asleep() -> bool:
                query = "SELECT 1 FROM pg_stat_activity WHERE datname = %s AND wait_event = 'PgSleep'"
                return bool(connection.execute(query, [name]).fetchall())

            place = ("--in-place", "--confirm", name, "--no-safety-backup", "--json")
            with run.start("restore", "latest", *place, **environ) as running:
                running.wait_for(is_asleep)
                running.signal(signum)
                ended = running.finish()
        with keyed.server.connect(name) as connection:
            connection.execute("SET lock_timeout = '5s'")
            found = connection.execute("SELECT count(*) FROM one").fetchone()
        assert ended.code == 128 + signum, ended
        assert ended.left == ()
        return ended, (found or (None,))[0]

    yield stopped
    with keyed.server.connect() as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_place_ends_the_statement_that_is_at_work_on_the_server(
    stopped_in_place: StopInPlace, signum: signal.Signals
) -> None:
    ended, rows = stopped_in_place("CREATE INDEX", signum)
    assert rows == 2
    assert ended.error["hint"] is None


def test_a_signal_behind_the_commit_in_place_tells_that_the_backup_is_there(stopped_in_place: StopInPlace) -> None:
    ended, rows = stopped_in_place("ANALYZE", signal.SIGTERM)
    assert rows == 1
    assert "the database holds the backup" in ended.error["hint"]
