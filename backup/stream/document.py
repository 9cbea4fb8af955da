"""A JSON document of rows, as an export writes it, read from a file in flat memory: looked through once, then by table.

Owns what makes a document whole, and where in it rows stand. Knows no database. The text of a row comes out as it is.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from backup.errors import UsageError
from backup.stream.json_text import Ambiguous, JsonText
from backup.stream.readers import ByteReader

_TWICE = "a document has each table and each of its parts once"


@dataclass(frozen=True, slots=True, kw_only=True)
class RowGroup:
    """Rows of a table one after another that have the same keys.

    Attributes:
        columns: the keys, as the first of them has them.
        first: its number in the table, from 1 on.
        rows: how many there are.
        offset: of the first one, in bytes from the start of the file.
    """

    columns: tuple[str, ...]
    first: int
    rows: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentTable:
    """A table of a document, as that calls it."""

    name: str
    groups: tuple[RowGroup, ...]

    @property
    def rows(self) -> int:
        """How many rows of it there are."""
        return sum(each.rows for each in self.groups)


class Document:
    """A whole one. `timestamp`: what it says of its moment; `tables`: in their order."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        self._file = file
        self._state = _state(file)
        scan = _Scan(path, file)
        scan.run()
        self.tables: Sequence[DocumentTable] = tuple(scan.tables)
        self.timestamp: object = scan.said.get("timestamp")

    @contextmanager
    def open(self, group: RowGroup) -> Iterator[ByteReader]:
        """The rows of a group, each on a line of its own that ends with a line feed. One at a time can be read.

        Its reader raises IntegrityFailed where the file has been changed meanwhile.
        """
        text = JsonText(self._path, self._file, group.offset)
        if _state(self._file) != self._state:
            text.refuse("the file has been changed meanwhile")
        yield _Lines(text, group)


@contextmanager
def read_document(path: Path) -> Iterator[Document]:
    """Look a document through as a whole, and keep it open.

    Raises:
        UsageError: there is no such file, or nothing that can be read twice.
        IntegrityFailed: it is cut, or no JSON, or no document of rows; or it says of itself that it is not whole.
    """
    try:
        with path.open("rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UsageError(f"{path} is no file", hint="it is read twice; save what comes from a pipe to a file")
            yield Document(path, file)
    except OSError as error:
        raise UsageError(f"{path} cannot be read", detail=error.strerror) from error


def _state(file: BinaryIO) -> tuple[int, int]:
    found = os.fstat(file.fileno())
    return found.st_size, found.st_mtime_ns


class _Scan:
    """Looks a document through, from its start to its end."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._text = JsonText(path, file, checked=True)
        self.tables: list[DocumentTable] = []
        self.said: dict[str, Any] = {}

    def run(self) -> None:
        """Find everything; raises IntegrityFailed."""
        text = self._text
        text.skip_mark()
        text.where = ", at its start"
        text.skip("{")
        for name in self._keys():
            if name in self.said:
                text.refuse(f"{name} stands twice; {_TWICE}")
            if name == "data":
                self.said[name] = True
                self._data()
            else:
                text.where = f", in {name}"
                self.said[name] = text.whole_value()
        text.where = ""
        if text.next():
            text.refuse("it has ended, but there is more")
        self._refuse_unsaid()

    def _keys(self) -> Iterator[str]:
        """The names of an object whose brace is taken, each before its value; the last brace is taken too."""
        text = self._text
        where = text.where
        if text.next() == "}":
            text.skip("}")
            return
        while True:
            text.where = where
            if text.next() not in ('"', ""):
                text.refuse("a name is missing")
            name = text.whole_value()
            text.skip(":")
            yield name
            text.where = where
            if text.skip(",}") == "}":
                return

    def _data(self) -> None:
        text = self._text
        text.where = ", in data"
        text.skip("{")
        known = set()
        for name in self._keys():
            if name in known:
                text.refuse(f"{name} stands twice; {_TWICE}")
            known.add(name)
            text.where = f", in {name}"
            text.skip("[")
            self.tables.append(DocumentTable(name=name, groups=tuple(self._groups(name))))

    def _groups(self, table: str) -> Iterator[RowGroup]:
        """The rows of a table whose bracket is taken, by their keys; the last bracket is taken too."""
        text = self._text
        columns: tuple[str, ...] = ()
        seen: tuple[str, ...] | None = None
        first = number = offset = 0
        if text.next() == "]":
            text.skip("]")
            return
        while True:
            number += 1
            text.where = f", in row {number} of {table}"
            found = text.next()
            if found not in ("{", ""):
                text.refuse("a row is no object")
            here = text.offset
            row, raw = text.value()
            if isinstance(row, Ambiguous):
                text.refuse(f"{row.twice} stands twice in a row")
            keys = tuple(row)
            if keys != seen:
                names = keys if all(map(str.isascii, keys)) else tuple(text.loaded(raw))
                if len(names) < len(keys):
                    text.refuse("a name stands twice in a row")
                if seen is None or set(names) != set(columns):
                    if seen is not None:
                        yield RowGroup(columns=columns, first=first, rows=number - first, offset=offset)
                    columns, first, offset = names, number, here
                seen = keys
            if text.skip(",]") == "]":
                yield RowGroup(columns=columns, first=first, rows=number - first + 1, offset=offset)
                return

    def _refuse_unsaid(self) -> None:
        """Refuse a document that does not say that it is whole, or says something else than it is."""
        missing = [name for name in ("data", "stats", "success") if name not in self.said]
        if missing:
            self._text.refuse(f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing in it")
        if self.said["success"] is not True:
            self._text.refuse("it says itself that it was no success")
        counts = {each.name: each.rows for each in self.tables}
        stats = self.said["stats"]
        stats = stats if isinstance(stats, Mapping) else {}
        for name in dict.fromkeys((*counts, *stats)):
            said, there = stats.get(name, "nothing"), counts.get(name, "nothing")
            if said != there or isinstance(said, bool):
                self._text.refuse(f"stats says {said} of the rows of {name}, and there is {there}")


class _Lines:
    """The rows of a group, each on a line."""

    def __init__(self, text: JsonText, group: RowGroup) -> None:
        self._text = text
        self._group = group
        self._given = 0
        self._held = memoryview(b"")

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes."""
        if not self._held:
            self._held = memoryview(self._next(size))
        piece, self._held = self._held[:size], self._held[size:]
        return bytes(piece)

    def _next(self, size: int) -> bytes:
        """Lines of `size` bytes or more, fewer only at the end."""
        pieces: list[bytes] = []
        length = 0
        group, text = self._group, self._text
        while length < size and self._given < group.rows:
            if self._given:
                text.skip(",")
            row, raw = text.value()
            if not isinstance(row, dict):
                text.refuse("the file has been changed meanwhile")
            self._given += 1
            # strings have no raw line ends: these stand between tokens, where a blank is as good
            pieces += (raw.encode("latin-1").replace(b"\n", b" ").replace(b"\r", b" "), b"\n")
            length += len(raw) + 1
        return b"".join(pieces)
