"""Any value leaves as a line of JSON and comes back as what it was."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Json, Jsonb

from backup.domain.rows import RowsChoice
from backup.postgres.rows.catalogue import read_catalogue
from backup.postgres.rows.reading import read_rows
from backup.postgres.rows.returning import RowStream, put_rows
from tests.fixtures.postgres import Connection
from tests.rows.conftest import Shop
from tests.support.pgproof import ENVIRON, address_of, clients_of

TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20)
DOCUMENT = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
NUMBER = st.decimals(allow_nan=False, allow_infinity=True) | st.just(Decimal("NaN"))
VALUES = st.tuples(
    st.none() | TEXT,
    st.none() | NUMBER.filter(lambda each: not each.is_finite() or abs(each.adjusted()) < 1000),
    st.none() | st.floats(),
    st.none() | st.binary(max_size=20),
    st.none() | DOCUMENT,
    st.none() | DOCUMENT,
    st.none() | st.lists(st.none() | TEXT, max_size=4),
    st.none() | st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)),  # noqa: DTZ001
    st.none() | st.dates(date(1, 1, 1)),
    st.none() | st.timedeltas(timedelta(days=-(10**6)), timedelta(days=10**6)),
    st.none() | st.integers(-(2**63), 2**63 - 1),
)
COLUMNS = "t text, n numeric, f float8, b bytea, j json, jb jsonb, a text[], at timestamptz, d date, i interval, l int8"


@pytest.fixture
def pair(empty: Shop) -> Iterator[Connection]:
    """A connection to a database with a table, and another one like it."""
    with empty.connect() as connection:
        connection.execute(f"CREATE TABLE here (id serial, {COLUMNS}); CREATE TABLE there (LIKE here)".encode())
        yield connection


def inserted(values: tuple[Any, ...]) -> list[Any]:
    text, number, real, data, document, binary, *others = values
    as_json = None if document is None else Json(document)
    return [text, number, real, data, as_json, None if binary is None else Jsonb(binary), *others]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(VALUES, min_size=1, max_size=5))
def test_what_leaves_as_a_line_comes_back_as_it_was(empty: Shop, pair: Connection, rows: list[tuple[Any, ...]]) -> None:
    pair.execute("TRUNCATE here, there")
    for row in rows:
        marks = ", ".join(["%s"] * len(row))
        names = ", ".join(each.split()[0] for each in COLUMNS.split(", "))
        pair.execute(f"INSERT INTO here ({names}) VALUES ({marks})".encode(), inserted(row))
    pair.execute("INSERT INTO here (j, jb) VALUES ('null', 'null')")
    with read_rows(
        address_of(empty.server, empty.name),
        RowsChoice(only=("here",), secrets=()),
        clients=clients_of(empty.server),
        environ=ENVIRON,
        connect_timeout=10,
        lock_wait_timeout=10,
    ) as reading:
        (table,) = reading.chosen
        with pair.transaction():
            relations = read_catalogue(pair, ["public"]).relations
            stream = RowStream(
                relation=next(each for each in relations if each.name == "there"),
                columns=tuple(each.name for each in table.columns),
                as_text=frozenset(each.name for each in table.columns if not each.exact),
                open=lambda: reading.open_lines(table),
            )
            assert put_rows(pair, stream) == len(rows) + 1
    query = "SELECT x::text, j IS NULL, jb IS NULL FROM {} AS x ORDER BY id"
    here, there = (pair.execute(query.format(name).encode()).fetchall() for name in ("here", "there"))
    assert there == here
