from __future__ import annotations

import io
import json
import re
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from pathlib import Path

import pytest

from backup.cli.output import Fields, Table, cell, jsonable, print_json, rendered
from backup.cli.progress import progress

MOMENT = datetime(2026, 11, 22, 10, 0, 0, 500, tzinfo=timezone(timedelta(hours=2)))


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True, kw_only=True)
class Thing:
    name: str
    made: datetime
    took: timedelta
    parts: tuple[Path, ...] = ()
    colour: Colour = Colour.RED
    none: None = None


THING = Thing(name="ü", made=MOMENT, took=timedelta(minutes=1.5), parts=(Path("/a"),))


def test_json_is_of_json_types(capsys: pytest.CaptureFixture[str]) -> None:
    print_json(THING)
    assert json.loads(capsys.readouterr().out) == {
        "name": "ü",
        "made": "2026-11-22T08:00:00.000500Z",
        "took": 90.0,
        "parts": ["/a"],
        "colour": "red",
        "none": None,
    }
    assert jsonable({1: {"b", "a"}}) == {"1": ["a", "b"]}
    with pytest.raises(TypeError, match="object has no form"):
        jsonable(object())


def test_a_table_is_plain_and_whole_where_nobody_looks() -> None:
    table = Table(
        columns=("id", "size", "note"), rows=[("a", "12 MiB", "x" * 200), ("bcd", "1 GiB", None)], right={"size"}
    )
    assert rendered(table, terminal=False) == (f"id     size  note\na    12 MiB  {'x' * 200}\nbcd   1 GiB\n")
    assert rendered(Table(columns=("id",), rows=[]), terminal=False) == "id\n"


def test_a_table_on_a_terminal_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    table = Table(columns=("id", "note"), rows=[("a[b]", "y" * 60)])
    text = re.sub(r"\x1b\[[0-9;]*m", "", rendered(table, terminal=True))
    assert text.count("y") == 60
    assert "a[b]" in text
    assert all(len(line) <= 40 for line in text.splitlines())


def test_one_thing_is_shown_field_by_field() -> None:
    assert rendered(THING, terminal=False) == (
        "name    ü\nmade    2026-11-22 08:00:00Z\ntook    1 min 30 s\nparts   /a\ncolour  red\n"
    )
    several = rendered(["head", Fields(values={"a": True, "b": None})], terminal=False)
    assert several == "head\n\na  yes\n"
    assert rendered(3, terminal=False) == "3\n"


def test_a_cell_cannot_steer_the_terminal() -> None:
    assert cell("a\x1b[31m\nb\u202e") == "a\\x1b[31m\\nb\\u202e"
    assert cell({"a": [1, None]}) == "a=1, "


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class TestProgress:
    def test_elsewhere_it_is_an_event_now_and_then(self, capsys: pytest.CaptureFixture[str]) -> None:
        with progress("backup", total=400, every=0) as tell:
            tell(100, 0)
            tell(0, 50)
            tell(900, 0)
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 3
        assert 'backup under way read="100 B" stored="0 B"' in lines[0]
        assert lines[1].endswith('done="25 %"')
        assert lines[2].endswith('done="99 %"')

    def test_it_is_quiet_for_the_first_seconds(self, capsys: pytest.CaptureFixture[str]) -> None:
        with progress("backup") as tell:
            tell(100, 0)
        assert capsys.readouterr().err == ""

    def test_what_is_read_from_a_store_counts_as_stored(self, capsys: pytest.CaptureFixture[str]) -> None:
        with progress("verify", total=200, counts="stored", every=0) as tell:
            tell(0, 100)
        line = capsys.readouterr().err
        assert 'stored="100 B"' in line
        assert 'done="50 %"' in line
        assert "read=" not in line

    def test_on_a_terminal_it_is_a_bar_from_any_thread(self, monkeypatch: pytest.MonkeyPatch) -> None:
        screen = Terminal()
        monkeypatch.setattr("sys.stderr", screen)
        monkeypatch.setenv("TERM", "xterm")
        with progress("backup", total=1 << 20) as tell:
            threads = [threading.Thread(target=tell, args=(1 << 20, 0)) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert "backup" in screen.getvalue()
        assert "2.1 MB" in screen.getvalue() or "2.0 MiB" in screen.getvalue()


def test_instants_are_told_in_utc() -> None:
    assert jsonable(datetime(2026, 11, 22, 8, tzinfo=UTC)) == "2026-11-22T08:00:00Z"
