"""What pg_dump leaves out is what we think that it leaves out: each pattern is given to a real pg_dump."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from backup.domain.patterns import excluded
from backup.domain.proof import LEFT_OUT
from backup.postgres.connection import connect
from backup.postgres.facts import FactReader
from backup.postgres.session import settle
from backup.stream.child import Child
from backup.stream.readers import READ_SIZE
from tests.fixtures.postgres import Server
from tests.support.pgproof import address_of

_NAMES = (
    "orders", '"Orders"', "orders_2026", "orders$1", '"order"', '"a.b"', '"b"', '"we""ird"', '"x[]"', '"star*"', '"Ä"',
    '"ä"', '"[ab]c"', '"ac"', '"a c"', '"a|b"', '"tail\\"',
)  # fmt: skip
_SCHEMAS = ("public", "archive", '"Archive"', '"a"', '"a.b"', "archive_old")

TABLE_PATTERNS = [
    "orders", "ORDERS", '"Orders"', '"orders"', "orders*", "o*s", "order?", "orders_20??", "orders$1", '"orders$1"',
    "*",
    "archive.*", "archive.orders", "*.orders", "arch*.o*", '"Archive".orders', 'Archive."Orders"', '"a"."b"',
    '"a.b"', '"a.b".*', "*.b", 'a."b"', '*."a.b"', '"we""ird"', 'we"""ird"', '"x[]"', "x[]", '"star*"', "star*",
    "Ä", "ä",
    '"Ä"', '*."Ä"', "[ab]c", '"[ab]c"', "a|b", '"a|b"', "(orders|order)", "orders|order", "orders+", "o.*",
    "public.order", '"a c"', "a c", '"tail\\"', 'pub*."O"rders', '"orders', "nothing",
]  # fmt: skip
SCHEMA_PATTERNS = [
    "archive", "ARCHIVE", '"Archive"', "arch*", "archive?old", "archive_???", "a", '"a"', '"a.b"', "a*", "a|archive",
    '"a|archive"', "[ap]*", "*", "nothing",
]  # fmt: skip


class Crowded(NamedTuple):
    """A database with awkward names, and all tables that pg_dump dumps of it."""

    server: Server
    database: str
    everything: set[str]


@pytest.fixture(scope="module", params=["pg18", "system_server"])
def crowded(request: pytest.FixtureRequest) -> Iterator[Crowded]:
    """Archive comes before public on its search path."""
    server: Server = request.getfixturevalue(request.param)
    name = f"crowded_{secrets.token_hex(4)}"
    with server.connect() as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        connection.execute(f'ALTER DATABASE {name} SET search_path = "$user", archive, public, missing'.encode())
    with server.connect(name) as connection:
        for schema in _SCHEMAS:
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}".encode())
            for table in _NAMES:
                if (schema, table) != ("archive", '"order"'):
                    connection.execute(f"CREATE TABLE {schema}.{table} (id int)".encode())
    yield Crowded(server, name, dumped(server, name))
    with server.connect() as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def dumped(server: Server, database: str, option: str = "") -> set[str]:
    argv = [
        str(server.bin_dir / "pg_dump"),
        "--schema-only",
        f"--dbname={server.url(database)}",
        *([option] if option else []),
    ]
    text = b""
    with Child(argv, env={"LC_ALL": "C"}, stdout=True) as child:
        while data := child.read(READ_SIZE):
            text += data
        assert child.wait() == 0, child.stderr_tail
    return set(re.findall(r"^CREATE TABLE (.*) \($", text.decode(), re.MULTILINE))


def thought(crowded: Crowded, *, schemas: tuple[str, ...] = (), tables: tuple[str, ...] = ()) -> set[str]:
    with connect(address_of(crowded.server, crowded.database)) as connection:
        settle(connection)
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        return set(FactReader(connection, "full", seconds=10).leave_out(excluded(schemas, tables), LEFT_OUT))


@pytest.mark.parametrize("pattern", TABLE_PATTERNS)
def test_a_pattern_of_tables_means_what_it_means_to_pg_dump(crowded: Crowded, pattern: str) -> None:
    left = crowded.everything - dumped(crowded.server, crowded.database, f"--exclude-table={pattern}")
    assert thought(crowded, tables=(pattern,)) == left


@pytest.mark.parametrize("pattern", SCHEMA_PATTERNS)
def test_a_pattern_of_schemas_means_what_it_means_to_pg_dump(crowded: Crowded, pattern: str) -> None:
    left = crowded.everything - dumped(crowded.server, crowded.database, f"--exclude-schema={pattern}")
    assert thought(crowded, schemas=(pattern,)) == left


def test_several_patterns_leave_out_what_each_of_them_does(crowded: Crowded) -> None:
    left = thought(crowded, schemas=("public",), tables=("orders", '*."b"'))
    assert left == {
        *thought(crowded, schemas=("public",)),
        *thought(crowded, tables=("orders",)),
        *thought(crowded, tables=('*."b"',)),
    }


def test_without_patterns_nothing_is_left_out(crowded: Crowded) -> None:
    assert thought(crowded) == set()
    assert excluded((), ()) == ()
