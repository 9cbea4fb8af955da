"""What ports.Store promises, on every store that there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import pytest

from backup.demo.s3_server import S3Server
from backup.errors import Interrupted, ObjectMissing, UsageError
from backup.ports import Store
from backup.stores.addresses import LEAST_PART_SIZE
from backup.stores.directory import DirectoryStore
from tests.contracts.memory_store import MemoryStore
from tests.fixtures.s3 import s3_store, unfinished_uploads
from tests.support.streams import DumpBroke, Stream, content, digest, expected

PART = LEAST_PART_SIZE
SIZES = [0, 1, PART - 1, PART, PART + 1, 2 * PART, 5 * PART + 77]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A store, and a way to see what it has that is not an object."""

    store: Store
    leftovers: Callable[[], list[str]]


@pytest.fixture(params=["memory", "directory", "s3"])
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Kind:
    if request.param == "memory":
        return Kind(store=MemoryStore(), leftovers=list)
    if request.param == "directory":
        root = tmp_path / "backups"
        return Kind(store=DirectoryStore(root), leftovers=lambda: [str(p) for p in root.rglob("*")])
    server: S3Server = request.getfixturevalue("s3_server")
    bucket: str = request.getfixturevalue("bucket")
    store = s3_store(server, bucket, "some/prefix")
    return Kind(store=store, leftovers=lambda: unfinished_uploads(store))


@pytest.fixture
def store(kind: Kind) -> Store:
    return kind.store


@pytest.mark.parametrize("size", SIZES)
def test_what_is_put_is_read_back(store: Store, size: int) -> None:
    put = store.put("shop/1/dump.000", Stream(size))
    with store.open("shop/1/dump.000") as reader:
        assert digest(reader) == expected(size)
    assert put.bytes == size
    assert put.key == "shop/1/dump.000"
    assert put == store.stat("shop/1/dump.000")
    assert abs(datetime.now(UTC) - put.modified) < timedelta(minutes=1)


def test_small_reads_give_the_same_bytes(store: Store) -> None:
    store.put("a", Stream(100_000))
    with store.open("a") as reader:
        assert digest(reader, read_size=777) == expected(100_000)


def test_a_reader_may_be_left_before_its_end(store: Store) -> None:
    store.put("a", Stream(2 * PART))
    for _ in range(8):
        with store.open("a") as reader:
            assert reader.read(10) == content(10)


def test_the_end_stays_the_end(store: Store) -> None:
    store.put("a", BytesIO(b"abc"))
    with store.open("a") as reader:
        assert [reader.read(3), reader.read(3), reader.read(3)] == [b"abc", b"", b""]


@pytest.mark.parametrize(("before", "after"), [(2 * PART, 5), (5, 2 * PART), (7, 7)])
def test_put_replaces(store: Store, before: int, after: int) -> None:
    first = store.put("a/b", BytesIO(b"-" * before))
    second = store.put("a/b", Stream(after))
    with store.open("a/b") as reader:
        assert digest(reader) == expected(after)
    assert second.etag != first.etag
    assert [found.key for found in store.list("")] == ["a/b"]


@pytest.mark.parametrize("size", [0, 1000, PART, 4 * PART + 5])
@pytest.mark.parametrize("failure", [DumpBroke("the dump broke"), Interrupted(15), KeyboardInterrupt()], ids=repr)
def test_a_failing_stream_leaves_nothing(kind: Kind, size: int, failure: BaseException) -> None:
    with pytest.raises(type(failure)) as caught:
        kind.store.put("shop/1/dump.000", Stream(size, failure=failure))
    assert caught.value is failure
    assert list(kind.store.list("")) == []
    assert kind.leftovers() == [] or kind.leftovers()[0].endswith("/backups")
    with pytest.raises(ObjectMissing):
        kind.store.stat("shop/1/dump.000")


def test_a_failing_stream_leaves_what_was_there(store: Store) -> None:
    store.put("a", BytesIO(b"old"))
    for size in (10, 2 * PART):
        with pytest.raises(DumpBroke):
            store.put("a", Stream(size, failure=DumpBroke("the dump broke")))
    with store.open("a") as reader:
        assert reader.read(10) == b"old"


def test_a_missing_object_cannot_be_opened(store: Store) -> None:
    store.put("a/b", BytesIO(b"x"))
    for key in ("a/c", "a", "b/b"):
        with pytest.raises(ObjectMissing, match=key), store.open(key):
            pass


def test_a_missing_object_has_no_stat(store: Store) -> None:
    with pytest.raises(ObjectMissing, match="a/b"):
        store.stat("a/b")


def test_delete_deletes_and_may_be_repeated(store: Store) -> None:
    store.put("a/b", BytesIO(b"x"))
    store.put("a/c", BytesIO(b"y"))
    store.delete("a/b")
    store.delete("a/b")
    store.delete("never/was")
    assert [found.key for found in store.list("")] == ["a/c"]
    with pytest.raises(ObjectMissing):
        store.stat("a/b")


def test_an_empty_store_lists_nothing(store: Store) -> None:
    assert list(store.list("")) == []
    assert list(store.list("shop/")) == []


ODD_KEYS = [
    "a-b/1",
    "a.b",
    "a/b/c",
    "a/b-c",
    "a/b0",
    "a0",
    "a b/c d",
    "100%/%2F%20+",
    "x+y=z&w?#;,",
    "'quoted' \"twice\"",
    "naïve/日本語/😀",
    "B",
    "~tilde",
]


def test_odd_keys_are_keys(store: Store) -> None:
    for key in ODD_KEYS:
        store.put(key, BytesIO(key.encode()))
    assert [(found.key, found.bytes) for found in store.list("")] == [
        (key, len(key.encode())) for key in sorted(ODD_KEYS)
    ]
    for key in ODD_KEYS:
        with store.open(key) as reader:
            assert reader.read(1000) == key.encode()
        assert [found.key for found in store.list(key)] == [key]
        store.delete(key)
    assert list(store.list("")) == []


def test_a_prefix_may_end_anywhere(store: Store) -> None:
    for key in ("shop/1/a", "shop/1/b", "shop/2/a", "shop2/1/a", "sho"):
        store.put(key, BytesIO(key.encode()))

    def listed(prefix: str) -> list[str]:
        return [found.key for found in store.list(prefix)]

    assert listed("shop/") == ["shop/1/a", "shop/1/b", "shop/2/a"]
    assert listed("shop/1") == ["shop/1/a", "shop/1/b"]
    assert listed("sho") == ["sho", "shop/1/a", "shop/1/b", "shop/2/a", "shop2/1/a"]
    assert listed("shop/1/a") == ["shop/1/a"]
    assert listed("shop/1/a/") == []
    assert listed("x") == []


def test_listing_pages_through_any_number(store: Store) -> None:
    keys = [f"shop/{number % 7}/{number:04d}" for number in range(1234)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: store.put(key, BytesIO(key.encode())), keys))
    assert [found.key for found in store.list("shop/")] == sorted(keys)
    assert len(list(store.list("shop/3/"))) == len([key for key in keys if key.startswith("shop/3/")])


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", "a\0b", ".partial-x"])
def test_what_is_no_key_is_refused(store: Store, key: str) -> None:
    calls: list[Callable[[], object]] = [
        lambda: store.put(key, BytesIO(b"x")),
        lambda: store.open(key).__enter__(),
        lambda: store.stat(key),
        lambda: store.delete(key),
    ]
    for call in calls:
        with pytest.raises(UsageError):
            call()


@pytest.mark.parametrize("prefix", ["/", "../", "a/../", "a//"])
def test_what_begins_no_key_is_refused(store: Store, prefix: str) -> None:
    with pytest.raises(UsageError):
        list(store.list(prefix))


def test_several_threads_put_at_once(store: Store) -> None:
    sizes = {f"t{number}/object": number * 1_500_000 for number in range(8)}
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda item: store.put(item[0], Stream(item[1])), sizes.items()))
    for key, size in sizes.items():
        with store.open(key) as reader:
            assert digest(reader) == expected(size)


def test_folders_that_come_and_go_do_not_disturb_a_put(store: Store) -> None:
    def come_and_go(number: int) -> None:
        for _ in range(30):
            store.put(f"same/folder/{number}", BytesIO(b"x"))
            store.delete(f"same/folder/{number}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(come_and_go, range(4)))
    assert list(store.list("")) == []


def test_the_address_is_told(store: Store) -> None:
    assert store.url


def _kinds() -> Iterator[Store]:
    """For mypy: each of them is a Store."""
    yield MemoryStore()
    yield DirectoryStore(Path())
