"""Readers: counted, hashed, compressed, and exact to the byte."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup.errors import IntegrityFailed
from backup.stream.readers import (
    ByteReader,
    BytesReader,
    Counted,
    Decompressed,
    ExactSize,
    Hashed,
    compressed,
    drain,
    read_exactly,
)
from tests.support.streams import DumpBroke, Stream, content

contents = st.binary(max_size=5000)
read_sizes = st.integers(min_value=1, max_value=2000)


def drained(reader: ByteReader, size: int = 1 << 16) -> bytes:
    return b"".join(iter(lambda: reader.read(size), b""))


@given(contents, read_sizes)
def test_what_is_counted_and_hashed_passes_unchanged(data: bytes, size: int) -> None:
    seen: list[int] = []
    hashed = Hashed(Counted(BytesReader(data), seen.append))
    assert drained(hashed, size) == data
    assert hashed.bytes == sum(seen) == len(data)
    assert hashed.sha256 == hashlib.sha256(data).hexdigest()


@given(contents, read_sizes, st.integers(min_value=0, max_value=2))
def test_what_is_compressed_is_decompressed_to_itself(data: bytes, size: int, threads: int) -> None:
    packed = drained(compressed(BytesReader(data), level=1, threads=threads), size)
    assert drained(Decompressed(BytesReader(packed), name="it"), size) == data


@given(contents, contents)
def test_frames_end_to_end_are_one_content(first: bytes, second: bytes) -> None:
    packed = b"".join(drained(compressed(BytesReader(part), level=1, threads=0)) for part in (first, second))
    assert drained(Decompressed(BytesReader(packed), name="it")) == first + second


def test_what_is_drained_is_read_to_its_end_and_may_refuse_it() -> None:
    counted = Counted(Stream(3_000_001))
    drain(counted)
    assert counted.bytes == 3_000_001
    assert counted.read(1) == b""
    with pytest.raises(IntegrityFailed):
        drain(ExactSize(BytesReader(b"abc"), 4, name="it"))


def test_megabytes_pass_compression_whole() -> None:
    packed = compressed(Stream(5_000_003), level=1, threads=2)
    assert drained(Decompressed(packed, name="it")) == content(5_000_003)


def test_a_source_that_breaks_breaks_the_compressed_stream_too() -> None:
    packed = compressed(Stream(100, failure=DumpBroke("gone")), level=1, threads=2)
    with pytest.raises(DumpBroke):
        drained(packed)


def test_one_flipped_bit_is_found_wherever_it_is() -> None:
    packed = drained(compressed(BytesReader(b"some rows " * 100), level=1, threads=0))
    for place in range(len(packed)):
        broken = bytearray(packed)
        broken[place] ^= 1
        checked = ExactSize(Decompressed(BytesReader(bytes(broken)), name="it"), 1000, name="it")
        try:
            found = drained(checked)
        except IntegrityFailed:
            continue
        assert found == b"some rows " * 100  # a bit that means nothing to the format


def test_a_cut_is_found_wherever_it_is() -> None:
    packed = drained(compressed(BytesReader(b"some rows " * 100), level=1, threads=0))
    for size in range(len(packed) - 4):  # the last four are the checksum, sha256 guards them
        checked = ExactSize(Decompressed(BytesReader(packed[:size]), name="it"), 1000, name="it")
        with pytest.raises(IntegrityFailed):
            drained(checked)


@given(contents, read_sizes)
def test_the_exact_size_passes(data: bytes, size: int) -> None:
    assert drained(ExactSize(BytesReader(data), len(data), name="it"), size) == data


@given(contents, st.integers(min_value=1, max_value=100), read_sizes)
def test_fewer_and_more_bytes_are_refused(data: bytes, off: int, size: int) -> None:
    with pytest.raises(IntegrityFailed, match=f"it decodes to {len(data)} bytes, not {len(data) + off}"):
        drained(ExactSize(BytesReader(data), len(data) + off, name="it"), size)
    with pytest.raises(IntegrityFailed, match="it decodes to more bytes"):
        drained(ExactSize(BytesReader(data + b"x" * off), len(data), name="it"), size)


@given(contents, st.integers(min_value=0, max_value=6000), st.integers(min_value=1, max_value=7))
def test_exactly_so_many_bytes_are_read_where_there_are_so_many(data: bytes, size: int, step: int) -> None:
    class Dripping:
        def __init__(self) -> None:
            self._source = BytesReader(data)

        def read(self, size: int, /) -> bytes:
            return self._source.read(min(size, step))

    assert read_exactly(Dripping(), size) == data[:size]
