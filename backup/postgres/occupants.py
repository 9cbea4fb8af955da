"""Who is in a database, for whoever needs it empty: found, told to people, and ended.

Must not end a session that this role has no right to: whose those are is told, with what to grant.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass

import psycopg

from backup.domain.sql import quote_identifier
from backup.errors import AccessDenied, RestoreFailed
from backup.postgres.connection import Connection

Reach = Callable[[], AbstractContextManager[Connection]]
"""Connects to a database that stays as it is, of the same server."""

_PATIENCE = 2.0
"""Seconds in which sessions that are just ending may go, those of our own safety backup among them; a guess."""

_POLL = 0.05

_OTHERS = """
FROM pg_catalog.pg_stat_activity a JOIN pg_catalog.pg_roles r ON r.oid = a.usesysid
WHERE a.datid = %(oid)s AND a.leader_pid IS NULL AND a.pid <> ALL (%(ours)s)"""

_MAY_END = """(SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) OR NOT r.rolsuper
    AND (pg_has_role(r.oid, 'USAGE') OR pg_has_role('pg_signal_backend', 'USAGE'))"""

_SESSIONS = f"""
SELECT coalesce(nullif(a.application_name, ''), a.backend_type, 'a session'), r.rolname::text,
       CASE WHEN a.client_addr IS NOT NULL THEN host(a.client_addr) WHEN a.client_port = -1 THEN 'this machine'
            ELSE 'somewhere' END,
       coalesce({_MAY_END}, false), count(*)
{_OTHERS} GROUP BY 1, 2, 3, 4 ORDER BY 5 DESC, 1, 2, 3"""

_END = f"SELECT pg_terminate_backend(a.pid) {_OTHERS} AND ({_MAY_END})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sessions:
    """Alike ones: of one program, role and client."""

    program: str
    role: str
    client: str
    may_end: bool
    count: int

    def __str__(self) -> str:
        return f"{self.program}, {self.role} from {self.client}" + (f" ({self.count})" if self.count > 1 else "")


def sessions_in(connection: Connection, oid: int, ours: Sequence[int] = ()) -> tuple[Sessions, ...]:
    """The sessions in the database of this number but those of `ours`; alike ones together."""
    found = connection.execute(_SESSIONS.encode(), {"oid": oid, "ours": list(ours)})
    return tuple(
        Sessions(program=program, role=role, client=client, may_end=may_end, count=count)
        for program, role, client, may_end, count in found
    )


def lasting_sessions(connection: Connection, oid: int, ours: Sequence[int] = ()) -> tuple[Sessions, ...]:
    """The same, but those that are just ending are given a moment for it."""
    end = time.monotonic() + _PATIENCE
    while (found := sessions_in(connection, oid, ours)) and time.monotonic() < end:
        time.sleep(_POLL)
    return found


def in_the_way(database: str, sessions: Sequence[Sessions], *, hint: str) -> RestoreFailed:
    """What is raised where there must be none; says who they are."""
    count = sum(each.count for each in sessions)
    return RestoreFailed(
        f"{database} is in use by {count} session{'s' * (count != 1)}, so it cannot be replaced",
        detail="\n".join(map(str, sessions)) or None,
        hint=hint,
    )


def refuse_foreign(database: str, sessions: Sequence[Sessions], user: str) -> None:
    """Find sessions that `user` may not end.

    Raises:
        AccessDenied: there are some; the hint says what to grant.
    """
    foreign = [each for each in sessions if not each.may_end]
    if foreign:
        raise AccessDenied(
            f"{user} may not end all sessions in {database}",
            detail="\n".join(map(str, foreign)),
            hint=f"GRANT pg_signal_backend TO {quote_identifier(user)}; those of superusers only a superuser may end",
        )


def end_sessions(connection: Connection, oid: int) -> None:
    """Ask all sessions in a database to end that this role may end."""
    connection.execute(_END.encode(), {"oid": oid, "ours": []})


@contextmanager
def ending_sessions(reach: Reach, oid: int) -> Iterator[None]:
    """End the sessions in a database until the block has ended, those too that were just being made when it began."""
    enough = threading.Event()

    def end(connection: Connection) -> None:
        with suppress(psycopg.Error):  # the renames say what is wrong
            while not enough.wait(_POLL):
                end_sessions(connection, oid)

    with reach() as connection:
        thread = threading.Thread(target=end, args=(connection,), name="end sessions")
        thread.start()
        try:
            yield
        finally:
            enough.set()
            thread.join()
