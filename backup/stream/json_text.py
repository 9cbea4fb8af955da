"""JSON in a file, token by token, with as much of it in memory as the largest value takes.

Owns how a file that was cut is told from one that is wrong. Bytes are decoded as Latin-1, one character each, so that
places are offsets in the file and a value's text comes out byte for byte; that all of it is UTF-8 is seen to beside
that. Numbers are never converted: none loses a digit.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from backup.errors import IntegrityFailed
from backup.stream.readers import READ_SIZE

_LARGEST = 1 << 30
"""Bytes of a value at most; PostgreSQL takes no text that is larger."""

_BLANK = re.compile(r"[ \t\n\r]*")
_UNFINISHED = re.compile(r"[-+\w.\\]*\s*\Z")
"""What may be an unfinished token at the end, other than a string."""

_SAFE_DIGITS = 18


class _NotJson(ValueError):
    """A constant that Python would take for JSON."""


def _refuse_constant(name: str) -> NoReturn:
    raise _NotJson(f"{name} is no JSON")


class Ambiguous(dict[str, Any]):
    """An object in which a name stands twice: `twice`, the first such. Of its values this is the last."""

    def __init__(self, pairs: Sequence[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        names = [name for name, _ in pairs]
        self.twice = next(name for place, name in enumerate(names) if name in names[:place])


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else Ambiguous(pairs)


_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=_refuse_constant, object_pairs_hook=_object)


class JsonText:
    """The text of a file from an offset on.

    Args:
        path: how it is called.
        file: open; it is read on from the offset.
        offset: in bytes from its start.
        checked: look whether all of it is UTF-8.

    Attributes:
        where: what is read, for people: begins with a comma.
    """

    def __init__(self, path: Path, file: BinaryIO, offset: int = 0, *, checked: bool = False) -> None:
        file.seek(offset)
        self._path = path
        self._file = file
        self._base = offset
        self._text = ""
        self._at = 0
        self._ended = False
        self._utf8 = codecs.getincrementaldecoder("utf-8")() if checked else None
        self.where = ""

    @property
    def offset(self) -> int:
        """Where it is read, in bytes from the start of the file."""
        return self._base + self._at

    def next(self) -> str:
        """The next character that is no blank, which is not taken; empty at the end."""
        while True:
            found = _BLANK.match(self._text, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._fill():
                return ""

    def skip(self, wanted: str) -> str:
        """Take the next character, which must be one of `wanted`."""
        found = self.next()
        if not found:
            self.refuse_cut()
        if found not in wanted:
            self.refuse(f"there is {found!r} instead of {' or '.join(wanted)}")
        self._at += 1
        return found

    def skip_mark(self) -> None:
        """Take the mark that some editors put before UTF-8."""
        self._fill()
        if self._text.startswith("\xef\xbb\xbf"):
            self._at = 3

    def value(self) -> tuple[Any, str]:
        """Take the next value: decoded as far as that is of use, and its text."""
        if not self.next():
            self.refuse_cut()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                unfinished = error.msg.startswith("Unterminated") or _UNFINISHED.match(self._text, error.pos)
                if unfinished and self._fill():
                    continue
                if unfinished and self._ended:
                    self.refuse_cut()
                self.refuse(error.msg.removesuffix(" at"), error.pos)
            except _NotJson as error:
                self.refuse(str(error))
            except RecursionError:
                self.refuse("values are nested too deep")
            if end == len(self._text) and not isinstance(value, dict | list) and self._fill():
                continue  # a number may go on
            text = self._text[self._at : end]
            self._at = end
            return value, text

    def whole_value(self) -> Any:  # noqa: ANN401 -- JSON
        """Take the next value: as it is, as `loaded` says."""
        return self.loaded(self.value()[1])

    def loaded(self, text: str) -> Any:  # noqa: ANN401 -- JSON
        """A value that was taken, as it is; of its numbers only small whole ones are such.

        Half a surrogate pair in a name becomes an escape: no database has it in one.
        """
        try:
            value = json.loads(text.encode("latin-1"), parse_int=_figure, parse_float=str)
        except RecursionError:
            self.refuse("values are nested too deep")
        if isinstance(value, dict):
            return {_encodable(name): each for name, each in value.items()}
        return _encodable(value) if isinstance(value, str) else value

    def refuse(self, why: str, at: int | None = None) -> NoReturn:
        """Say that it is no document, and where."""
        offset = self._base + (self._at if at is None else at)
        raise IntegrityFailed(f"{self._path} is no whole document: {why}, at byte {offset}{self.where}")

    def refuse_cut(self) -> NoReturn:
        """Say that it ends too early."""
        size = self._base + len(self._text)
        raise IntegrityFailed(
            f"{self._path} was cut: it ends at byte {size}{self.where}", hint="make the export again, or copy it again"
        )

    def _fill(self) -> bool:
        """Read more, and let go of what has been taken; False where there is no more."""
        if self._ended:
            return False
        held = len(self._text) - self._at
        if held > _LARGEST:
            self.refuse(f"a value has more than {_LARGEST} bytes")
        data = self._file.read(max(READ_SIZE, held))
        if self._utf8:
            begun = len(self._utf8.getstate()[0])  # of a character that goes on
            try:
                self._utf8.decode(data, final=not data)
            except UnicodeDecodeError as error:
                if data:
                    self.refuse("it is not UTF-8", len(self._text) - begun + error.start)
                self._ended = True
                self.refuse_cut()
        self._ended = not data
        self._text = self._text[self._at :] + data.decode("latin-1")
        self._base += self._at
        self._at = 0
        return not self._ended


def _encodable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _figure(digits: str) -> int | str:
    return int(digits) if len(digits) <= _SAFE_DIGITS else digits
