"""A prune that is interrupted half-way, or that may not delete: no backup ever looks whole that is not."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from backup.demo.s3_server import S3Server
from backup.domain.manifest import MANIFEST_NAME
from backup.domain.rules import Rules
from backup.errors import StoreUnreachable
from backup.ports import Store
from backup.stores.directory import DirectoryStore
from backup.stream.readers import BytesReader
from backup.workflow.catalog import Catalog
from backup.workflow.prune import prune
from tests.care.conftest import DAY, Shop, keys_of, moment_of, now, plant, reasons
from tests.care.stores import Failing
from tests.contracts.memory_store import MemoryStore
from tests.failures.conftest import TARGET, s3_environ
from tests.failures.holding import holding
from tests.fixtures.proxy import proxied
from tests.fixtures.s3 import IMPATIENT, s3_store, unfinished_uploads
from tests.support.manifests import START, a_manifest, stored
from tests.support.rights import ordinary
from tests.support.streams import DumpBroke, Stream

LAST = {"PGPROOF_RETENTION": "keep-last=1,min-proven=0"}
ONE = Rules(keep_last=1, min_proven=0)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_after_a_prune_that_was_stopped_half_way_every_listed_backup_is_whole_and_the_next_one_goes_on(
    shop: Shop, s3_server: S3Server, bucket: str, signum: signal.Signals
) -> None:
    (first,) = shop.ids()
    store = s3_store(s3_server, bucket)
    plant(shop.store, first, now() - moment_of(first), *(days * DAY for days in range(2, 9)), to=store)
    environ = {**s3_environ(s3_server, bucket), **LAST}
    with holding("127.0.0.1", s3_server.port) as proxy:
        through = {**environ, "PGPROOF_S3_ENDPOINT": f"http://127.0.0.1:{proxy.port}"}
        assert shop("prune", "--dry-run", **through).code == 0
        proxy.hold_after(proxy.passed + 12_000)  # what the plan took, and some fifteen deletes
        with shop.pgproof.start("prune", "--json", **through) as running:
            running.wait_for(proxy.is_holding)
            running.signal(signum)
            proxy.release()
            ended = running.finish()
    assert ended.code == (-signum if signum == signal.SIGKILL else 143)
    listed = shop.ids(**environ)
    assert 1 < len(listed) < 8
    _assert_whole(store)
    half = {key.split("/")[1] for key in keys_of(store)} - set(listed)
    pruned = shop.prune(**environ)
    assert set(reasons(pruned, keep=False)) == set(listed[1:])
    assert {each: reasons(pruned)[each] for each in half} == dict.fromkeys(
        half, "has no manifest, and is younger than a day"
    )
    prune(TARGET, store, ONE, clock=lambda: now() + 2 * DAY)
    assert {key.split("/")[1] for key in keys_of(store)} == {first}


@pytest.mark.parametrize("deletes", range(1, 9))
def test_wherever_the_store_goes_away_no_listed_backup_is_without_its_parts(deletes: int) -> None:
    store = MemoryStore()
    kept = [stored(store, a_manifest(START + days * DAY)) for days in range(5)][-1]
    store.put(f"{TARGET}/{a_manifest(START).id}/hold.jsonx", BytesReader(b"not ours"))
    failing = Failing(store, deletes=deletes - 1)
    with pytest.raises(StoreUnreachable):
        prune(TARGET, failing, ONE, clock=lambda: START + 9 * DAY)
    _assert_whole(store)
    assert len(keys_of(store)) == 11 - (deletes - 1)
    failing.deletes = None
    prune(TARGET, failing, ONE, clock=lambda: now() + 2 * DAY)  # what is left of a half one is of today
    _assert_whole(store)
    assert [each.id for each in Catalog(store).listing(TARGET).backups] == [kept.id]
    assert len(keys_of(store)) == 3


def test_two_prunes_at_once_do_no_harm(shop: Shop) -> None:
    (first,) = shop.ids()
    plant(shop.store, first, *(days * DAY for days in range(2, 40)))
    with shop.pgproof.start("prune", **LAST) as one, shop.pgproof.start("prune", **LAST) as other:
        assert [each.finish().code for each in (one, other)] == [0, 0]
    assert shop.ids() == [first]
    assert [path.name for path in (shop.folder / TARGET).iterdir()] == [first]


def test_a_store_that_denies_deletes_is_14_for_a_prune_and_11_for_a_backup_that_is_listed(shop: Shop) -> None:
    (first,) = shop.ids()
    (old,) = plant(shop.store, first, 3 * DAY)
    denied = ordinary(shop.pgproof)
    shop.of(old).chmod(0o555)
    ended = denied("prune", "--json", **LAST)
    assert (ended.code, str(shop.of(old)) in ended.complaint) == (14, True), ended
    made = denied("backup", "--json", **LAST)
    assert (made.code, made.error["code"]) == (11, "afterwards_failed")
    assert str(shop.of(old)) in made.complaint + (made.error["detail"] or "")
    assert "is safe in" in made.complaint
    new = made.complaint.split()[0]
    assert shop.ids() == [new, first, old]
    assert shop("verify", new).code == 0
    assert denied("backup", "--json", "--no-prune", **LAST).code == 0


def test_of_several_stores_one_that_denies_deletes_does_not_keep_the_others_from_being_pruned(
    shop: Shop, tmp_path: Path
) -> None:
    (first,) = shop.ids()
    second = DirectoryStore(tmp_path / "second")
    plant(shop.store, first, now() - moment_of(first), 3 * DAY, to=second)
    (old,) = plant(shop.store, first, 3 * DAY)
    shop.of(old).chmod(0o555)
    both = {**LAST, "PGPROOF_STORE": f"{shop.folder},{tmp_path / 'second'}"}
    ended = ordinary(shop.pgproof)("prune", "--json", **both)
    assert ended.code == 14
    assert shop.ids() == [first, old]
    assert [each.id for each in Catalog(second).listing(TARGET).backups] == [first]


def test_unfinished_uploads_are_listed_and_discarded_a_day_later(s3_server: S3Server, bucket: str) -> None:
    with proxied("127.0.0.1", s3_server.port) as proxy:
        through = s3_store(s3_server, bucket, port=proxy.port, patience=IMPATIENT)
        with pytest.raises(DumpBroke):
            through.put(f"{TARGET}/20260101T000000Z/dump.pgc.zst.000", _LosesLine(15 << 20, proxy.refuse))
    store = s3_store(s3_server, bucket)
    stored(store, a_manifest(START))
    (found,) = store.leftovers(f"{TARGET}/")
    assert (found.key, found.what) == (f"{TARGET}/20260101T000000Z/dump.pgc.zst.000", "unfinished upload")
    assert list(store.leftovers("another/")) == []
    assert prune(TARGET, store, ONE, clock=now).leftovers == ()
    assert len(prune(TARGET, store, ONE, clock=lambda: now() + 2 * DAY, dry_run=True).leftovers) == 1
    assert unfinished_uploads(store) == [found.key]
    assert len(prune(TARGET, store, ONE, clock=lambda: now() + 2 * DAY).leftovers) == 1
    assert unfinished_uploads(store) == []


class _LosesLine:
    """A stream that breaks after so many bytes, and the line to the store with it: nothing can be cleaned up."""

    def __init__(self, size: int, lose: Callable[[], None]) -> None:
        self._stream = Stream(size, failure=DumpBroke("the dump broke"))
        self._lose = lose

    def read(self, size: int, /) -> bytes:
        try:
            return self._stream.read(size)
        except DumpBroke:
            self._lose()
            raise


def _assert_whole(store: Store) -> None:
    """Every backup that is listed has all of its parts."""
    keys = set(keys_of(store))
    for backup in Catalog(store).listing(TARGET).backups:
        prefix = f"{TARGET}/{backup.id}/"
        assert keys >= {prefix + volume.name for part in backup.parts for volume in part.volumes} | {
            prefix + MANIFEST_NAME
        }
