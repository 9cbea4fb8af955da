"""Whether something stands between us and the server, and whether it shares sessions: a dump needs one of its own.

Owns how poolers are recognised: by the process id that they make up, by PgBouncer's own words, and by two of our
connections meeting in one server process, which only a pooler that shares sessions can bring about.
"""

from __future__ import annotations

import re
import select
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass

from psycopg.pq import ExecStatus

from backup.domain.checks import Check
from backup.errors import AccessDenied, ConfigurationError, DatabaseUnreachable, PgproofError
from backup.postgres.address import Address
from backup.postgres.connection import Connection, connect

_POOLER_PORTS = (6432, 6543)
"""PgBouncer's default port, and the one where Supabase has its transaction pooler."""

_SUPABASE_PORT = 6543
_PATIENCE = 5.0
"""Seconds to wait for a second session; a guess: a free one is there at once, a taken one may never come."""

_ROUNDS = 4
_REFUSED_OPTIONS = re.compile(r"unsupported startup parameter")
_NEON = re.compile(r"^ep-[a-z0-9-]+\..*neon\.", re.IGNORECASE)
_ASK_PID = "SELECT pg_catalog.pg_backend_pid()"
_NAME = "direct line"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Between:
    """Where to look, and the patience for it."""

    address: Address
    connection: Connection
    connect_timeout: int


def check_line(address: Address, connection: Connection, *, connect_timeout: int) -> Check:
    """Whether `connection`, made to `address` and in no transaction, has a server session to itself.

    Up to three more connections are made, only where something makes them worth it.
    """
    port = connection.info.port
    made_up = is_between(connection)
    if not made_up and port not in _POOLER_PORTS:
        return Check(name=_NAME, verdict="ok", message="nothing stands in between")
    between = _Between(address=address, connection=connection, connect_timeout=connect_timeout)
    pgbouncer = _ask_pgbouncer(between)
    if not made_up and not pgbouncer:
        return _nothing_found(port)
    return _judge(between, pgbouncer or "a pooler or proxy")


def is_between(connection: Connection) -> bool:
    """Whether something stands in between that makes up process ids, as poolers do; asks nobody else."""
    return _pid(connection) != connection.pgconn.backend_pid


def refuse_sharing(address: Address, connection: Connection, *, connect_timeout: int, where: str = "") -> None:
    """Raise ConfigurationError where something stands in between that shares sessions; `where` says of what."""
    found = check_line(address, connection, connect_timeout=connect_timeout)
    if found.verdict == "fail":
        raise ConfigurationError(f"{where}{found.message}", hint=found.hint)


def refuses_options(error: PgproofError) -> bool:
    """Whether a connection was refused in PgBouncer's words for options of the session."""
    return bool(_REFUSED_OPTIONS.search(error.detail or ""))


def _judge(between: _Between, who: str) -> Check:
    """What is known to stand in between is harmless where it keeps our sessions, and useless where it does not."""
    try:
        shared = _is_shared(between)
    except (DatabaseUnreachable, AccessDenied) as error:
        return _fail(
            f"{who} stands in between and gives us no second session: {error.detail or error.message}",
            hint="give the server's own host and port, or raise the size of the pool: a backup takes two at once",
        )
    info = between.connection.info
    if shared:
        return _fail(
            f"{who} stands in between and shares sessions, but we need one of our own",
            hint="use port 5432 instead of 6543 (Supabase: the same host), or the server's own address"
            if info.port == _SUPABASE_PORT
            else "give the server's own host and port (as a rule 5432) instead of the pooler's",
        )
    if _NEON.match(info.host):
        return Check(name=_NAME, verdict="ok", message="Neon's proxy stands in between and keeps our session")
    return Check(
        name=_NAME,
        verdict="warn",
        message=f"{who} stands in between; it keeps our session, but may cut a long dump",
        hint="give the server's own host and port; its time limits (PgBouncer: idle_transaction_timeout,"
        " query_timeout) apply to the backup too",
    )


def _nothing_found(port: int) -> Check:
    if port != _SUPABASE_PORT:
        return Check(name=_NAME, verdict="ok", message="nothing stands in between")
    return Check(
        name=_NAME,
        verdict="warn",
        message=f"port {port} is as a rule a transaction pooler's, but none was found",
        hint="where this is Supabase, use port 5432",
    )


def _fail(message: str, *, hint: str) -> Check:
    return Check(name=_NAME, verdict="fail", message=message, hint=hint, error=ConfigurationError)


def _ask_pgbouncer(between: _Between) -> str | None:
    """PgBouncer with its version, if it says so itself; None where nothing does."""
    try:
        with _another(between, dbname="pgbouncer") as console:
            row = console.execute("SHOW VERSION").fetchone()
            if row and str(row[0]).startswith("PgBouncer"):
                return str(row[0])
    except (DatabaseUnreachable, AccessDenied):
        pass  # no such database, or not for us: the next question needs no right
    try:
        with _another(between, options="-c geqo=on"):
            return None
    except (DatabaseUnreachable, AccessDenied) as error:
        return "PgBouncer" if refuses_options(error) else None


def _is_shared(between: _Between) -> bool:
    """Whether two connections meet in one server process, or one wanders between several."""
    with _another(between) as second:
        ours: set[int] = set()
        others: set[int] = set()
        for _ in range(_ROUNDS):
            ours.add(_pid(between.connection))
            others.add(_pid_in_time(second))
            if ours & others or len(ours) > 1 or len(others) > 1:
                return True
    return False


def _another(between: _Between, **changes: str) -> AbstractContextManager[Connection]:
    address = between.address.with_keywords(**changes)
    return connect(address, connect_timeout=between.connect_timeout, patient=False)


def _pid(connection: Connection) -> int:
    row = connection.execute(_ASK_PID).fetchone()
    if row is None:
        raise LookupError(_ASK_PID)
    return int(row[0])


def _pid_in_time(connection: Connection) -> int:
    """`_pid`, but not for ever: a pooler whose pool is used up lets a query wait.

    Raises:
        DatabaseUnreachable: there was no answer in time, or a refusal.
    """
    line = connection.pgconn
    end = time.monotonic() + _PATIENCE
    line.send_query(_ASK_PID.encode())
    while line.is_busy():
        if not select.select([line.socket], [], [], max(end - time.monotonic(), 0))[0]:
            raise DatabaseUnreachable(f"no answer in {_PATIENCE:.0f} s")
        line.consume_input()
    result = line.get_result()
    if result is None or result.status != ExecStatus.TUPLES_OK:
        raise DatabaseUnreachable("the query was refused", detail=line.error_message.decode(errors="replace").strip())
    pid = result.get_value(0, 0)
    while line.get_result():  # the end of the answer
        pass
    return int(pid or b"0")
