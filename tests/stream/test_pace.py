"""Streams that are held back, and where the time of a stream goes."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from backup.stream.pace import Pace, Paced
from backup.stream.readers import READ_SIZE, BytesReader, Hashed, drain
from backup.stream.stopwatch import Stopwatch, Timed
from backup.stream.volumes import Encoding, write_part

KIB = 1 << 10


class Slow:
    """A source, each of whose reads takes a while."""

    def __init__(self, pieces: int, seconds: float) -> None:
        self._pieces = pieces
        self._seconds = seconds

    def read(self, size: int, /) -> bytes:
        time.sleep(self._seconds)
        self._pieces -= 1
        return b"x" * min(size, KIB) if self._pieces >= 0 else b""


def put(_name: str, data: object) -> int:
    counted = Hashed(data)  # type: ignore[arg-type]
    while counted.read(READ_SIZE):
        time.sleep(0.02)
    return counted.bytes


def test_a_stream_takes_as_long_as_its_pace_says_and_loses_nothing() -> None:
    data = bytes(range(256)) * 4 * 200
    begun = time.monotonic()
    paced = Hashed(Paced(BytesReader(data), Pace(400 * KIB)))
    drain(paced)
    assert paced.bytes == len(data)
    assert 0.45 < time.monotonic() - begun < 5


def test_several_streams_share_one_pace() -> None:
    pace = Pace(400 * KIB)
    begun = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(drain, [Paced(BytesReader(bytes(50 * KIB)), pace) for _ in range(4)]))
    assert 0.45 < time.monotonic() - begun < 5


def test_nobody_sleeps_long_and_what_was_not_read_is_not_made_up_for() -> None:
    pace = Pace(800 * KIB)
    time.sleep(0.3)
    reader = Paced(BytesReader(bytes(READ_SIZE)), pace)
    begun = time.monotonic()
    sizes = [len(reader.read(READ_SIZE)) for _ in range(4)]
    assert sizes == [100 * KIB] * 4
    assert time.monotonic() - begun > 0.45


def test_time_goes_to_the_innermost_stage() -> None:
    watch = Stopwatch()
    with watch.stage("store"):
        time.sleep(0.05)
        drain(Timed(Slow(2, 0.05), watch, "server", first="start"))
    seconds = watch.seconds
    assert list(seconds) == ["store", "start", "server"]
    assert seconds["store"] < 0.1
    assert seconds["start"] < seconds["server"]


def test_a_part_knows_how_long_each_stage_took() -> None:
    encoding = Encoding(compression="zstd", level=1, threads=1, volume_size=1 << 30)
    begun = time.monotonic()
    part = write_part("it", Slow(10, 0.02), put=put, encoding=encoding, pace=Pace(40 * KIB))
    took = time.monotonic() - begun
    assert {"start", "server", "rate", "store"} <= part.seconds.keys()
    assert part.seconds["server"] > 0.15
    assert part.seconds["rate"] > 0.02
    assert abs(sum(part.seconds.values()) - took) < 0.2


def test_whoever_holds_a_stream_back_is_told_as_the_stage_it_is() -> None:
    encoding = Encoding(compression="none", level=0, threads=0, volume_size=1 << 30)
    part = write_part("it", BytesReader(bytes(3 * READ_SIZE)), put=put, encoding=encoding)
    assert max(part.seconds, key=lambda stage: part.seconds[stage]) == "store"
