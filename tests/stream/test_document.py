"""Documents of rows: what is taken for whole, where rows are found, and what is refused."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backup.errors import IntegrityFailed, UsageError
from backup.stream.document import Document, RowGroup, read_document
from backup.stream.readers import READ_SIZE

Tables = dict[str, list[dict[str, Any]]]


def written(folder: Path, tables: Tables, *, indent: int | None = None, **changes: object) -> Path:
    stats = {name: len(rows) for name, rows in tables.items()}
    whole = {"success": True, "timestamp": "2026-11-22T08:00:00Z", "stats": stats, "data": tables, **changes}
    return put(folder, json.dumps(whole, indent=indent, ensure_ascii=False).encode())


def put(folder: Path, data: bytes) -> Path:
    file = folder / "some.json"
    file.write_bytes(data)
    return file


def lines(document: Document, group: RowGroup, size: int = 1 << 20) -> bytes:
    data = b""
    with document.open(group) as reader:
        while piece := reader.read(size):
            assert len(piece) <= size
            data += piece
    return data


def content(file: Path, size: int = 1 << 20) -> Tables:
    found: Tables = {}
    with read_document(file) as document:
        for table in document.tables:
            found[table.name] = []
            for group in table.groups:
                rows = [json.loads(line) for line in lines(document, group, size).splitlines()]
                assert len(rows) == group.rows
                assert all(set(row) == set(group.columns) for row in rows)
                assert group.first == len(found[table.name]) + 1
                found[table.name] += rows
            assert table.rows == len(found[table.name])
    return found


def refusal(folder: Path, data: str | bytes) -> str:
    file = put(folder, data.encode() if isinstance(data, str) else data)
    with pytest.raises(IntegrityFailed) as caught, read_document(file):
        pass
    assert caught.value.exit_code == 7
    return caught.value.message


_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_ROWS = st.lists(
    st.dictionaries(_TEXTS, st.none() | st.booleans() | st.integers() | _TEXTS | st.lists(_TEXTS)), max_size=4
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    tables=st.dictionaries(_TEXTS, _ROWS, max_size=3),
    indent=st.none() | st.integers(0, 3),
    size=st.integers(1, 50),
    order=st.permutations(["success", "stats", "data", "left_out"]),
)
def test_every_document_is_read_as_it_was_written(
    tmp_path: Path, tables: Tables, indent: int | None, size: int, order: list[str]
) -> None:
    parts = {
        "success": True,
        "stats": {name: len(rows) for name, rows in tables.items()},
        "data": tables,
        "left_out": {"a": [1.5]},
    }
    file = put(tmp_path, json.dumps({name: parts[name] for name in order}, indent=indent).encode())
    assert content(file, size) == tables


_WHOLE: Tables = {
    "users": [{"id": 1, "näme": 'é\n\\"\u4e2d'}, {"id": 2.50, "näme": None}, {"id": -1e5, "x": [True, {"a": {}}]}],
    "wallets": [],
    "audit.log": [{"id": 10**400}],
}


@pytest.mark.parametrize("indent", [None, 1])
def test_a_document_that_was_cut_anywhere_is_refused_with_the_place(tmp_path: Path, indent: int | None) -> None:
    data = written(tmp_path, _WHOLE, indent=indent).read_bytes()
    for size in range(len(data)):
        said = refusal(tmp_path, data[:size])
        assert f"ends at byte {size}" in said, said
    assert "in row 2 of users" in refusal(tmp_path, data[: data.index(b"2.5") + 1])


def test_every_damaged_byte_is_refused_or_harmless(tmp_path: Path) -> None:
    data = written(tmp_path, _WHOLE).read_bytes()
    for place in range(len(data)):
        file = put(tmp_path, data[:place] + b"\x00" + data[place + 1 :])
        with pytest.raises(IntegrityFailed), read_document(file):
            pass


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("[]", r"there is '\[' instead of {, at byte 0"),
        ('{"data": {}, "stats": {}, "success": false}', "it says itself that it was no success"),
        ('{"data": {}, "stats": {}, "success": "true"}', "it says itself that it was no success"),
        ('{"data": {}, "success": true}', "stats is missing in it"),
        ("{}", "data, stats, success are missing in it"),
        ('{"data": {}, "stats": {}, "success": true} {', "it has ended, but there is more, at byte 43"),
        ('{"data": {}, "data": {}}', "data stands twice"),
        ('{"data": {"t": [], "t": []}}', "t stands twice"),
        ('{"data": {"t": [{"a": 1}, [2]]}}', "a row is no object, at byte 26, in row 2 of t"),
        ('{"data": {"t": {"a": 1}}}', r"there is '{' instead of \[, at byte 15, in t"),
        ('{"data": {"t": [{"a": 1} {"a": 2}]}}', r"there is '{' instead of , or \], at byte 25, in row 1 of t"),
        ('{"data": {"t": [{"a": NaN}]}}', "NaN is no JSON"),
        ('{"data": {"t": [{"a": 1,}]}}', "at byte 24, in row 1 of t"),
        (
            '{"data": {"t": [{"a": 1}]}, "stats": {"t": 2}, "success": true}',
            "stats says 2 of the rows of t, and there is 1",
        ),
        (
            '{"data": {"t": [{"a": 1}]}, "stats": {}, "success": true}',
            "stats says nothing of the rows of t, and there is 1",
        ),
        ('{"data": {}, "stats": {"t": 0}, "success": true}', "stats says 0 of the rows of t, and there is nothing"),
        ('{"data": {"t": [{"a": "\x01"}]}}', "Invalid control character, at byte 23, in row 1 of t"),
        ('{"data": {"t": [{"a": 1, "b": 2, "a": 3}]}}', "a stands twice in a row, at byte [0-9]+, in row 1 of t"),
        ('{"data": {"t": [{"a": 1, "\\u0061": 3}]}}', "a stands twice in a row"),
        ('{"data": {"t": [{"é": 1, "\\u00e9": 3}]}}', "a name stands twice in a row"),
        ("hello", "there is 'h' instead of {, at byte 0"),
        ('{"data": {"t": [{"a": ' + "[" * 100_000 + "]" * 100_000 + "}]}}", "values are nested too deep"),
    ],
)
def test_what_is_no_document_is_refused_with_the_place(tmp_path: Path, data: str, said: str) -> None:
    assert re.search(said, refusal(tmp_path, data))


def test_what_is_no_utf8_is_refused(tmp_path: Path) -> None:
    data = written(tmp_path, {"t": [{"a": "é" * 3000}]}).read_bytes()
    broken = data.replace("é".encode() * 3000, "é".encode() * 2000 + "é".encode("latin-1"))
    place = data.index("é".encode()) + 4000
    assert f"it is not UTF-8, at byte {place}" in refusal(tmp_path, broken)
    begun = b'{"' + b"x" * (READ_SIZE - 3) + "é".encode()[:1]
    assert f"it is not UTF-8, at byte {READ_SIZE - 1}" in refusal(tmp_path, begun + b'": 1}')
    assert "it is not UTF-8" in refusal(tmp_path, data.decode().encode("utf-16"))


@pytest.mark.parametrize("place", ["x", "stats"])
def test_nesting_of_any_depth_is_taken_or_refused(tmp_path: Path, place: str) -> None:
    for depth in range(900, 1010):
        nested = "[" * depth + "]" * depth
        file = put(tmp_path, f'{{"{place}": {nested}, "data": {{}}, "stats": {{}}, "success": true}}'.encode())
        with suppress(IntegrityFailed), read_document(file):
            pass


def test_names_that_are_no_text_can_be_told(tmp_path: Path) -> None:
    data = b'{"data": {"t\\ud800": [{"a": 1, "\\ud800": 2}]}, "stats": {"t\\ud800": 1}, "success": true}'
    with read_document(put(tmp_path, data)) as document:
        (table,) = document.tables
    assert (table.name, table.groups[0].columns) == ("t\\ud800", ("a", "\\ud800"))


def test_a_byte_order_mark_and_line_ends_of_any_kind_are_taken(tmp_path: Path) -> None:
    data = written(tmp_path, _WHOLE, indent=2).read_bytes()
    for changed in (b"\xef\xbb\xbf" + data, data.replace(b"\n", b"\r\n"), data + b"\n\n  "):
        assert content(put(tmp_path, changed)) == _WHOLE


def test_no_number_and_no_text_changes_a_byte(tmp_path: Path) -> None:
    row = b'{"a": 1.10, "b": -0, "c": 1E+400, "d": 0.' + b"1" * 9000 + b', "e": "\\u00e9\\/", "f": {"z": 1, "z":  2}}'
    file = put(tmp_path, b'{"data": {"t": [' + row + b']}, "stats": {"t": 1}, "success": true}')
    with read_document(file) as document:
        assert lines(document, document.tables[0].groups[0]) == row + b"\n"


def test_rows_with_other_keys_are_a_group_of_their_own_whatever_the_order_of_keys(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"a": 1, "b": 2}, {"b": 1, "a": 2}, {"a": 1}, {}, {"a": 1, "b": 2}]
    with read_document(written(tmp_path, {"t": rows})) as document:
        groups = document.tables[0].groups
    assert [(each.columns, each.first, each.rows) for each in groups] == [
        (("a", "b"), 1, 2),
        (("a",), 3, 1),
        ((), 4, 1),
        (("a", "b"), 5, 1),
    ]


def test_a_row_larger_than_any_buffer_comes_whole(tmp_path: Path) -> None:
    tables: Tables = {"t": [{"a": "x" * 9_000_000}, {"a": "y"}]}
    assert content(written(tmp_path, tables)) == tables


def test_a_document_that_is_changed_between_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path, {"t": [{"a": 1}] * 3})
    with read_document(file) as document:
        file.write_bytes(file.read_bytes() + b" ")
        with pytest.raises(IntegrityFailed, match="changed meanwhile"), document.open(document.tables[0].groups[0]):
            pass


def test_what_cannot_be_read_twice_is_no_document(tmp_path: Path) -> None:
    for path, said in ((tmp_path / "none.json", "cannot be read"), (Path("/dev/null"), "is no file")):
        with pytest.raises(UsageError, match=said), read_document(path):
            pass
