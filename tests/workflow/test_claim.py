"""An id belongs to one run, whichever server, cluster or second the others come from."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from backup.domain.ids import BackupId
from backup.ports import Store
from backup.stores.directory import DirectoryStore
from backup.stream.readers import BytesReader
from backup.workflow.claim import claimed_id
from backup.workflow.copies import Copies
from tests.contracts.memory_store import MemoryStore

WANTED = BackupId.at(datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture(params=["memory", "directory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MemoryStore() if request.param == "memory" else DirectoryStore(tmp_path / "store")


def test_a_free_id_is_taken_and_nothing_of_the_claim_is_left(store: Store) -> None:
    store.put("other/x", BytesReader(b""))
    with claimed_id(Copies(store), "shop", WANTED) as found:
        assert found == WANTED
        assert [each.key for each in store.list("shop/")] != []
    assert [each.key for each in store.list("shop/")] == []


def test_an_id_with_any_object_is_not_taken(store: Store) -> None:
    store.put(f"shop/{WANTED}/dump.pgc.000", BytesReader(b"left behind"))
    with claimed_id(Copies(store), "shop", WANTED) as found:
        assert str(found) == f"{WANTED}-2"
    with claimed_id(Copies(store), "other", WANTED) as found:
        assert found == WANTED


def test_runs_of_the_same_second_never_share_an_id(store: Store) -> None:
    store.put("other/x", BytesReader(b""))
    for _ in range(5):
        found: list[BackupId] = []
        start = threading.Barrier(4)
        end = threading.Barrier(4)

        def run(found: list[BackupId] = found, start: threading.Barrier = start, end: threading.Barrier = end) -> None:
            start.wait()
            with claimed_id(Copies(store), "shop", WANTED) as mine:
                found.append(mine)
                end.wait(60)

        threads = [threading.Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == len(set(found)) == 4
        assert [each.key for each in store.list("shop/")] == []


def test_a_claim_of_a_run_that_died_makes_way_for_nobody_else(store: Store) -> None:
    store.put(f"shop/{WANTED}/claim-0000000000000000", BytesReader(b"dead"))
    with claimed_id(Copies(store), "shop", WANTED) as found:
        assert str(found) == f"{WANTED}-2"
