"""One dump into several stores at once: the same bytes in each, whatever becomes of the others."""

from __future__ import annotations

import re
import secrets
import signal
from pathlib import Path

import pytest

from backup.demo.s3_server import S3Server
from backup.domain.marks import FAILED
from backup.ports import Store
from backup.stores.directory import DirectoryStore
from tests.care.conftest import Shop, all_of, keys_of
from tests.failures.conftest import DirectoryPlace, s3_environ
from tests.failures.holding import holding
from tests.failures.test_store_breaks import small_disk
from tests.fixtures.s3 import s3_store, unfinished_uploads
from tests.support.command import Finished

__all__ = ["small_disk"]  # a fixture
_MIB = 1 << 20
DEAD = {
    "PGPROOF_S3_ENDPOINT": "http://127.0.0.1:1",
    "PGPROOF_S3_REGION": "us-east-1",
    "PGPROOF_S3_ACCESS_KEY": "nobody-knows",
    "PGPROOF_S3_SECRET_KEY": "nobody-knows",
}


def stores(*urls: object) -> dict[str, str]:
    return {"PGPROOF_STORE": ",".join(str(each) for each in urls)}


def incomplete(ended: Finished, *, survivor: object, lost: object) -> str:
    """The id of a backup that not every store has, as it must be told."""
    assert (ended.code, ended.error["code"], ended.error["retryable"]) == (11, "afterwards_failed", False), ended
    assert f"is safe in {survivor}, but " in ended.complaint
    assert f"{lost} does not have it" in ended.complaint + (ended.error["detail"] or "")
    assert "pgproof copy" in ended.hint
    assert ended.stderr.count("this store is left behind") == 1
    return ended.complaint.split()[0]


@pytest.mark.parametrize("kinds", ["directory directory", "s3 s3", "directory s3"])
def test_every_store_gets_the_same_bytes(
    large: Shop, request: pytest.FixtureRequest, tmp_path: Path, kinds: str
) -> None:
    found: list[Store] = []
    environ: dict[str, str] = {}
    for number, kind in enumerate(kinds.split()):
        if kind == "directory":
            found.append(DirectoryStore(tmp_path / str(number)))
            continue
        server: S3Server = request.getfixturevalue("s3_server")
        store = s3_store(server, f"test-{secrets.token_hex(6)}")
        store.create_bucket()
        found.append(store)
        environ = s3_environ(server, "any")
    environ |= stores(*(each.url for each in found))
    made = large.back_up(**environ, PGPROOF_VOLUME_SIZE="6MiB")
    one, other = (all_of(each) for each in found)
    assert one == other
    assert len(one) == 4
    for each in found:
        assert large("verify", made, "--store", each.url, **environ).code == 0


def test_a_dead_store_does_not_keep_the_others_from_having_it(large: Shop, tmp_path: Path) -> None:
    lost = tmp_path / "mount" / "backups"
    ended = large("backup", **stores(lost, large.folder))
    made = incomplete(ended, survivor=large.folder, lost=lost)
    assert not lost.parent.exists()
    assert large.ids() == [made]
    assert large("verify", "latest").code == 0


def test_a_dead_s3_server_does_neither_and_one_store_can_be_enough(large: Shop) -> None:
    both = {**DEAD, **stores(large.folder, "s3://nowhere")}
    made = incomplete(large("backup", **both), survivor=large.folder, lost="s3://nowhere")
    enough = large("backup", PGPROOF_STORES_REQUIRED="1", **both)
    assert enough.code == 0, enough
    assert enough.stderr.count("this store is left behind") == 1
    assert large.ids() == [enough.result["id"], made]


def test_where_every_store_is_dead_it_is_6(large: Shop, tmp_path: Path) -> None:
    ended = large("backup", **stores(tmp_path / "a" / "b", tmp_path / "c" / "d"), PGPROOF_STORES_REQUIRED="1")
    assert (ended.code, ended.error["code"]) == (6, "store_missing")


def test_a_store_that_dies_on_the_way_is_left_behind_and_has_nothing_that_looks_like_a_backup(
    large: Shop, s3_server: S3Server, bucket: str
) -> None:
    with holding("127.0.0.1", s3_server.port) as proxy:
        proxy.hold_after(7 * _MIB)
        environ = {**s3_environ(s3_server, bucket, port=proxy.port), **stores(f"s3://{bucket}", large.folder)}
        with large.pgproof.start("backup", "--json", PGPROOF_VOLUME_SIZE="6MiB", **environ) as running:
            running.wait_for(proxy.is_holding)
            proxy.refuse()
            proxy.release()
            ended = running.finish()
    made = incomplete(ended, survivor=large.folder, lost=f"s3://{bucket}")
    direct = s3_environ(s3_server, bucket)
    assert large("list", **direct).code == 9
    assert not [key for key in keys_of(s3_store(s3_server, bucket)) if key.endswith("manifest.json")]
    both = {**direct, **stores(f"s3://{bucket}", large.folder)}
    assert large("verify", "latest", **both).code == 0
    copied = large("copy", made, "--to", f"s3://{bucket}", **both)
    assert copied.code == 0, copied
    assert large.ids(**direct) == [made]
    assert large("verify", made, **direct).code == 0


def test_a_store_that_is_full_is_left_behind_and_has_nothing_left(large: Shop, small_disk: DirectoryPlace) -> None:
    ended = large("backup", **stores(small_disk.folder, large.folder))
    incomplete(ended, survivor=large.folder, lost=small_disk.folder)
    assert "no space for" in ended.complaint + (ended.error["detail"] or "")
    assert list(small_disk.folder.rglob("*")) == []
    assert large("verify", "latest").code == 0


def test_a_dump_that_breaks_leaves_nothing_in_any_store_but_a_note(
    large: Shop, s3_server: S3Server, bucket: str
) -> None:
    with holding(large.server.host, large.server.port) as proxy:
        proxy.hold_after(9 * _MIB)
        url = re.sub(r":\d+/", f":{proxy.port}/", large.server.url(large.database))
        environ = {**s3_environ(s3_server, bucket), **stores(large.folder, f"s3://{bucket}")}
        with large.pgproof.start("backup", "--json", PGPROOF_DATABASE_URL=url, **environ) as running:
            running.wait_for(proxy.is_holding)
            (dump,) = running.processes("pg_dump")
            dump.kill()
            proxy.release()
            ended = running.finish()
    assert (ended.code, ended.error["code"]) == (5, "dump_failed")
    for store in (large.store, s3_store(s3_server, bucket)):
        (note,) = keys_of(store)
        assert note.endswith(f"/{FAILED}")
        assert list(store.leftovers("")) == []


def test_a_run_that_is_stopped_leaves_nothing_in_any_store_but_a_note(
    large: Shop, s3_server: S3Server, bucket: str
) -> None:
    with holding("127.0.0.1", s3_server.port) as proxy:
        proxy.hold_after(7 * _MIB)
        environ = {**s3_environ(s3_server, bucket, port=proxy.port), **stores(large.folder, f"s3://{bucket}")}
        with large.pgproof.start("backup", "--json", **environ) as running:
            running.wait_for(proxy.is_holding)
            running.signal(signal.SIGTERM)
            proxy.release()
            ended = running.finish()
    assert ended.code == 128 + signal.SIGTERM
    assert ended.left == ()
    cloud = s3_store(s3_server, bucket)
    for store in (large.store, cloud):
        assert [key.rpartition("/")[2] for key in keys_of(store)] == [FAILED]
        assert list(store.leftovers("")) == []
    assert unfinished_uploads(cloud) == []
