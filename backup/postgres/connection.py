"""Our own connections to PostgreSQL, and the one place that translates psycopg's errors.

Owns what may be retried when connecting. Must not know what the connections are for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import stamina
from psycopg import errors as sql
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.rows import TupleRow
from stamina.instrumentation import set_on_retry_hooks

from backup.errors import (
    AccessDenied,
    ConfigurationError,
    DatabaseMissing,
    DatabaseUnreachable,
    EncryptionMissing,
    PgproofError,
)
from backup.logs import tell_retry
from backup.postgres.address import Address

Connection = psycopg.Connection[TupleRow]

_ATTEMPTS = 3
_PATIENCE = 15.0
"""Seconds over which connecting is tried again: a server that restarts is back by then; longer is the Job's part."""

_REFUSALS = (
    "password authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "pg_hba.conf rejects",
    "permission denied for database",
    "is not permitted to log in",
    "authentication failed",
    "SASL",
    "role .* does not exist",
    "no such user",
    "certificate required",
)

_MISTAKES = re.compile(
    r"definition of service .* not found|service file .* not found|in service file|invalid port number"
    r"|invalid integer value|invalid \S+ value: |could not parse network address|could not match \d+ "
    r"|weak sslmode|invalid SSL protocol version range"
)
"""Of libpq's words on an address or a PG* variable that no server ever saw."""

_CLOSED = re.compile(r"is not currently accepting connections|cannot connect to invalid database")

_UNENCRYPTED = re.compile(
    r"does not support SSL|certificate|SSL error: (?!unexpected eof)|does not match host name|negotiated|sslmode"
)
"""Of libpq's words; not `SSL SYSCALL error`, by which it says that the line broke."""


@contextmanager
def connect(address: Address, *, connect_timeout: int = 10, patient: bool = True) -> Iterator[Connection]:
    """A connection in autocommit mode, closed in the end; nothing of it is prepared, so that poolers can be asked.

    Args:
        address: where.
        connect_timeout: seconds for one attempt at one host.
        patient: try again where the server does not answer.

    Raises:
        DatabaseUnreachable, DatabaseMissing, AccessDenied: it could not be made.
        ConfigurationError: libpq cannot make sense of the address.
        PgproofError: what the block's own psycopg errors mean, by `translate`.
    """
    connection = _open(address, connect_timeout, _ATTEMPTS if patient else 1)
    try:
        _accept_any_bytes(connection)
        yield connection
    except psycopg.Error as error:
        raise translate(error, address) from error
    finally:
        connection.close()


def _accept_any_bytes(connection: Connection) -> None:
    """Let names of a database that does not know its encoding through, whatever bytes they are made of."""
    if connection.info.parameter_status("server_encoding") == "SQL_ASCII":
        connection.execute("SET client_encoding = 'SQL_ASCII'")
        for name in ("text", "name"):
            connection.adapters.register_loader(name, _AnyBytes)


class _AnyBytes(Loader):
    """Text in UTF-8, as far as it is; what is not becomes escapes, to be shown at least."""

    def load(self, data: Buffer) -> str:
        return bytes(data).decode("utf-8", "backslashreplace")


def _open(address: Address, connect_timeout: int, attempts: int) -> Connection:
    set_on_retry_hooks([tell_retry])
    for attempt in stamina.retry_context(
        on=lambda error: isinstance(error, DatabaseUnreachable) and error.retryable,
        attempts=attempts,
        timeout=_PATIENCE,
    ):
        with attempt:
            try:
                return psycopg.connect(
                    address.conninfo(
                        connect_timeout=str(connect_timeout), application_name="pgproof", client_encoding="UTF8"
                    ),
                    autocommit=True,
                    prepare_threshold=None,
                )
            except psycopg.Error as error:
                raise _refused(error, address) from error
    raise AssertionError("stamina either returns or raises")


def _refused(error: psycopg.Error, address: Address) -> PgproofError:
    """Why a connection was not made. libpq does not hand out the code that the server gave, only its words."""
    said = _said(error)
    if isinstance(error, psycopg.ProgrammingError) or _MISTAKES.search(said):
        return ConfigurationError(
            f"libpq cannot use the address {address}",
            detail=said,
            hint="correct the address, or the PG* variable or service file that completes it",
        )
    if _CLOSED.search(said):
        return AccessDenied(
            f"this database takes no connections: {address}",
            detail=said,
            hint="name another database in the address; template0, for one, is closed to all",
        )
    if re.search(r"database .* does not exist", said):
        return DatabaseMissing(f"no such database: {address}", detail=said, hint="check the name in the address")
    if re.search("|".join(_REFUSALS), said):
        return AccessDenied(
            f"the server refuses us at {address}", detail=said, hint="check user, password and pg_hba.conf"
        )
    if _UNENCRYPTED.search(said):
        return EncryptionMissing(
            f"no encrypted line to {address}", detail=said, hint="check sslmode and sslrootcert against the server"
        )
    return DatabaseUnreachable(
        f"the server does not answer at {address}", detail=said, hint="check host, port, and that it is running"
    )


def translate(error: psycopg.Error, address: Address) -> PgproofError:
    """What an error on a connection that stood means for the user."""
    said = _said(error)
    if "conflict with recovery" in said:
        return DatabaseUnreachable(
            f"the standby at {address} ended our session, it was in the way of a change of the primary",
            detail=said,
            hint="set hot_standby_feedback = on there, or raise max_standby_streaming_delay, or back up the primary",
        )
    if isinstance(error, sql.InsufficientPrivilege):
        return AccessDenied(f"not allowed at {address}", detail=said)
    if is_lost(error):
        return DatabaseUnreachable(f"the line to {address} broke", detail=said)
    return DatabaseUnreachable(f"the server at {address} could not answer", detail=said)


def is_lost(error: psycopg.Error) -> bool:
    """Whether it means that the connection is no more: the line broke, or the server ended the session."""
    return error.sqlstate is None or isinstance(error, sql.AdminShutdown | sql.CrashShutdown | sql.CannotConnectNow)


def _said(error: psycopg.Error) -> str:
    """The server's or libpq's words, one line each, without the parts that repeat the address."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return "\n".join(lines[:6])
