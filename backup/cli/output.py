"""Results on stdout: JSON for programs, tables for people. Events and errors are not its business.

Owns how values look. Where stdout is no terminal, a table is plain text that is never cut or wrapped.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from io import StringIO
from pathlib import PurePath
from typing import Any, Literal

import click

from backup.domain.sizes import show_seconds
from backup.errors import ResultLost

_INDENT = 2


class OutputClosed(Exception):
    """Whoever read our stdout has gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows under headings. `right`: the columns of figures. Cells may be anything; sizes are text by now."""

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    right: AbstractSet[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """One thing: names and values, one a line. None is left out."""

    values: Mapping[str, object]


View = str | Table | Fields | Sequence[str | Table | Fields]
"""What a person is shown: text, a table, one thing, or several of these with an empty line between them."""


def jsonable(value: object) -> Any:  # noqa: ANN401 -- JSON has no type of its own
    """`value` of nothing but JSON's types: instants in UTC with Z, durations in seconds.

    Raises:
        TypeError: there is something in it that has no such form.
    """
    if isinstance(value, Enum):
        return jsonable(value.value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): jsonable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(each) for each in value]
    return _jsonable_thing(value)


def _jsonable_thing(value: object) -> Any:  # noqa: ANN401 -- as above
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, AbstractSet):
        return sorted(jsonable(each) for each in value)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: jsonable(getattr(value, field.name)) for field in fields(value)}
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def print_json(value: object) -> None:
    """Print one JSON object (or list)."""
    write(json.dumps(jsonable(value), indent=_INDENT, ensure_ascii=False) + "\n")


def show(view: object) -> None:
    """Print a view; a dataclass that is none is shown field by field."""
    write(rendered(view, terminal=sys.stdout.isatty()))


def rendered(view: object, *, terminal: bool) -> str:
    """A view as text that ends with a newline."""
    if isinstance(view, str):
        return view.rstrip("\n") + "\n"
    if isinstance(view, Table):
        return _on_terminal(view) if terminal else _plain(view)
    if isinstance(view, Fields):
        return _fields(view.values)
    if isinstance(view, Sequence):
        return "\n".join(rendered(each, terminal=terminal) for each in view)
    if is_dataclass(view) and not isinstance(view, type):
        return _fields({each.name.replace("_", " "): getattr(view, each.name) for each in fields(view)})
    return f"{cell(view)}\n"


def cell(value: object) -> str:
    """A value as people read it, on one line, without anything that steers a terminal."""
    match value:
        case None:
            text = ""
        case bool():
            text = "yes" if value else "no"
        case Enum():
            text = str(value.value)
        case datetime():
            text = value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        case timedelta():
            text = show_seconds(value.total_seconds())
        case Mapping():
            text = ", ".join(f"{key}={cell(each)}" for key, each in value.items())
        case list() | tuple():
            text = ", ".join(map(cell, value))
        case _:
            text = str(value)
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def write(text: str) -> None:
    """Print on stdout, at once.

    Raises:
        OutputClosed: nobody reads it any more.
        ResultLost: it cannot be written, as to a full disk.
    """
    with _told_when_lost():
        sys.stdout.write(text)
        sys.stdout.flush()


def write_bytes(data: bytes) -> None:
    """The same for what is bytes by itself, such as a document."""
    with _told_when_lost():
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


@contextmanager
def _told_when_lost() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        abandon_stdout()
        raise OutputClosed from None
    except OSError as error:
        abandon_stdout()
        raise ResultLost("the result cannot be printed, the work itself is done", detail=error.strerror) from error


def painted(text: str, colour: str) -> str:
    """`text` in a colour on a terminal, unless its owner wants none (no-color.org)."""
    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    return click.style(text, fg=colour) if coloured else text


def abandon_stdout() -> None:
    """Point stdout at nothing, so that Python does not stumble over it when it ends."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)


def _fields(values: Mapping[str, object]) -> str:
    shown = {name: cell(value) for name, value in values.items() if value is not None}
    width = max(map(len, shown), default=0)
    return "".join(f"{name:<{width}}  {text}".rstrip() + "\n" for name, text in shown.items())


def _plain(table: Table) -> str:
    lines = [list(table.columns), *([cell(each) for each in row] for row in table.rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = ""
    for line in lines:
        cells = [
            each.rjust(width) if name in table.right else each.ljust(width)
            for each, width, name in zip(line, widths, table.columns, strict=True)
        ]
        text += "  ".join(cells).rstrip() + "\n"
    return text


def _on_terminal(table: Table) -> str:
    from rich.console import Console  # noqa: PLC0415 -- heavy, and only a terminal needs it
    from rich.table import Table as RichTable  # noqa: PLC0415 -- the same
    from rich.text import Text  # noqa: PLC0415 -- the same

    drawn = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for number, name in enumerate(table.columns):
        # the first one names the row: it is copied, so it stays in one piece
        side: Literal["left", "right"] = "right" if name in table.right else "left"
        drawn.add_column(name, justify=side, overflow="fold", no_wrap=number == 0)
    for row in table.rows:
        drawn.add_row(*(Text(cell(each)) for each in row))
    buffer = StringIO()
    width = shutil.get_terminal_size().columns
    Console(file=buffer, force_terminal=True, width=width, highlight=False).print(drawn)
    return buffer.getvalue()
