from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup.errors import DumpFailed
from backup.ports import RowsTable
from backup.stream.readers import ByteReader
from backup.workflow.export import Exported, export

VALUES = st.none() | st.booleans() | st.integers() | st.text() | st.decimals(allow_nan=False, allow_infinity=False)
TABLES = st.dictionaries(st.text(), st.lists(st.dictionaries(st.text(), VALUES, max_size=3), max_size=5), max_size=3)


@dataclass
class Pieces:
    """Reads in pieces of given sizes, and fails at the end where it should."""

    data: bytes
    sizes: Iterator[int]
    fails: bool

    def read(self, size: int, /) -> bytes:
        piece = min(next(self.sizes), size)
        found, self.data = self.data[:piece], self.data[piece:]
        if not found and self.fails:
            raise DumpFailed("the line broke")
        return found


@dataclass
class InMemory:
    """Rows as lines of JSON."""

    lines: dict[str, list[str]]
    sizes: Sequence[int] = (1 << 20,)
    fails: bool = False
    moment: datetime = datetime(2026, 11, 22, 8, 0, 0, 123456, tzinfo=UTC)
    left_out: dict[str, tuple[str, ...]] = field(default_factory=dict)
    asked_for: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def tables(self) -> list[RowsTable]:
        return [RowsTable(name=name, open=lambda name=name: self._open(name)) for name in self.lines]  # type: ignore[misc]

    @contextmanager
    def _open(self, name: str) -> Iterator[ByteReader]:
        def sizes() -> Iterator[int]:
            while True:
                yield from self.sizes

        yield Pieces("".join(f"{line}\n" for line in self.lines[name]).encode(), sizes(), self.fails)


def line(row: dict[str, object]) -> str:
    """A row as PostgreSQL writes it: numbers with all their digits."""
    pairs = (
        f"{json.dumps(name, ensure_ascii=False)}:"
        + (format(value, "f") if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=False))
        for name, value in row.items()
    )
    return "{" + ",".join(pairs) + "}"


def written(rows: InMemory) -> bytes:
    return b"".join(export(rows, Exported()))


@given(TABLES, st.lists(st.integers(1, 7), min_size=1))
def test_rows_come_through_whatever_pieces_they_are_read_in(
    tables: dict[str, list[dict[str, object]]], sizes: list[int]
) -> None:
    lines = {name: [line(row) for row in rows] for name, rows in tables.items()}
    document = json.loads(written(InMemory(lines, sizes)), parse_float=Decimal)
    assert document["data"] == tables
    assert document["stats"] == {name: len(rows) for name, rows in tables.items()}
    assert document["success"] is True


@given(st.data())
def test_a_document_that_was_cut_is_no_json(data: st.DataObject) -> None:
    whole = written(InMemory({"a": ['{"x":1}', '{"x":2}'], "b": []})).rstrip(b"\n")
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    with pytest.raises(ValueError, match=r"Expecting|Unterminated|Extra|Invalid"):
        json.loads(cut)


def test_a_table_that_fails_is_never_the_end_of_a_document() -> None:
    rows, pieces = InMemory({"a": ['{"x":1}']}, fails=True), []
    with pytest.raises(DumpFailed, match="the line broke"):
        pieces += list(export(rows, Exported()))
    assert pieces == []


def test_the_form_of_the_document() -> None:
    rows = InMemory({"a": ['{"x":1}', '{"x":2}'], "b.c": []}, left_out={"a": ("pin",)}, asked_for={"a": ("token",)})
    done = Exported()
    text = b"".join(export(rows, done))
    assert text.decode() == (
        '{"timestamp": "2026-11-22T08:00:00.123456Z",\n"left_out": {"a": ["pin"]},\n"asked_for": {"a": ["token"]},\n'
        '"data": {\n"a": [\n{"x":1},\n{"x":2}\n],\n"b.c": []\n},\n"stats": {"a": 2, "b.c": 0},\n"success": true}\n'
    )
    assert (done.stats, done.bytes) == ({"a": 2, "b.c": 0}, len(text))
