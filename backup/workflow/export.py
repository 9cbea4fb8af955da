"""Makes one JSON document of chosen rows, piece by piece, in flat memory.

Owns the form of the document. What tells that it is whole stands last: cut anywhere, it is no JSON at all.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import dataclass, field

from backup.ports import Rows
from backup.stream.readers import READ_SIZE, ByteReader


@dataclass(slots=True, kw_only=True)
class Exported:
    """What has been written so far: rows by table, and bytes."""

    stats: dict[str, int] = field(default_factory=dict)
    bytes: int = 0


def export(rows: Rows, done: Exported) -> Generator[bytes, None, None]:
    """The document, in pieces; `done` is kept up to date. Raises what the reading of a table raises."""
    for piece in _document(rows, done.stats):
        done.bytes += len(piece)
        yield piece


def _document(rows: Rows, stats: dict[str, int]) -> Generator[bytes, None, None]:
    yield b"{" + _pair("timestamp", rows.moment.isoformat().replace("+00:00", "Z")) + b",\n"
    yield _pair("left_out", rows.left_out) + b",\n"
    if rows.asked_for:
        yield _pair("asked_for", rows.asked_for) + b",\n"
    yield b'"data": {'
    for number, table in enumerate(rows.tables):
        yield (b"," if number else b"") + b"\n" + _json(table.name) + b": ["
        with table.open() as reader:
            stats[table.name] = yield from _list(reader)
        yield b"]"
    yield b"\n},\n" + _pair("stats", stats) + b',\n"success": true}\n'


def _list(reader: ByteReader) -> Generator[bytes, None, int]:
    """Lines with commas between them, instead of a line feed behind each; returns how many there are."""
    count = 0
    held = b"\n"
    while data := reader.read(READ_SIZE):
        count += data.count(b"\n")
        whole = data.endswith(b"\n")
        yield held + (data[:-1] if whole else data).replace(b"\n", b",\n")
        held = b",\n" if whole else b""
    if count:
        yield b"\n"
    return count


def _pair(name: str, value: object) -> bytes:
    return _json(name) + b": " + _json(value)


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogateescape")
