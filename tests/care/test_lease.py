"""One run of a target at a time: by the lock on its server, and by the lease between servers that share a store."""

from __future__ import annotations

import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from backup.domain.marks import FAILED, LEASE, Mark
from backup.errors import LockHeld
from backup.ports import Store
from backup.stream.readers import BytesReader
from backup.workflow.catalog import Catalog
from backup.workflow.copies import Copies
from backup.workflow.lease import leased, shielded
from backup.workflow.runs import read_mark
from tests.care.conftest import MINUTE, Shop, content_of, keys_of, make_old, now, shop_of
from tests.contracts.memory_store import MemoryStore
from tests.failures.conftest import TARGET, check_failure, s3_environ
from tests.failures.holding import Gate, through
from tests.fixtures.postgres import NewDatabase, Server
from tests.fixtures.proxy import proxied
from tests.fixtures.s3 import s3_store
from tests.support.command import wait_until
from tests.support.manifests import a_manifest, stored

KEY = f"{TARGET}/{LEASE}"
SHORT = timedelta(milliseconds=300)


@pytest.fixture
def gate(tmp_path: Path, pg18: Server) -> Gate:
    """Programs whose pg_dump waits for the test."""
    return Gate(tmp_path / "gate", pg18.bin_dir)


@pytest.fixture
def elsewhere(system_server: Server, new_database: NewDatabase, tmp_path: Path) -> Shop:
    """A database on another server, with the same name for its target and the same store."""
    made = shop_of(system_server, new_database(system_server), tmp_path)
    made.run("CREATE TABLE orders AS SELECT 1 AS id")
    return made


def lease(source: str = "another", *, lasts: timedelta = MINUTE) -> Mark:
    """The lease of another run."""
    return Mark(time=now(), text="0123", host="pod-7", until=now() + lasts, source=source)


def test_a_second_run_ends_with_10_or_waits_until_the_first_has_ended(shop: Shop, gate: Gate) -> None:
    with ExitStack() as stack:
        first = stack.enter_context(shop.pgproof.start("backup", "--json", PGPROOF_PG_BIN=str(gate.folder)))
        first.wait_for(gate.is_reached)
        second = shop("backup")
        check_failure(second, LockHeld, says=f"another run of {TARGET}", hint="--wait", retryable=False)
        assert shop("backup", "--wait", "1").code == 10
        proxy = stack.enter_context(proxied(shop.server.host, shop.server.port))
        url = through(proxy, shop.server.url(shop.database))
        third = stack.enter_context(shop.pgproof.start("backup", "--json", "--wait", "60", PGPROOF_DATABASE_URL=url))
        third.wait_for(lambda: proxy.connections > 2)  # it has tried once, and tries again
        gate.open()
        ended, waited = first.finish(), third.finish()
    assert (ended.code, waited.code) == (0, 0)
    assert waited.stderr.count("waiting") == 1
    assert shop.ids()[:2] == [waited.result["id"], ended.result["id"]]
    assert list(shop.folder.rglob(FAILED)) == []


@pytest.mark.parametrize("kind", ["directory", "s3"])
def test_of_two_servers_that_share_a_store_and_a_target_the_second_ends_with_10(
    shop: Shop, elsewhere: Shop, gate: Gate, request: pytest.FixtureRequest, kind: str
) -> None:
    environ: dict[str, str] = {}
    store: Store = shop.store
    if kind == "s3":
        server, bucket = request.getfixturevalue("s3_server"), request.getfixturevalue("bucket")
        environ, store = s3_environ(server, bucket), s3_store(server, bucket)
    with shop.pgproof.start("backup", "--json", PGPROOF_PG_BIN=str(gate.folder), **environ) as first:
        first.wait_for(gate.is_reached)
        second = elsewhere("backup", **environ)
        other = elsewhere("backup", PGPROOF_TARGET="other", **environ)
        gate.open()
        ended = first.finish()
    check_failure(
        second, LockHeld, says=f"another run of {TARGET} is under way on ", hint="if it crashed", retryable=False
    )
    assert (ended.code, other.code) == (0, 0)
    assert KEY not in keys_of(store)
    made = elsewhere("backup", **environ)
    assert made.code == 0, made
    assert [each.id for each in Catalog(store).listing(TARGET).backups][-2:] == [
        ended.result["id"],
        made.result["id"],
    ]


def test_what_a_crashed_run_has_left_is_taken_over_at_once_by_the_next_of_the_same_server_and_by_no_other(
    shop: Shop, elsewhere: Shop, gate: Gate
) -> None:
    with shop.pgproof.start("backup", PGPROOF_PG_BIN=str(gate.folder)) as running:
        running.wait_for(gate.is_reached)
        children = running.processes()
        running.signal(signal.SIGKILL)
        for child in children:
            child.kill()
        assert running.finish().code == -signal.SIGKILL
    assert KEY in keys_of(shop.store)
    assert elsewhere("backup").code == 10
    made = shop("backup")
    assert made.code == 0, made
    assert made.stderr.count("a lease that a run has left is taken over") == 1
    assert KEY not in keys_of(shop.store)
    assert elsewhere("backup").code == 0


def test_the_lease_of_another_server_counts_until_it_expires(shop: Shop) -> None:
    shop.store.put(KEY, BytesReader(lease().to_json()))
    ended = shop("backup")
    check_failure(ended, LockHeld, says="is under way on pod-7, since ", hint="its lease in ", retryable=False)
    assert content_of(shop.store, KEY)
    shop.store.put(KEY, BytesReader(lease(lasts=-MINUTE).to_json()))
    made = shop("backup")
    assert made.code == 0, made
    assert made.stderr.count("taken over") == 1
    assert "pod-7" in made.stderr
    assert KEY not in keys_of(shop.store)


def test_a_damaged_lease_counts_as_one_that_was_just_written_and_expires_too(shop: Shop) -> None:
    shop.store.put(KEY, BytesReader(b"{"))
    check_failure(shop("backup"), LockHeld, says=f"another run of {TARGET}", hint="its lease in ", retryable=False)
    make_old(shop.folder / KEY, 11 * MINUTE)
    made = shop("backup")
    assert made.code == 0, made
    assert made.stderr.count("taken over") == 1
    assert KEY not in keys_of(shop.store)


def test_after_a_run_that_failed_the_lease_is_gone_too(shop: Shop, gate: Gate) -> None:
    with shop.pgproof.start("backup", "--json", PGPROOF_PG_BIN=str(gate.folder)) as running:
        running.wait_for(gate.is_reached)
        assert KEY in keys_of(shop.store)
        for process in running.processes("pg_dump"):
            process.kill()
        assert running.finish().code == 5
    assert KEY not in keys_of(shop.store)


def test_while_a_run_is_under_way_nothing_that_may_be_its_own_is_swept(shop: Shop) -> None:
    broken = shop.of("20260101T000000Z")
    shop.store.put(f"{TARGET}/{broken.name}/dump.pgc.zst.000", BytesReader(b"part"))
    making = broken / f".partial-{uuid4().hex}"
    making.write_bytes(b"half")
    make_old(broken, timedelta(days=2))
    shop.store.put(KEY, BytesReader(lease().to_json()))
    done = shop.prune()
    assert (done["leftovers"], making.exists()) == ([], True)
    assert {each["reason"] for each in done["runs"] if not each["backup"]} == {"a run is under way"}
    shop.store.put(KEY, BytesReader(lease(lasts=-MINUTE).to_json()))
    assert [each["what"] for each in shop.prune()["leftovers"]] == ["file in the making"]
    assert not broken.exists()


def test_a_lease_is_renewed_as_long_as_it_is_held() -> None:
    store = MemoryStore()

    def until() -> object:
        mark = read_mark(store, KEY)
        return mark and mark.until

    with leased(Copies(store), TARGET, source="ours", clock=now, lifetime=SHORT):
        begun = until()
        wait_until(lambda: until() != begun, limit=10)
        with pytest.raises(LockHeld), leased(Copies(store), TARGET, source="another", clock=now):
            pass
    assert keys_of(store) == []


def test_a_shield_is_renewed_as_long_as_the_backup_is_read() -> None:
    store = MemoryStore()
    backup = stored(store, a_manifest())
    with shielded(backup, store, clock=now, lifetime=SHORT):
        (key,) = keys_of(store, f"{TARGET}/{backup.id}/shields/")
        begun = content_of(store, key)
        wait_until(lambda: content_of(store, key) != begun, limit=10)
    assert keys_of(store, f"{TARGET}/{backup.id}/shields/") == []


def test_a_lease_that_another_run_took_over_is_left_to_it() -> None:
    store = MemoryStore()
    with leased(Copies(store), TARGET, source="ours", clock=now):
        store.put(KEY, BytesReader(lease().to_json()))
    mark = read_mark(store, KEY)
    assert mark
    assert mark.host == "pod-7"


def test_of_several_stores_one_that_another_run_has_is_enough_and_the_others_are_given_back() -> None:
    first, second = MemoryStore(), MemoryStore()
    second.put(KEY, BytesReader(lease().to_json()))
    with pytest.raises(LockHeld), leased(Copies(first, second), TARGET, source="ours", clock=now):
        pass
    assert (keys_of(first), keys_of(second)) == ([], [KEY])


@pytest.mark.parametrize("kind", ["memory", "directory", "s3"])
def test_of_many_that_want_it_at_the_same_time_exactly_one_has_it(
    tmp_path: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    store: Store = MemoryStore()
    if kind == "directory":
        store = shop_of(request.getfixturevalue("pg18"), "none", tmp_path).store
    elif kind == "s3":
        store = s3_store(request.getfixturevalue("s3_server"), request.getfixturevalue("bucket"))
    start, end = threading.Barrier(6), threading.Barrier(6)

    def run(number: int) -> bool:
        start.wait()
        try:
            with leased(Copies(store), TARGET, source=str(number), clock=now):
                end.wait()
                return True
        except LockHeld:
            end.wait()
            return False

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(run, range(6))) == [False] * 5 + [True]
    assert keys_of(store) == []
