"""Buckets that keep versions, and objects that nobody can delete before their time, on a server that really does so."""

from __future__ import annotations

import secrets
import signal
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from minio import Minio
from minio.versioningconfig import VersioningConfig

from backup.demo.s3_server import S3Server
from backup.domain.marks import FAILED, LEASE
from backup.domain.rules import Rules
from backup.errors import ConfigurationError, ObjectLocked
from backup.stores.credentials import find_keys
from backup.stores.s3 import S3Store
from backup.stores.s3_versions import Lock
from backup.stream.readers import BytesReader
from backup.workflow.catalog import Catalog
from backup.workflow.prune import prune
from tests.care.conftest import DAY, MINUTE, Shop, content_of, keys_of, now, plant
from tests.failures.conftest import TARGET, check_failure, s3_environ
from tests.failures.holding import Gate
from tests.fixtures.s3 import s3_store
from tests.support.command import wait_until
from tests.support.manifests import START, a_manifest, stored
from tests.support.streams import Stream

ONE = Rules(keep_last=1, min_proven=0)
DUMP = f"{TARGET}/20260101T000000Z/dump.pgc.000"
KEEP = {"PGPROOF_RETENTION": "keep-within=10m"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A bucket that keeps versions, as its owner sees it."""

    server: S3Server
    name: str

    def store(self, *, lock: timedelta | None = None) -> S3Store:
        """A store in it, that locks what is stored for so long."""
        address = self.server.address(self.name)
        chosen = Lock(mode="governance", period=lock) if lock else None
        return S3Store(address, find_keys(self.server.keys, {}), lock=chosen)

    @property
    def client(self) -> Minio:
        return self.store()._client  # noqa: SLF001 - what no port has

    def versions(self) -> list[str]:
        """The names of all that it keeps, versions and marks of deletes too."""
        found = self.client.list_objects(self.name, recursive=True, include_version=True)
        return [each.object_name or "" for each in found]

    def environ(self, mode: str = "off") -> dict[str, str]:
        return {**s3_environ(self.server, self.name), "PGPROOF_S3_LOCK": mode, **KEEP}


@pytest.fixture
def locking(s3_server: S3Server) -> Bucket:
    """A bucket with object lock."""
    made = Bucket(server=s3_server, name=f"lock-{secrets.token_hex(6)}")
    made.client.make_bucket(made.name, object_lock=True)
    return made


@pytest.fixture
def versioned(s3_server: S3Server) -> Bucket:
    """A bucket that keeps versions, and locks nothing."""
    made = Bucket(server=s3_server, name=f"versions-{secrets.token_hex(6)}")
    made.client.make_bucket(made.name)
    made.client.set_bucket_versioning(made.name, VersioningConfig("Enabled"))
    return made


def until(moment: datetime) -> Callable[[], bool]:
    return lambda: now() > moment


def test_a_delete_in_a_bucket_with_versions_leaves_none(versioned: Bucket) -> None:
    store = versioned.store()
    for content in (b"1", b"22", b"333"):
        store.put("a/b", BytesReader(content))
    store.put("a/b2", BytesReader(b"other"))
    assert versioned.versions() == ["a/b"] * 3 + ["a/b2"]
    store.delete("a/b")
    store.delete("a/b")
    assert versioned.versions() == ["a/b2"]
    assert not store.may_lock
    assert store.stat("a/b2").locked_until is None


def test_a_put_that_fails_leaves_no_version_either(versioned: Bucket) -> None:
    store = versioned.store()
    for size in (10, 11 << 20):
        with pytest.raises(OSError, match="broke"):
            store.put("a/b", Stream(size, failure=OSError("the dump broke")))
    assert versioned.versions() == []
    assert list(store.leftovers("")) == []


def test_a_backup_in_a_bucket_with_versions_leaves_nothing_but_itself_and_goes_without_a_trace(
    shop: Shop, versioned: Bucket
) -> None:
    made = shop.back_up(**versioned.environ())
    names = {f"{TARGET}/{made}/{name}" for name in ("manifest.json", "dump.pgc.zst.000", "proof.json.zst.000")}
    assert sorted(versioned.versions()) == sorted(names)
    plant(versioned.store(), made, 2 * DAY, 3 * DAY)
    assert len(versioned.versions()) == 9
    assert shop("prune", **versioned.environ()).code == 0
    assert sorted(versioned.versions()) == sorted(names)


def test_what_is_locked_says_until_when_and_cannot_be_deleted_nor_overwritten_for_good(locking: Bucket) -> None:
    store = locking.store(lock=timedelta(seconds=3))
    assert store.may_lock
    put = store.put(DUMP, BytesReader(b"first"))
    assert put.locked_until
    assert timedelta(0) < put.locked_until - now() <= timedelta(seconds=3)
    for other in (store, locking.store()):
        with pytest.raises(ObjectLocked) as caught:
            other.delete(put.key)
        assert caught.value.until == put.locked_until
        assert f"{put.locked_until:%H:%M:%SZ}" in caught.value.message
    assert content_of(store, put.key) == b"first"
    wait_until(until(put.locked_until))
    store.delete(put.key)
    assert locking.versions() == []


def test_compliance_is_a_lock_of_that_name(locking: Bucket) -> None:
    lock = Lock(mode="compliance", period=MINUTE)
    store = S3Store(locking.server.address(locking.name), find_keys(locking.server.keys, {}), lock=lock)
    put = store.put(DUMP, BytesReader(b"x"))
    found = locking.client.get_object_retention(locking.name, DUMP)
    assert found
    assert (found.mode, found.retain_until_date) == ("COMPLIANCE", put.locked_until)
    with pytest.raises(ObjectLocked):
        store.delete(DUMP)


def test_large_objects_are_locked_too(locking: Bucket) -> None:
    store = locking.store(lock=MINUTE)
    put = store.put(DUMP, Stream(11 << 20))
    with pytest.raises(ObjectLocked) as caught:
        store.delete(DUMP)
    assert caught.value.until == put.locked_until


@pytest.mark.parametrize("name", ["hold.json", "failed.json", "claim-0123", "shields/0123.json"])
def test_what_does_not_last_is_not_locked(locking: Bucket, name: str) -> None:
    store = locking.store(lock=MINUTE)
    for key in (f"{TARGET}/20260101T000000Z/{name}", f"{TARGET}/{LEASE}"):
        assert store.put(key, BytesReader(b"x")).locked_until is None
        store.delete(key)
    assert locking.versions() == []


def test_a_prune_keeps_what_is_locked_says_until_when_and_deletes_it_with_all_versions_afterwards(
    locking: Bucket,
) -> None:
    store = locking.store(lock=timedelta(seconds=4))
    old = stored(store, a_manifest(START))
    last = stored(store, a_manifest(START + DAY))
    moment = store.stat(f"{TARGET}/{old.id}/manifest.json").locked_until
    assert moment
    reason = f"locked until {moment:%Y-%m-%d %H:%M:%SZ}"
    for dry_run in (True, False):
        pruning = prune(TARGET, locking.store(), ONE, clock=now, dry_run=dry_run)
        assert {str(each.run.id): each.reason for each in pruning.plan.decisions}[old.id] == reason
        assert pruning.plan.deleted == ()
        assert pruning.freed == 0
    assert [each.id for each in Catalog(store).listing(TARGET).backups] == [old.id, last.id]
    wait_until(until(moment))
    prune(TARGET, locking.store(), ONE, clock=now)
    assert {name.split("/")[1] for name in locking.versions()} == {last.id}


def test_what_was_added_later_is_locked_for_longer_and_keeps_the_whole_backup(locking: Bucket) -> None:
    store = locking.store(lock=timedelta(seconds=2))
    old = stored(store, a_manifest(START))
    first = store.stat(f"{TARGET}/{old.id}/manifest.json").locked_until
    stored(locking.store(), a_manifest(START + DAY))
    later = locking.store(lock=timedelta(seconds=6)).put(f"{TARGET}/{old.id}/accepted.json", BytesReader(b"{}"))
    assert first
    assert later.locked_until
    wait_until(until(first))
    pruning = prune(TARGET, locking.store(), ONE, clock=now)
    assert pruning.plan.deleted == ()
    assert old.id in [each.id for each in Catalog(store).listing(TARGET).backups]
    wait_until(until(later.locked_until))
    assert len(prune(TARGET, locking.store(), ONE, clock=now).plan.deleted) == 1


def test_a_backup_into_a_locked_bucket_is_locked_as_long_as_keep_within_says_and_leaves_no_lease_nor_claim(
    shop: Shop, locking: Bucket
) -> None:
    begun = now()
    made = shop.back_up(**locking.environ("governance"))
    store = locking.store()
    keys = keys_of(store)
    assert sorted(locking.versions()) == keys
    assert {key.split("/")[1] for key in keys} == {made}
    for key in keys:
        found = locking.client.get_object_retention(locking.name, key)
        assert found
        assert found.mode == "GOVERNANCE"
        locked = store.stat(key).locked_until
        assert locked
        assert begun + 10 * MINUTE - timedelta(seconds=1) <= locked <= now() + 10 * MINUTE
    assert shop("verify", "latest", **locking.environ("governance")).code == 0
    last = shop.back_up(**locking.environ("governance"))
    pruned = shop("prune", **{**locking.environ(), "PGPROOF_RETENTION": "keep-last=1"})
    assert pruned.code == 0, pruned
    reasons = {each["id"]: each["reason"] for each in pruned.result["prunings"][0]["runs"]}
    assert reasons[made].startswith("locked until ")
    assert shop.ids(**locking.environ()) == [last, made]


def test_a_run_that_fails_in_a_locked_bucket_says_what_stays_and_is_no_backup(
    shop: Shop, locking: Bucket, tmp_path: Path
) -> None:
    gate = Gate(tmp_path / "gate", shop.server.bin_dir, "pg_dumpall")
    environ = {**locking.environ("governance"), "PGPROOF_GLOBALS": "roles", "PGPROOF_PG_BIN": str(gate.folder)}
    with shop.pgproof.start("backup", "--json", **environ) as running:
        running.wait_for(gate.is_reached)
        running.signal(signal.SIGTERM)
        ended = running.finish()
    assert ended.code == 128 + signal.SIGTERM
    assert "Traceback" not in ended.stderr
    assert ended.left == ()
    assert [key.rpartition("/")[2] for key in keys_of(locking.store())] == ["dump.pgc.zst.000", FAILED]
    assert ended.stderr.count("left behind") == 1
    assert "is locked until" in ended.stderr
    assert shop("list", **locking.environ()).code == 9
    assert shop("backup", **locking.environ("governance")).code == 0


def test_a_bucket_without_locks_is_told_as_what_it_is(shop: Shop, s3_server: S3Server, bucket: str) -> None:
    ended = shop("backup", **{**s3_environ(s3_server, bucket), "PGPROOF_S3_LOCK": "governance", **KEEP})
    check_failure(
        ended, ConfigurationError, says=f"{bucket} has no object lock", hint="PGPROOF_S3_LOCK", retryable=False
    )
    assert [key.rpartition("/")[2] for key in keys_of(s3_store(s3_server, bucket))] == [FAILED]


def test_a_lock_without_a_time_is_refused_before_anything_is_done(shop: Shop, locking: Bucket) -> None:
    ended = shop("backup", **{**locking.environ("governance"), "PGPROOF_RETENTION": "keep-last=3"})
    assert (ended.code, "keep-within" in ended.complaint + (ended.error["detail"] or "")) == (3, True), ended
    assert locking.versions() == []
