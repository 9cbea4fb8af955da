"""Byte streams for tests: of any size, random looking, and some that fail."""

from __future__ import annotations

import hashlib
import random

from backup.errors import PgproofError
from backup.stream.readers import READ_SIZE, ByteReader

_BLOCK = random.Random(1).randbytes(READ_SIZE)  # noqa: S311 - the same in every run


def content(size: int) -> bytes:
    """`size` bytes that do not compress."""
    return (_BLOCK * (size // READ_SIZE + 1))[:size]


class Stream:
    """`size` bytes of `content`, in pieces of odd sizes; then `failure`, where one is given."""

    def __init__(self, size: int, *, failure: BaseException | None = None) -> None:
        self._left = size
        self._offset = 0
        self._failure = failure

    def read(self, size: int, /) -> bytes:
        if not self._left and self._failure:
            raise self._failure
        start = self._offset % READ_SIZE
        piece = _BLOCK[start : start + min(size, self._left, 300_007)]
        self._left -= len(piece)
        self._offset += len(piece)
        return piece


class DumpBroke(PgproofError):
    """What a stream raises in a test."""


def digest(source: ByteReader, read_size: int = READ_SIZE) -> tuple[int, str]:
    """The bytes that are left in `source`: how many, and their sha256."""
    found = hashlib.sha256()
    size = 0
    while piece := source.read(read_size):
        found.update(piece)
        size += len(piece)
    return size, found.hexdigest()


def expected(size: int) -> tuple[int, str]:
    """What `digest` says of `content(size)`."""
    return size, hashlib.sha256(content(size)).hexdigest()
