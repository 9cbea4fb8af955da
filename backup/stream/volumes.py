"""A part as a row of objects: splits a stream into volumes, and puts them together again, checked.

Owns the names of volumes and what counts as an undamaged one. Knows stores only as functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Self

from backup.errors import DAMAGED, IntegrityFailed, ObjectMissing
from backup.stream.age import Keyring, encrypted
from backup.stream.pace import Pace, Paced
from backup.stream.readers import ByteReader, Counted, Decompressed, ExactSize, Hashed, compressed
from backup.stream.stopwatch import Stopwatch, Timed


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """How a stream is stored. `level` and `threads` are zstd's; at most `volume_size` bytes to an object.

    With `recipients`, public keys of age, their identities alone can read it.
    """

    compression: str
    level: int
    threads: int
    volume_size: int
    recipients: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenVolume:
    """An object as it was written: bytes and sha256 (hex) of what is stored."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenPart:
    """A stream as it was written; `raw_bytes` before compression; `seconds` by stage (see domain/stages.py)."""

    name: str
    volumes: tuple[WrittenVolume, ...]
    raw_bytes: int
    seconds: Mapping[str, float]


Put = Callable[[str, ByteReader], int]
"""Stores a stream under a name and returns how many bytes the store says it has."""

Open = Callable[[str], AbstractContextManager[ByteReader]]
"""Opens the object of a name."""

Progress = Callable[[int, int], None]
"""Told of bytes on their way: (raw, stored), each the bytes since the last call."""


def no_progress(_raw: int, _stored: int) -> None:
    """A Progress that nobody watches."""


class _Rest:
    """A stream whose end can be seen coming: `more()` reads one byte ahead."""

    def __init__(self, source: ByteReader) -> None:
        self._source = source
        self._ahead = b""

    def more(self) -> bool:
        if not self._ahead:
            self._ahead = self._source.read(1)
        return bool(self._ahead)

    def read(self, size: int) -> bytes:
        if not self._ahead:
            return self._source.read(size)
        ahead, self._ahead = self._ahead, b""
        return ahead + self._source.read(size - 1) if size > 1 else ahead


class _Limited:
    """The next `limit` bytes of `source`."""

    def __init__(self, source: ByteReader, limit: int) -> None:
        self._source = source
        self._left = limit

    def read(self, size: int, /) -> bytes:
        data = self._source.read(min(size, self._left)) if self._left else b""
        self._left -= len(data)
        return data


def volume_name(part: str, number: int, encoding: Encoding) -> str:
    """For example `dump.pgc.zst.age.000`: what was done to it, in order."""
    suffix = ".zst" * (encoding.compression == "zstd") + ".age" * bool(encoding.recipients)
    return f"{part}{suffix}.{number:03d}"


def write_part(
    name: str,
    source: ByteReader,
    *,
    put: Put,
    encoding: Encoding,
    progress: Progress = no_progress,
    pace: Pace | None = None,
) -> WrittenPart:
    """Carry `source` to its end into volumes, no faster than `pace`; an empty stream becomes one volume.

    Raises:
        PgproofError: whatever `source` or `put` raises; volumes finished before stay where they are.
        IntegrityFailed: the store says that it has another number of bytes than it was given.
    """
    watch = Stopwatch()
    timed: ByteReader = Timed(source, watch, "server", first="start")
    if pace:
        timed = Timed(Paced(timed, pace), watch, "rate")
    raw = Counted(timed, lambda size: progress(size, 0))
    encoded: ByteReader = raw
    if encoding.compression == "zstd":
        encoded = Timed(compressed(raw, level=encoding.level, threads=encoding.threads), watch, "compress")
    with ExitStack() as stack:
        if encoding.recipients:
            encoded = Timed(stack.enter_context(encrypted(encoded, encoding.recipients)), watch, "encrypt")
        stream = Counted(encoded, lambda size: progress(0, size))
        volumes = tuple(_write_volumes(name, stream, put=put, encoding=encoding, watch=watch))
    return WrittenPart(name=name, volumes=volumes, raw_bytes=raw.bytes, seconds=watch.seconds)


def _write_volumes(
    name: str, stream: ByteReader, *, put: Put, encoding: Encoding, watch: Stopwatch
) -> Iterator[WrittenVolume]:
    rest = _Rest(stream)
    number = 0
    while number == 0 or rest.more():
        volume = Hashed(_Limited(rest, encoding.volume_size))
        object_name = volume_name(name, number, encoding)
        with watch.stage("store"):
            stored = put(object_name, Timed(volume, watch, "hash"))
        if stored != volume.bytes:
            raise IntegrityFailed(f"the store has {stored} bytes of {object_name}, {volume.bytes} were sent")
        yield WrittenVolume(name=object_name, bytes=volume.bytes, sha256=volume.sha256)
        number += 1


class StoredStream:
    """The stored bytes of a part, volume after volume, each checked by size and sha256 before its end is told.

    A context manager; leave it to let go of the store.
    """

    def __init__(self, volumes: Sequence[WrittenVolume], open_object: Open) -> None:
        self._volumes: Iterator[WrittenVolume] = iter(volumes)
        self._open = open_object
        self._stack = ExitStack()
        self._current: tuple[WrittenVolume, Hashed] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes.

        Raises:
            IntegrityFailed: an object is missing, shorter or longer than it was, or has another hash.
            StoreUnreachable: the store does not answer.
        """
        while True:
            if self._current is None:
                volume = next(self._volumes, None)
                if volume is None:
                    return b""
                self._current = (volume, Hashed(self._open_volume(volume)))
            volume, reader = self._current
            data = reader.read(size)
            if reader.bytes > volume.bytes:
                raise IntegrityFailed(
                    f"{volume.name} is longer than the {volume.bytes} bytes that were written", hint=DAMAGED
                )
            if data:
                return data
            if reader.bytes < volume.bytes:
                raise IntegrityFailed(
                    f"{volume.name} has {reader.bytes} bytes, {volume.bytes} were written", hint=DAMAGED
                )
            if reader.sha256 != volume.sha256:
                raise IntegrityFailed(
                    f"{volume.name} was changed after it was written",
                    detail=f"sha256 {reader.sha256}, written as {volume.sha256}",
                    hint=DAMAGED,
                )
            self._current = None
            self._stack.close()

    def _open_volume(self, volume: WrittenVolume) -> ByteReader:
        try:
            return self._stack.enter_context(self._open(volume.name))
        except ObjectMissing as error:
            raise IntegrityFailed(f"{volume.name} is missing from the store", hint=DAMAGED) from error


@contextmanager
def decoded(
    stored: ByteReader, *, name: str, compression: str, raw_bytes: int, keys: Keyring | None = None
) -> Iterator[ByteReader]:
    """The stream as the engine made it; its end is refused unless it has exactly `raw_bytes`.

    Args:
        stored: the bytes of its volumes.
        name: of the part, for messages.
        compression: as it was written.
        raw_bytes: as the engine made them.
        keys: that it was encrypted for; None where it was not.
    """
    with ExitStack() as stack:
        opened = stack.enter_context(keys.decrypted(stored, name=name)) if keys else stored
        plain = Decompressed(opened, name=name) if compression == "zstd" else opened
        yield ExactSize(plain, raw_bytes, name=name)
