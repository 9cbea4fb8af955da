"""One stream for several readers: each has all of it, in bounded memory, and a dead one stops nobody."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from backup.stream.readers import READ_SIZE, ByteReader
from backup.stream.tee import tee
from tests.support.streams import DumpBroke, Stream, digest, expected

SIZE = 20 * READ_SIZE + 77


def whole(reader: ByteReader) -> tuple[int, str]:
    return digest(reader)


def slow(reader: ByteReader) -> tuple[int, str]:
    time.sleep(0.3)
    return digest(reader, 100_003)


def dies_after(pieces: int) -> Callable[[ByteReader], tuple[int, str]]:
    def read(reader: ByteReader) -> tuple[int, str]:
        for _ in range(pieces):
            reader.read(READ_SIZE)
        raise DumpBroke(f"after {pieces}")

    return read


@pytest.mark.parametrize("size", [0, 1, READ_SIZE, SIZE])
def test_every_reader_has_all_of_it(size: int) -> None:
    assert tee(Stream(size), [whole, slow, whole]) == [expected(size)] * 3


@pytest.mark.parametrize("pieces", [0, 1, 9])
def test_one_that_dies_stops_nobody(pieces: int) -> None:
    first, second = tee(Stream(SIZE), [dies_after(pieces), whole], buffer=2 * READ_SIZE)
    assert isinstance(first, DumpBroke)
    assert second == expected(SIZE)


def test_where_all_die_the_stream_is_read_no_further() -> None:
    source = Counting(Stream(SIZE))
    outcomes = tee(source, [dies_after(1), dies_after(2)], buffer=READ_SIZE)
    assert [str(each) for each in outcomes] == ["after 1", "after 2"]
    assert source.bytes < SIZE / 2


def test_what_the_stream_raises_every_reader_hears_before_its_end() -> None:
    heard: list[str] = []

    def read(reader: ByteReader) -> None:
        try:
            digest(reader)
        except DumpBroke as error:
            heard.append(error.message)
            raise

    with pytest.raises(DumpBroke):
        tee(Stream(SIZE, failure=DumpBroke("cut")), [read, read])
    assert heard == ["cut", "cut"]


def test_a_slow_reader_sets_the_pace_and_memory_stays_bounded() -> None:
    source = Counting(Stream(SIZE))
    ahead: list[int] = []
    go_on = threading.Event()

    def stuck(reader: ByteReader) -> tuple[int, str]:
        go_on.wait(10)
        return digest(reader)

    def fast(reader: ByteReader) -> tuple[int, str]:
        try:
            size = sum(len(reader.read(READ_SIZE)) for _ in range(3))
            time.sleep(0.5)
            ahead.append(source.bytes)
            assert size > 0
        finally:
            go_on.set()
        return digest(reader)

    outcomes = tee(source, [stuck, fast], buffer=4 * READ_SIZE)
    assert outcomes[0] == expected(SIZE)
    assert ahead[0] <= 4 * READ_SIZE + 2 * READ_SIZE  # the buffer, and the pieces on either side of it


class Counting:
    """Counts what is read of it."""

    def __init__(self, source: ByteReader) -> None:
        self._source = source
        self.bytes = 0

    def read(self, size: int, /) -> bytes:
        piece = self._source.read(size)
        self.bytes += len(piece)
        return piece
