"""Rows come back into tables that are there, in the caller's transaction."""

from __future__ import annotations

from psycopg import sql

from backup.postgres.connection import Connection
from backup.postgres.rows.lines import Filling, RowStream
from backup.postgres.session import VALUES_AS_THEY_ARE

__all__ = ["RowStream", "put_rows"]


def put_rows(connection: Connection, stream: RowStream) -> int:
    """Insert all of a stream into its table, in the caller's transaction; returns how many rows were inserted.

    Generated columns are left to the server, identities are taken as they come. Sequences stay where they are.

    Raises:
        RestoreFailed: rows do not fit; names them.
        psycopg.Error: what is no fault of rows.
        PgproofError: what the stream's reader raises.
    """
    read_as_written(connection)
    table = sql.Identifier(stream.relation.schema, stream.relation.name)
    _, written = Filling(connection=connection, stream=stream, into=table).run()
    return written


def read_as_written(connection: Connection) -> None:
    """Let the transaction read values as ours are written."""
    for name, value in VALUES_AS_THEY_ARE.items():
        connection.execute("SELECT pg_catalog.set_config(%(name)s, %(value)s, true)", {"name": name, "value": value})
