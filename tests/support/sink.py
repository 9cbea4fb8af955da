"""The kitchen sink: a database with every kind of object and value that must survive a round trip.

Owns which of the files in `tests/data` a server can take.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import psycopg

from tests.fixtures.postgres import Connection

_DATA = Path(__file__).parent.parent / "data"

ORDINARY = ("types", "objects")
"""What an ordinary owner of a database can make, on any server from 15 on."""

COMMON = ("types", "extensions", "objects", "superuser")
"""What a superuser can make on any server from 15 on that has the contrib modules, and restore into any other."""


def load_roles(connection: Connection) -> None:
    """Make the roles that the sink grants to and that own parts of it; restores need them beforehand."""
    _run(connection, "roles")


def load_sink(connection: Connection, files: Sequence[str] | None = None) -> tuple[str, ...]:
    """Fill an empty database, by default with everything that its server can take. Returns the files' names."""
    chosen = tuple(files) if files is not None else files_for(connection)
    load_roles(connection)
    for name in chosen:
        _run(connection, name)
    return chosen


def files_for(connection: Connection) -> tuple[str, ...]:
    """Everything that this server can take."""
    newer = ("only_18",) if connection.info.server_version >= 180000 else ()
    full = ("full_build",) if _is_full_build(connection) else ()
    return (*COMMON, "subscription", *full, *newer)


def _is_full_build(connection: Connection) -> bool:
    try:
        connection.execute("SELECT '<a/>'::xml")
    except psycopg.errors.FeatureNotSupported:
        return False
    found = connection.execute("SELECT count(*) > 0 FROM pg_catalog.pg_collation WHERE collprovider = 'i'").fetchone()
    return found == (True,)


def _run(connection: Connection, name: str) -> None:
    """Run a file as one transaction."""
    with connection.transaction():
        connection.execute((_DATA / f"{name}.sql").read_bytes())
