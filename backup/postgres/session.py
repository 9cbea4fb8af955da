"""What a session of ours in a user's database is set to before anything else is asked of it.

Whoever may create functions or operators in a schema of the search path could make some that fit our queries better
than PostgreSQL's own, and they would run with the rights of our role (CVE-2018-1058): so the path is pg_catalog alone.
Must not be used on PgBouncer's console, nor where a pooler shares sessions: what is set would stay with another's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from backup.postgres.connection import Connection

VALUES_AS_THEY_ARE = {
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "xmloption": "content",
    "array_nulls": "on",
    "lc_monetary": "C",
    "row_security": "off",
}
"""Settings under which values are written alike, whole, and as any server reads them again, whatever a role or database
is set to; with row_security off the server refuses to read a table of which it would hide rows."""

_TIMEOUTS = (
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "transaction_timeout",
)

_KEEPALIVES = {"tcp_keepalives_idle": "60", "tcp_keepalives_interval": "10", "tcp_keepalives_count": "6"}
"""Seconds, seconds, times: after two minutes the server ends the session of a machine that is gone."""


def trust_catalog_only(connection: Connection) -> None:
    """Find only PostgreSQL's own functions, operators, types and catalogues by unqualified names."""
    connection.execute("SELECT pg_catalog.set_config('search_path', 'pg_catalog', false)")


def lift_timeouts(connection: Connection) -> None:
    """Let the server not end this session for its age, whatever its roles and databases are set to."""
    connection.execute(
        "SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings WHERE name = ANY(%(names)s)",
        {"names": list(_TIMEOUTS)},
    )


def settle(connection: Connection) -> None:
    """Both, as everybody needs it who stays for a while; and times as they can be read, whatever is usual there."""
    trust_catalog_only(connection)
    lift_timeouts(connection)
    connection.execute("SELECT pg_catalog.set_config('datestyle', 'ISO', false)")


def keep_alive(connection: Connection) -> None:
    """Let the server notice soon that our machine is gone, and with it end what the session holds: its locks."""
    for name, value in _KEEPALIVES.items():
        connection.execute("SELECT pg_catalog.set_config(%(name)s, %(value)s, false)", {"name": name, "value": value})


def wait_for_locks(connection: Connection, seconds: int) -> None:
    """Let it fail rather than wait for longer than that for a table that others hold."""
    connection.execute("SELECT pg_catalog.set_config('lock_timeout', %(time)s, false)", {"time": f"{seconds}s"})


@contextmanager
def own_path(connection: Connection) -> Iterator[None]:
    """Let triggers and checks find what they name without a schema, as they do when the application writes.

    To be used in a transaction; our own statements name everything with its schema.
    """
    now, own = connection.execute(
        "SELECT pg_catalog.current_setting('search_path'), reset_val FROM pg_catalog.pg_settings"
        " WHERE name = 'search_path'"
    ).fetchall()[0]
    query = "SELECT pg_catalog.set_config('search_path', %(path)s, true)"
    connection.execute(query, {"path": own})
    yield
    connection.execute(query, {"path": now})
