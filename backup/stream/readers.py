"""The one shape of bytes on their way, and what can be put around it. Owns no file and no process."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Protocol

import zstandard

from backup.errors import DAMAGED, IntegrityFailed

READ_SIZE = 1 << 20
"""Bytes asked for at a time: large enough that the calls do not count."""

_JOB_SIZE = 1 << 20
"""Bytes that one thread compresses at a time. zstd's own choice, up to 8 MiB, takes thrice the memory at level 3 with
two threads and gains nothing: see bench/README.md."""


class ByteReader(Protocol):
    """Where bytes come from."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none only at the end. Raises a PgproofError where the bytes cannot be had whole."""


class Counted:
    """Counts what is read from `source`, and tells `on_read` after each piece."""

    def __init__(self, source: ByteReader, on_read: Callable[[int], None] | None = None) -> None:
        self._source = source
        self._on_read = on_read
        self.bytes = 0

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes."""
        data = self._source.read(size)
        self.bytes += len(data)
        if self._on_read:
            self._on_read(len(data))
        return data


class Hashed:
    """Counts and hashes (sha256) what is read from `source`."""

    def __init__(self, source: ByteReader) -> None:
        self._source = source
        self._hash = hashlib.sha256()
        self.bytes = 0

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes."""
        data = self._source.read(size)
        self._hash.update(data)
        self.bytes += len(data)
        return data

    @property
    def sha256(self) -> str:
        """Of all bytes read so far, in hex."""
        return self._hash.hexdigest()


class ExactSize:
    """Passes `source` on and refuses its end where it did not have exactly `size` bytes.

    A cut zstd frame ends as quietly as a whole one, so the decoded size has to be known beforehand.
    """

    def __init__(self, source: ByteReader, size: int, *, name: str) -> None:
        self._source = source
        self._left = size
        self._size = size
        self._name = name

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes.

        Raises:
            IntegrityFailed: there are fewer or more bytes than there should be.
        """
        data = self._source.read(size)
        self._left -= len(data)
        if self._left < 0 or (not data and self._left):
            found = "more" if self._left < 0 else str(self._size - self._left)
            raise IntegrityFailed(f"{self._name} decodes to {found} bytes, not {self._size}", hint=DAMAGED)
        return data


def compressed(source: ByteReader, *, level: int, threads: int) -> ByteReader:
    """`source` as one zstd frame with a content checksum, compressed by `threads` threads outside the GIL."""
    parameters = zstandard.ZstdCompressionParameters.from_level(
        level, threads=threads, job_size=_JOB_SIZE, write_checksum=True
    )
    compressor = zstandard.ZstdCompressor(compression_params=parameters)
    return compressor.stream_reader(source, read_size=READ_SIZE, closefd=False)  # type: ignore[arg-type]


class Decompressed:
    """The content of the zstd frames in `source`; a damaged frame is an IntegrityFailed."""

    def __init__(self, source: ByteReader, *, name: str) -> None:
        decompressor = zstandard.ZstdDecompressor(max_window_size=1 << 27)
        self._reader = decompressor.stream_reader(
            source,  # type: ignore[arg-type]
            read_size=READ_SIZE,
            read_across_frames=True,
            closefd=False,
        )
        self._name = name

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes."""
        try:
            return self._reader.read(size)
        except zstandard.ZstdError as error:
            raise IntegrityFailed(f"{self._name} cannot be decompressed", detail=str(error), hint=DAMAGED) from error


class BytesReader:
    """Reads what is in memory already."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes."""
        piece, self._data = self._data[:size], self._data[size:]
        return bytes(piece)


def drain(source: ByteReader) -> None:
    """Read `source` to its end, for what it does or refuses on the way."""
    while source.read(READ_SIZE):
        pass


def read_exactly(source: ByteReader, size: int) -> bytes:
    """`size` bytes, fewer only where `source` ends."""
    pieces = []
    while size > 0 and (data := source.read(size)):
        pieces.append(data)
        size -= len(data)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
