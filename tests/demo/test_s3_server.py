"""The embedded S3 server: that it works is what every other test of a bucket shows; here is what it leaves and is."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import psutil
import pytest

from backup.demo.s3_server import S3Server, find_program
from backup.errors import ConfigurationError, Interrupted, StoreUnreachable
from tests.fixtures.s3 import s3_store


def files_of(server: S3Server) -> set[str]:
    """The sockets that it has made, in its own folder and beside it."""
    opened = psutil.Process(server.pid).net_connections("unix")
    return {str(connection.laddr) for connection in opened if str(connection.laddr).startswith("/")}


@contextmanager
def nothing_left() -> Iterator[None]:
    """Check that whatever happens inside leaves no process. Files may be those of a test beside this one."""
    me = psutil.Process()
    before = {child.pid for child in me.children(recursive=True)}
    yield
    assert {child.pid for child in me.children(recursive=True)} <= before


def test_it_listens_here_only_and_is_nobody(s3_server: S3Server) -> None:
    process = psutil.Process(s3_server.pid)
    listening = [c.laddr for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN]
    assert listening
    assert {address.ip for address in listening} == {"127.0.0.1"}
    assert s3_server.port in {address.port for address in listening}
    assert process.uids().real != 0
    assert s3_server.secret_key.get_secret_value() not in " ".join(process.cmdline())


def test_it_leaves_nothing_also_when_something_fails() -> None:
    made: set[str] = set()

    def fail() -> None:
        with S3Server() as server:
            s3_store(server, "bucket").create_bucket()
            made.update(files_of(server))
            raise ZeroDivisionError

    with nothing_left(), pytest.raises(ZeroDivisionError):
        fail()
    assert len(made) > 4
    folders = {Path(path).parent for path in made if "pgproof-s3-" in path}
    assert len(folders) == 1
    assert not any(Path(path).exists() for path in made | {str(folder) for folder in folders})


def test_it_leaves_nothing_when_it_is_interrupted_while_it_starts() -> None:
    def interrupt(signum: int, _frame: object) -> None:
        raise Interrupted(signum)

    before = signal.signal(signal.SIGUSR1, interrupt)
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGUSR1))
    try:
        timer.start()
        with nothing_left(), pytest.raises(Interrupted), S3Server():
            pass
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)


def test_it_runs_from_where_its_account_cannot_look(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    program = tmp_path / "weed"
    shutil.copyfile(find_program(), program)
    program.chmod(0o755)
    with S3Server(program=program) as server:
        store = s3_store(server, "bucket")
        store.create_bucket()
        store.create_bucket()
        assert store.put("a", BytesIO(b"abc")).bytes == 3


def test_a_program_that_does_not_start_is_told(tmp_path: Path) -> None:
    program = tmp_path / "weed"
    program.write_text("#!/bin/sh\necho no such luck >&2\nexit 1\n")
    program.chmod(0o755)
    with nothing_left(), pytest.raises(StoreUnreachable, match="did not start") as caught, S3Server(program=program):
        pass
    assert caught.value.detail == "no such luck"


def test_a_program_that_is_missing_is_told(tmp_path: Path) -> None:
    with nothing_left(), pytest.raises(ConfigurationError), S3Server(program=tmp_path / "weed"):
        pass
