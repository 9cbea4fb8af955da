"""A store that is not there, does not want us, goes away, or is full: 6 or 14, and nothing half in it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from backup.demo.s3_server import S3Server
from backup.errors import AccessDenied, StoreMissing, StoreUnreachable
from tests.failures.conftest import BucketPlace, DirectoryPlace, Shop, check_failure, s3_environ
from tests.failures.holding import holding
from tests.fixtures.proxy import proxied
from tests.support.command import Command
from tests.support.rights import ordinary

_MIB = 1 << 20


def test_a_bucket_that_is_not_there_is_6_and_not_worth_a_retry(pgproof: Command, s3_server: S3Server) -> None:
    ended = pgproof("backup", "--json", **s3_environ(s3_server, "no-such-bucket"))
    check_failure(ended, StoreMissing, says="no bucket no-such-bucket", hint="create it", retryable=False)


@pytest.mark.parametrize("wrong", ["PGPROOF_S3_ACCESS_KEY", "PGPROOF_S3_SECRET_KEY"])
def test_a_wrong_key_is_14_and_not_shown(pgproof: Command, s3_server: S3Server, bucket: str, wrong: str) -> None:
    environ = {**s3_environ(s3_server, bucket), wrong: "not-the-key"}
    ended = pgproof("backup", "--json", "-v", **environ)
    check_failure(ended, AccessDenied, says="refuses us", hint="secret key", retryable=False)
    assert "not-the-key" not in ended.stdout + ended.stderr


def test_an_s3_server_that_is_down_is_6_and_worth_a_retry(pgproof: Command, s3_server: S3Server, bucket: str) -> None:
    with proxied("127.0.0.1", s3_server.port) as proxy:
        proxy.refuse()
        ended = pgproof("backup", "--json", **s3_environ(s3_server, bucket, port=proxy.port))
    check_failure(ended, StoreUnreachable, says="does not answer", hint="endpoint", retryable=True)


def test_a_store_that_goes_in_mid_upload_is_6_and_no_backup_is_listed(
    pgproof: Command, s3_server: S3Server, bucket: str, shop: Shop
) -> None:
    place = BucketPlace(s3_server, bucket, s3_server.port)
    with holding("127.0.0.1", s3_server.port) as proxy:
        proxy.hold_after(7 * _MIB)
        with pgproof.start("backup", "--json", **s3_environ(s3_server, bucket, port=proxy.port)) as running:
            running.wait_for(proxy.is_holding)
            proxy.refuse()
            proxy.release()
            ended = running.finish()
    check_failure(ended, StoreUnreachable, says="does not answer", hint="", retryable=True)
    assert shop.sessions() == []
    assert pgproof("list", "--json", **place.environ).code == 9


def test_what_a_lost_store_still_holds_of_a_failed_run_is_said(
    pgproof: Command, s3_server: S3Server, bucket: str
) -> None:
    with holding("127.0.0.1", s3_server.port) as proxy:
        proxy.hold_after(12 * _MIB)
        environ = {**s3_environ(s3_server, bucket, port=proxy.port), "PGPROOF_VOLUME_SIZE": "6MiB"}
        with pgproof.start("backup", "--json", **environ) as running:
            running.wait_for(proxy.is_holding)
            proxy.refuse()
            proxy.release()
            ended = running.finish()
    check_failure(ended, StoreUnreachable, says="does not answer", hint="", retryable=True)
    assert "left behind" in ended.stderr


def test_a_line_to_the_store_that_is_cut_once_is_taken_up_again(
    pgproof: Command, s3_server: S3Server, bucket: str
) -> None:
    with proxied("127.0.0.1", s3_server.port) as proxy:
        proxy.cut_after(8 * _MIB)
        environ = s3_environ(s3_server, bucket, port=proxy.port)
        made = pgproof("backup", "--json", **environ)
        assert made.code == 0, made
        assert pgproof("verify", made.result["id"], **environ).code == 0


def test_a_directory_that_we_may_not_write_to_is_14(pgproof: Command, folder: DirectoryPlace) -> None:
    folder.folder.chmod(0o555)
    ended = ordinary(pgproof)("backup", "--json")
    check_failure(ended, AccessDenied, says=f"{folder.folder}", hint="right to write", retryable=False)
    assert folder.left() == []


def test_a_disk_that_is_not_mounted_is_6_and_no_folder_is_made_in_its_place(pgproof: Command, tmp_path: Path) -> None:
    ended = pgproof("backup", "--json", PGPROOF_STORE=str(tmp_path / "mount" / "backups"))
    check_failure(ended, StoreMissing, says=f"no directory {tmp_path}/mount", hint="mount the disk", retryable=False)
    assert not (tmp_path / "mount").exists()


def test_a_limit_on_the_size_of_files_is_6_and_leaves_nothing(pgproof: Command, folder: DirectoryPlace) -> None:
    limited = pgproof.behind("sh", "-c", 'ulimit -f 4096 && exec "$@"', "sh")
    ended = limited("backup", "--json")
    check_failure(ended, StoreUnreachable, says="no space for", hint="limit on file sizes", retryable=True)
    assert folder.left() == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[DirectoryPlace]:
    """A disk of 4 MiB, where the machine lets us mount one."""
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "pgproof-test", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
    yield DirectoryPlace(path)
    subprocess.run(["umount", str(path)], check=True)


def test_a_full_disk_is_6_and_leaves_nothing(pgproof: Command, small_disk: DirectoryPlace) -> None:
    ended = pgproof("backup", "--json", **small_disk.environ)
    check_failure(ended, StoreUnreachable, says="no space for", hint="make room", retryable=True)
    assert small_disk.left() == []
