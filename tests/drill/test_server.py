"""The throwaway server of a drill: which programs, how much room, whose it is, and what it is given."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from backup.errors import ConfigurationError
from tests.drill.conftest import Drilling, drilling_of, servers_in
from tests.fixtures.postgres import NewDatabase, NewRole, Server, system_bin_dirs
from tests.support.services import missing

_DEBIAN = Path("/usr/lib/postgresql")
_HANGING = "SELECT pg_sleep(600) IS NULL"


@pytest.fixture
def clients_only(drilling: Drilling, tmp_path: Path) -> Path:
    """A folder with the clients of the backup's version alone, where no server of it or newer is installed."""
    if any(int(path.parent.name) >= drilling.server.major for path in system_bin_dirs()):
        missing(f"{_DEBIAN} has a server that could take the place of the one that shall be missing")
    folder = tmp_path / "clients"
    folder.mkdir()
    for name in ("pg_dump", "pg_restore"):
        (folder / name).symlink_to(drilling.server.bin_dir / name)
    return folder


@pytest.fixture
def small(folder: Path) -> Iterator[Path]:
    """A file system of 64 MiB."""
    if os.geteuid() != 0:
        missing("only root mounts a file system")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)], check=False)
    if done.returncode:
        missing("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_where_there_is_no_server_the_package_is_named(drilling: Drilling, clients_only: Path) -> None:
    ended = drilling.drilled(PGPROOF_PG_BIN=str(clients_only), PATH="/nowhere")
    assert ended.code == ConfigurationError.exit_code, ended
    wanted = drilling.server.major
    assert f"the backup is of PostgreSQL {wanted}" in ended.error["message"]
    assert f"install postgresql-{wanted}, " in ended.error["hint"]
    assert "--on" in ended.error["hint"]
    older = [path.parent.name for path in system_bin_dirs()]
    assert all(f"{major}." in ended.error["detail"] for major in older)
    assert drilling.stored_drills() == []


def test_a_newer_server_takes_the_place_of_one_that_is_missing(
    pg17: Server, pg18: Server, new_database: NewDatabase, tmp_path: Path, folder: Path
) -> None:
    old = drilling_of(pg17, new_database(pg17), tmp_path, folder)
    old.run("CREATE TABLE t AS SELECT n, n::float8 / 3 AS f, now() AS at FROM generate_series(1, 100) AS n")
    old.back_up()
    ended = old.drilled(PGPROOF_PG_BIN=str(pg18.bin_dir))
    assert ended.code == 0, ended
    assert ended.result["server_version"].startswith("18.")
    ended = old.drilled(PGPROOF_PG_BIN=f"{pg18.bin_dir},{pg17.bin_dir}")
    assert ended.code == 0, ended
    assert ended.result["server_version"].startswith("17.")


def test_too_little_room_is_told_before_anything_is_done(drilling: Drilling, small: Path) -> None:
    ended = drilling.drilled()
    assert ended.code == ConfigurationError.exit_code, ended
    assert f"in {small}, and there is " in ended.error["message"]
    assert "PGPROOF_DRILL_FOLDER" in ended.error["hint"]
    assert "restoring" not in ended.stderr
    assert drilling.stored_drills() == []


def test_a_folder_that_is_not_there_is_told(drilling: Drilling, tmp_path: Path) -> None:
    ended = drilling.drilled("--folder", str(tmp_path / "none"))
    assert ended.code == ConfigurationError.exit_code, ended
    assert str(tmp_path / "none") in ended.error["message"]
    assert drilling.stored_drills() == []


def test_roles_that_are_missing_are_made_and_are_no_difference(own: Drilling, new_role: NewRole) -> None:
    owner, reader = new_role(own.server).name, new_role(own.server).name
    own.run(
        f"CREATE TABLE t (id int); ALTER TABLE t OWNER TO {owner}; GRANT SELECT ON t TO {reader};"
        f"ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t TO {reader} USING (true);"
        f"ALTER ROLE {reader} IN DATABASE {own.database} SET work_mem = '3MB';"
        f"ALTER DEFAULT PRIVILEGES FOR ROLE {owner} GRANT SELECT ON TABLES TO {reader};"
        f"CREATE PUBLICATION everything FOR ALL TABLES"
    )
    own.back_up()
    ended = own.drilled()
    assert ended.code == 0, ended
    assert ended.result["differences"] == []


def test_a_database_with_everything_of_its_own_is_proven(
    pg18: Server, new_database: NewDatabase, new_role: NewRole, tmp_path: Path, folder: Path
) -> None:
    owner = new_role(pg18).name
    options = "TEMPLATE template0 ENCODING 'LATIN1' LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'C' CONNECTION LIMIT 3"
    own = drilling_of(pg18, new_database(pg18, options=options), tmp_path, folder)
    own.run(
        f"CREATE TABLE t AS SELECT 'gr\u00fcn' AS word, now() AS at;"
        f"GRANT CONNECT ON DATABASE {own.database} TO {owner};"
        f"ALTER DATABASE {own.database} OWNER TO {owner}; COMMENT ON DATABASE {own.database} IS 'it''s mine';"
    )
    for setting in (
        "statement_timeout = '1s'",
        "datestyle = 'ISO, DMY'",
        "bytea_output = 'escape'",
        "search_path = nowhere",
        "timezone = 'Asia/Tokyo'",
        "extra_float_digits = -5",
        "session_replication_role = replica",
        "default_transaction_read_only = on",
    ):
        own.run(f"SET default_transaction_read_only = off; ALTER DATABASE {own.database} SET {setting}")
    own.back_up()
    ended = own.drilled("--check", "SELECT current_setting('timezone') = 'Asia/Tokyo'")
    assert ended.code == 0, ended
    assert ended.result["differences"] == []


def test_a_sample_restores_rows_of_some_tables_and_says_so(drilling: Drilling) -> None:
    ended = drilling.drilled("--sample", "50")
    assert ended.code == 0, ended
    result = ended.result
    assert (result["sample"], result["tables"]) == (0.5, 1)
    assert result["rows"] in {100, 1000}
    assert result["text"].startswith("proven: every value of 1 table, ")
    assert [each for each in result["differences"] if not each["noted"]] == []
    assert drilling.last_result()["sample"] == 0.5
    told = drilling.pgproof("drill", "latest", "--sample", "1")
    assert "1% of the tables" in told.stdout


def test_a_sample_of_a_backup_without_a_proof_is_refused(own: Drilling) -> None:
    own.back_up(PGPROOF_PROOF="off")
    ended = own.drilled("--sample", "50")
    assert ended.code == 7, ended
    assert "leave out --sample" in ended.error["hint"]


def test_two_drills_at_once_do_not_meet(drilling: Drilling) -> None:
    with drilling.pgproof.start("drill", "latest", "--json") as first:
        second = drilling("drill", "latest")
        ended = first.finish()
    assert (ended.code, second.code) == (0, 0), (ended, second)
    assert ended.left == second.left == ()
    assert list(drilling.folder.iterdir()) == []
    assert len(drilling.stored_drills()) == 2
    assert len(drilling("show", "latest").result["drills"]) == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has another account to run it as")
def test_root_runs_the_server_as_an_account_without_rights(drilling: Drilling) -> None:
    with drilling.pgproof.start("drill", "latest", "--check", _HANGING) as running:
        running.wait_for(lambda: servers_in(drilling.folder))
        server = min(servers_in(drilling.folder), key=lambda each: each.create_time())
        assert (server.uids().effective, server.gids().effective) != (0, 0)
        (folder,) = drilling.folder.iterdir()
        assert folder.stat().st_mode & 0o077 == 0
        running.signal(signal.SIGTERM)
        drilling.assert_nothing_left(running.finish())


def test_what_is_loaded_is_read_without_being_logged_for_its_checksums(drilling: Drilling) -> None:
    """From PostgreSQL 18 on a new server has data checksums, unless it is told."""
    ended = drilling.drilled("--check", "SELECT current_setting('data_checksums') = 'off'")
    assert ended.code == 0, ended


def test_an_account_without_a_name_can_drill(system_server: Server, new_database: NewDatabase, folder: Path) -> None:
    """As on OpenShift, which makes up a user id for each namespace."""
    if os.geteuid() != 0:
        missing("only root can become somebody else")
    if not list(Path("/usr/lib").glob("*/libnss_wrapper.so")):
        missing("libnss-wrapper is not installed")
    nameless = ("setpriv", "--reuid=123456", "--regid=123456", "--clear-groups", "--inh-caps=-all", "--")
    if subprocess.run([*nameless, sys.executable, "-c", "import backup"], check=False, capture_output=True).returncode:
        missing("an account without a name cannot run Python here")
    with pytest.raises(KeyError):
        pwd.getpwuid(123456)
    drills = folder / "drills"
    drills.mkdir()
    old = drilling_of(system_server, new_database(system_server), folder, drills)
    old.run("CREATE TABLE t AS SELECT 1 AS id")
    old.back_up()
    for path in (folder, *folder.rglob("*")):
        os.chown(path, 123456, 123456)
    ended = replace(old, pgproof=old.pgproof.behind(*nameless)).drilled()
    assert ended.code == 0, ended
    assert ended.result["server_version"].startswith(f"{system_server.major}.")
