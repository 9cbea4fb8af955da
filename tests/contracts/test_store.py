"""What ports.Store promises, on every store that there is."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from io import BytesIO
from pathlib import Path

import pytest

from backup.demo.s3_server import S3Server
from backup.errors import Interrupted, ObjectExists, ObjectMissing, UsageError
from backup.ports import Store
from backup.stores.addresses import LEAST_PART_SIZE
from backup.stores.directory import DirectoryStore
from backup.stores.s3 import S3Store
from tests.contracts.memory_store import MemoryStore
from tests.fixtures.proxy import proxied
from tests.fixtures.s3 import IMPATIENT, s3_store, unfinished_uploads
from tests.support.streams import DumpBroke, Stream, content, digest, expected

PART = LEAST_PART_SIZE
SIZES = [0, 1, PART - 1, PART, PART + 1, 2 * PART, 5 * PART + 77]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A store, a way to see what it has that is not an object, and one to leave such a thing there.

    Attributes:
        abandon: begins a put, and never ends it.
        has_leftovers: whether that leaves anything.
    """

    store: Store
    leftovers: Callable[[], list[str]]
    abandon: Callable[[str], None]
    has_leftovers: bool = True


@pytest.fixture(params=["memory", "directory", "s3"])
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Kind:
    if request.param == "memory":
        return Kind(store=MemoryStore(), leftovers=list, abandon=lambda _: None, has_leftovers=False)
    if request.param == "directory":
        root = tmp_path / "backups"
        return Kind(
            store=DirectoryStore(root),
            leftovers=lambda: [str(p) for p in root.rglob("*")],
            abandon=partial(_killed, root),
        )
    server: S3Server = request.getfixturevalue("s3_server")
    bucket: str = request.getfixturevalue("bucket")
    store = s3_store(server, bucket, "some/prefix")
    return Kind(store=store, leftovers=lambda: unfinished_uploads(store), abandon=partial(_cut_off, server, store))


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


@pytest.mark.parametrize("size", [0, 1000, 2 * PART + 5])
def test_what_is_put_as_new_takes_the_place_of_nothing(kind: Kind, size: int) -> None:
    put = kind.store.put("a/b", Stream(size), new=True)
    assert put == kind.store.stat("a/b")
    with pytest.raises(ObjectExists, match="a/b"):
        kind.store.put("a/b", BytesIO(b"other"), new=True)
    with pytest.raises(ObjectExists, match="a/b"):
        kind.store.put("a/b", Stream(2 * PART + 7), new=True)
    assert kind.store.stat("a/b") == put
    with kind.store.open("a/b") as reader:
        assert digest(reader) == expected(size)
    assert list(kind.store.leftovers("")) == []
    kind.store.delete("a/b")
    kind.store.put("a/b", BytesIO(b"again"), new=True)


def test_of_many_that_put_it_as_new_at_the_same_time_exactly_one_goes_through(store: Store) -> None:
    threads = 8
    barrier = threading.Barrier(threads)

    def put(number: int) -> bytes | None:
        content = f"by {number}".encode()
        barrier.wait()
        try:
            store.put("a/b", BytesIO(content), new=True)
        except ObjectExists:
            return None
        return content

    for _ in range(5):
        with ThreadPoolExecutor(threads) as pool:
            (won,) = filter(None, pool.map(put, range(threads)))
        with store.open("a/b") as reader:
            assert reader.read(100) == won
        assert list(store.leftovers("")) == []
        store.delete("a/b")


def test_a_put_under_way_is_seen_as_a_leftover_and_ends_without_any(kind: Kind) -> None:
    seen: list[str] = []

    class Looking(Stream):
        def read(self, size: int, /) -> bytes:
            data = super().read(size)
            if not data and not seen:
                seen.extend(each.what for each in kind.store.leftovers("shop/"))
                seen.append("looked")
            return data

    kind.store.put("shop/1/dump.000", Looking(4 * PART))
    assert seen[-1] == "looked"
    assert (len(seen) == 2) is kind.has_leftovers
    assert list(kind.store.leftovers("")) == []


def test_what_an_unfinished_put_has_left_is_shown_and_can_be_discarded(kind: Kind) -> None:
    begun = datetime.now(UTC)
    kind.abandon("shop/1/dump.000")
    kind.store.put("shop/1/other", BytesIO(b"x"))
    assert [found.key for found in kind.store.list("")] == ["shop/1/other"]
    assert list(kind.store.leftovers("another/")) == []
    found = list(kind.store.leftovers("shop/"))
    assert len(found) == kind.has_leftovers
    for each in found:
        assert each.key.startswith("shop/1/")
        assert each.what
        assert abs(each.modified - begun) < timedelta(minutes=1)
        each.discard()
        each.discard()
    assert list(kind.store.leftovers("")) == []
    assert [found.key for found in kind.store.list("")] == ["shop/1/other"]


def test_a_plain_store_locks_nothing(store: Store) -> None:
    assert store.put("a", BytesIO(b"x")).locked_until is None
    assert store.stat("a").locked_until is None
    assert not store.may_lock


def test_the_address_is_told(store: Store) -> None:
    assert store.url


def _killed(root: Path, key: str) -> None:
    """A process that is killed while it puts."""
    program = """
import os, signal, sys
from pathlib import Path
from backup.stores.directory import DirectoryStore

class Killing:
    def read(self, size):
        os.kill(os.getpid(), signal.SIGKILL)

DirectoryStore(Path(sys.argv[1])).put(sys.argv[2], Killing())
"""
    ended = subprocess.run([sys.executable, "-c", program, str(root), key], check=False, capture_output=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr


def _cut_off(server: S3Server, store: S3Store, key: str) -> None:
    """A put whose line to the server is gone for good, so that it cannot clean up."""
    address = store._address  # noqa: SLF001 - the same bucket by another way
    with proxied("127.0.0.1", server.port) as proxy:
        through = s3_store(server, address.bucket, address.prefix, port=proxy.port, patience=IMPATIENT)

        class Cutting(Stream):
            def read(self, size: int, /) -> bytes:
                data = super().read(size)
                if not data:
                    proxy.refuse()
                    raise DumpBroke("the line is gone")
                return data

        with pytest.raises(DumpBroke):
            through.put(key, Cutting(3 * PART))


def _kinds() -> Iterator[Store]:
    """For mypy: each of them is a Store."""
    yield MemoryStore()
    yield DirectoryStore(Path())
