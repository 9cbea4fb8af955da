"""A stream in volumes: cut at any size, put together again, and every damage found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup.errors import IntegrityFailed, ObjectMissing, StoreUnreachable
from backup.stream.age import Identity, Keyring
from backup.stream.readers import ByteReader, BytesReader
from backup.stream.volumes import Encoding, StoredStream, WrittenPart, decoded, volume_name, write_part
from tests.support.streams import DumpBroke, Stream

NONE = Encoding(compression="none", level=0, threads=0, volume_size=10)
ZSTD = Encoding(compression="zstd", level=1, threads=0, volume_size=10)
IDENTITY = Identity.new()
KEYS = Keyring((IDENTITY,))
AGE = replace(NONE, recipients=(IDENTITY.public,))
BOTH = replace(ZSTD, recipients=(IDENTITY.public,))
encodings = st.builds(
    replace, st.sampled_from([NONE, ZSTD, AGE, BOTH]), volume_size=st.integers(min_value=1, max_value=300)
)


class Shelf(dict[str, bytes]):
    """Where volumes are kept."""

    def put(self, name: str, data: ByteReader) -> int:
        pieces = iter(lambda: data.read(7), b"")
        self[name] = b"".join(pieces)
        return len(self[name])

    @contextmanager
    def open(self, name: str) -> Iterator[ByteReader]:
        if name not in self:
            raise ObjectMissing(f"no {name}")
        yield BytesReader(self[name])


def written(shelf: Shelf, data: bytes, encoding: Encoding = NONE) -> WrittenPart:
    return write_part("dump.pgc", BytesReader(data), put=shelf.put, encoding=encoding)


def read(shelf: Shelf, part: WrittenPart, encoding: Encoding = NONE, size: int = 4) -> bytes:
    keys = KEYS if encoding.recipients else None
    with (
        StoredStream(part.volumes, shelf.open) as stored,
        decoded(stored, name=part.name, compression=encoding.compression, raw_bytes=part.raw_bytes, keys=keys) as whole,
    ):
        return b"".join(iter(lambda: whole.read(size), b""))


@given(st.binary(max_size=2000), encodings, st.integers(min_value=1, max_value=500))
def test_what_was_written_is_read_again(data: bytes, encoding: Encoding, size: int) -> None:
    shelf = Shelf()
    part = written(shelf, data, encoding)
    assert read(shelf, part, encoding, size) == data
    assert part.raw_bytes == len(data)


@given(st.binary(max_size=500), encodings)
def test_volumes_are_full_but_the_last_and_put_end_to_end_are_the_stream(data: bytes, encoding: Encoding) -> None:
    shelf = Shelf()
    part = written(shelf, data, encoding)
    sizes = [volume.bytes for volume in part.volumes]
    assert all(size == encoding.volume_size for size in sizes[:-1])
    assert 0 < sizes[-1] <= encoding.volume_size or (not data and sizes == [0])
    assert list(shelf) == [volume_name("dump.pgc", number, encoding) for number in range(len(sizes))]
    if encoding.recipients:  # which no two writings make alike
        return
    whole = Shelf()
    written(whole, data, replace(encoding, volume_size=1 << 20))
    assert b"".join(shelf.values()) == b"".join(whole.values())


@pytest.mark.parametrize(("size", "volumes"), [(0, [0]), (1, [1]), (9, [9]), (10, [10]), (11, [10, 1]), (30, [10] * 3)])
def test_an_exact_multiple_leaves_no_empty_volume_and_an_empty_stream_has_one(size: int, volumes: list[int]) -> None:
    shelf = Shelf()
    part = written(shelf, b"x" * size)
    assert [volume.bytes for volume in part.volumes] == volumes
    assert read(shelf, part) == b"x" * size


def test_names_sort_as_their_numbers_and_say_the_encoding() -> None:
    assert [volume_name("dump.pgc", number, ZSTD) for number in (0, 12)] == ["dump.pgc.zst.000", "dump.pgc.zst.012"]
    assert volume_name("dump.pgc", 0, BOTH) == "dump.pgc.zst.age.000"
    assert volume_name("dump.pgc", 999, NONE) == "dump.pgc.999"


def test_a_bit_that_flipped_is_found_in_every_volume() -> None:
    shelf = Shelf()
    part = written(shelf, bytes(range(35)))
    for name in list(shelf):
        broken = Shelf(shelf)
        broken[name] = bytes([shelf[name][0] ^ 1]) + shelf[name][1:]
        with pytest.raises(IntegrityFailed, match=f"{name} was changed after it was written"):
            read(broken, part)


@pytest.mark.parametrize("number", [0, 1, 3])
def test_a_volume_that_is_shorter_longer_or_missing_is_named(number: int) -> None:
    shelf = Shelf()
    part = written(shelf, bytes(range(35)))
    name = part.volumes[number].name
    for content, said in ((shelf[name][:-1], "has"), (shelf[name] + b"x", "is longer"), (None, "is missing")):
        broken = Shelf(shelf)
        if content is None:
            del broken[name]
        else:
            broken[name] = content
        with pytest.raises(IntegrityFailed, match=f"{name} {said}"):
            read(broken, part)


def test_volumes_in_the_wrong_order_are_found() -> None:
    shelf = Shelf()
    part = written(shelf, bytes(range(35)))
    first, second, *_ = list(shelf)
    shelf[first], shelf[second] = shelf[second], shelf[first]
    with pytest.raises(IntegrityFailed):
        read(shelf, part)


def test_a_part_without_its_last_volume_is_too_short() -> None:
    shelf = Shelf()
    part = written(shelf, bytes(range(35)))
    with pytest.raises(IntegrityFailed, match="decodes to 30 bytes, not 35"):
        read(shelf, replace(part, volumes=part.volumes[:-1]))


def test_a_store_that_counts_otherwise_is_not_believed() -> None:
    with pytest.raises(IntegrityFailed, match=r"has 9 bytes of dump\.pgc\.000, 10 were sent"):
        write_part("dump.pgc", Stream(10), put=lambda _, data: len(data.read(100)) - 1, encoding=NONE)


def test_a_source_that_breaks_ends_it_and_what_the_store_raises_comes_through() -> None:
    shelf = Shelf()
    with pytest.raises(DumpBroke):
        write_part("dump.pgc", Stream(15, failure=DumpBroke("gone")), put=shelf.put, encoding=NONE)
    assert list(shelf) == ["dump.pgc.000"]  # the one under way was never finished

    def full(_name: str, _data: ByteReader) -> int:
        raise StoreUnreachable("full")

    with pytest.raises(StoreUnreachable, match="full"):
        write_part("dump.pgc", Stream(15), put=full, encoding=NONE)


def test_progress_is_told_of_every_byte_before_and_after_compression() -> None:
    shelf = Shelf()
    seen: list[tuple[int, int]] = []
    write_part(
        "dump.pgc",
        Stream(100_000),
        put=shelf.put,
        encoding=replace(ZSTD, volume_size=30_000),
        progress=lambda raw, stored: seen.append((raw, stored)),
    )
    assert sum(raw for raw, _ in seen) == 100_000
    assert sum(stored for _, stored in seen) == sum(map(len, shelf.values()))


def test_a_store_is_let_go_of_when_a_reader_leaves_early() -> None:
    shelf = Shelf()
    part = written(shelf, bytes(range(35)))
    open_now: list[str] = []

    @contextmanager
    def watched(name: str) -> Iterator[ByteReader]:
        open_now.append(name)
        with shelf.open(name) as reader:
            yield reader
        open_now.remove(name)

    with StoredStream(part.volumes, watched) as stored:
        while len(stored.read(6)) and open_now != [part.volumes[1].name]:
            pass
        assert open_now == [part.volumes[1].name]
    assert open_now == []
