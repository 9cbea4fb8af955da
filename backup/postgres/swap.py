"""A restored database takes the name of one that is there, which is kept under another.

Owns what stands in the way of that, found before anything is restored, and the moment of the swap: both names change in
one transaction of the server's, while nobody can connect to either. The server gives that back by itself, whatever
becomes of us: connections are kept out by its own lock, and by nothing that would have to be undone.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import psycopg
from psycopg.conninfo import make_conninfo

from backup.domain.sql import quote_identifier
from backup.errors import AccessDenied, DatabaseMissing, PgproofError, RestoreFailed
from backup.logs import log
from backup.postgres.address import Address
from backup.postgres.connection import Connection, is_lost
from backup.postgres.destination import Destination
from backup.postgres.occupants import (
    Reach,
    end_sessions,
    ending_sessions,
    in_the_way,
    lasting_sessions,
    refuse_foreign,
    sessions_in,
)
from backup.postgres.properties import give_properties, read_properties, try_properties
from backup.postgres.session import keep_alive
from backup.postgres.snapshot import one_row
from backup.signals import undisturbed

_TRIES = 3
_MEMBERS_DIFFER_SINCE = 16
_LOCK_TIMEOUT = "10s"
"""For the lock that keeps connections out; a guess: only a CREATE DATABASE from this one as a template holds it up."""

_LIVE = """
SELECT oid, pg_get_userbyid(datdba)::text, pg_has_role(datdba, 'USAGE')
FROM pg_catalog.pg_database WHERE datname = %(name)s"""

_OID = "SELECT oid FROM pg_catalog.pg_database WHERE datname = %(name)s"
_NAME = "SELECT datname::text FROM pg_catalog.pg_database WHERE oid = %(oid)s"
_END_OURS = """
SELECT pg_terminate_backend(pid, 15000) FROM pg_catalog.pg_stat_activity
WHERE pid = %(pid)s AND application_name = 'pgproof'"""

_OBSTACLES = """
SELECT 'subscription ' || subname FROM pg_catalog.pg_subscription WHERE subdbid = %(oid)s
UNION ALL SELECT 'replication slot ' || slot_name FROM pg_catalog.pg_replication_slots WHERE datoid = %(oid)s
UNION ALL SELECT 'prepared transaction ' || quote_literal(gid) FROM pg_catalog.pg_prepared_xacts p
    JOIN pg_catalog.pg_database d ON d.datname = p.database WHERE d.oid = %(oid)s
ORDER BY 1"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """Names that change places.

    Attributes:
        restored: the name that the restored database has so far.
        database: the one that it gets.
        kept: the one that the database has afterwards which had that.
        disconnect: sessions of others there are ended.
    """

    restored: str
    database: str
    kept: str
    disconnect: bool

    @property
    def statements(self) -> str:
        """That do it, in one transaction where they are sent together."""
        return _renames((self.database, self.kept), (self.restored, self.database))

    @property
    def back(self) -> str:
        """That undo it."""
        return _renames((self.database, self.restored), (self.kept, self.database))


def refuse_swap(
    connection: Connection, database: str, destination: Destination, *, disconnect: bool, ours: Sequence[int]
) -> None:
    """Find what would keep `database` from being replaced, and change nothing.

    Args:
        connection: to another database of the server.
        database: that is to be replaced.
        destination: the server.
        disconnect: sessions of others there will be ended.
        ours: process ids of sessions that will be gone by then.

    Raises:
        DatabaseMissing: there is none.
        AccessDenied: this role may not; the hint says what to grant.
        RestoreFailed: something or somebody is in the way, who is named.
    """
    row = connection.execute(_LIVE, {"name": database}).fetchone()
    if row is None:
        raise DatabaseMissing(
            f"there is no database {database} to replace",
            hint=f"restore it as a new one: --into {shlex.quote(database)}",
        )
    oid, owner, owns = row
    if not owns or (owner != destination.user and owner not in destination.settable):
        raise AccessDenied(
            f"{database} belongs to {owner}, and {destination.user} may not rename it or give another one to {owner}",
            hint=_membership(owner, destination),
        )
    obstacles = [text for (text,) in connection.execute(_OBSTACLES, {"oid": oid})]
    if obstacles:
        raise RestoreFailed(
            f"{database} cannot be replaced, for it has what would stay with the old one: {', '.join(obstacles)}",
            hint="drop or finish these first, or restore into a new database (without --replace)",
        )
    try_properties(connection, database)
    if disconnect:
        refuse_foreign(database, sessions_in(connection, oid, ours), destination.user)
    elif sessions := lasting_sessions(connection, oid, ours):
        raise in_the_way(database, sessions, hint="--disconnect ends them when the restored database is ready")


def exchange(connection: Connection, wanted: Exchange, reach: Reach, *, by_hand: str) -> None:
    """Give the restored database what the other one has beside its contents, then the name. Told in the log.

    A signal waits meanwhile.

    Args:
        connection: to another database of the server.
        wanted: the names.
        reach: makes more such connections.
        by_hand: the line that does it later, for the hint.

    Raises:
        AccessDenied, RestoreFailed: it was not done; both databases are there under the names that they had.
        psycopg.Error: the line broke before it was begun.
    """
    keep_alive(connection)
    connection.execute(f"SET lock_timeout = '{_LOCK_TIMEOUT}'".encode())
    old, new = (one_row(connection, _OID, {"name": name})[0] for name in (wanted.database, wanted.restored))
    give_properties(connection, wanted.restored, read_properties(connection, wanted.database))
    later = f"{wanted.restored} is restored and stays. To swap by hand, when nobody is in {wanted.database}:\n{by_hand}"
    with undisturbed():
        sessions = (sessions_in if wanted.disconnect else lasting_sessions)(connection, old)
        if sessions and not wanted.disconnect:
            raise in_the_way(wanted.database, sessions, hint=later)
        refuse_foreign(wanted.database, sessions, connection.info.user)
        if sessions:
            log.info("ending sessions", database=wanted.database, sessions="; ".join(map(str, sessions)))
        (pid,) = one_row(connection, "SELECT pg_backend_pid()")
        try:
            _rename_both(connection, wanted, old, new, reach)
        except psycopg.Error as error:
            if is_lost(error):
                _look_what_became(pid, wanted, new, reach, error)
            elif isinstance(error, psycopg.errors.ObjectInUse):
                raise in_the_way(wanted.database, sessions_in(connection, old), hint=later) from error
            else:
                raise RestoreFailed(
                    f"the name of {wanted.database} could not be given to what was restored",
                    detail=str(error).strip(),
                    hint=later,
                ) from error
        log.info("swapped", database=wanted.database, kept=wanted.kept, back=wanted.back)


def by_psql(statements: str, address: Address, connection: Connection) -> str:
    """A line for a shell that has a server carry out statements, in one transaction; without any password."""
    told = {key: value for key, value in address.keywords.items() if key not in {"password", "hostaddr", "options"}}
    info = connection.info
    told |= {"host": info.host, "port": str(info.port), "user": info.user, "dbname": info.dbname}
    return f"psql {shlex.quote(make_conninfo('', **told))} --command {shlex.quote(statements)}"


def ending(database: str) -> str:
    """The statement that ends the sessions in a database."""
    name = "'" + database.replace("'", "''") + "'"
    return f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {name};"  # noqa: S608 -- quoted


def _renames(*pairs: tuple[str, str]) -> str:
    return " ".join(f"ALTER DATABASE {quote_identifier(old)} RENAME TO {quote_identifier(new)};" for old, new in pairs)


def _rename_both(connection: Connection, wanted: Exchange, old: int, new: int, reach: Reach) -> None:
    """Both renames as one message, which the server carries out as one transaction though we be gone.

    The first takes a lock that keeps new connections to that database waiting, and waits up to five seconds for the
    sessions that are there to end.
    """
    for number in range(1, _TRIES + 1):
        end_sessions(connection, new)  # of monitoring that looks into everything
        try:
            with ending_sessions(reach, old) if wanted.disconnect else nullcontext():
                connection.execute(wanted.statements.encode())
        except psycopg.errors.ObjectInUse:
            if number == _TRIES or (not wanted.disconnect and sessions_in(connection, old)):
                raise
        else:
            return


def _look_what_became(pid: int, wanted: Exchange, new: int, reach: Reach, error: psycopg.Error) -> None:
    """Find out whether the swap was done, where the line broke before the server said so.

    Raises:
        RestoreFailed: it was not, or nobody knows.
    """
    try:
        with reach() as connection:
            connection.execute(_END_OURS, {"pid": pid})  # it may be at it still
            (name,) = one_row(connection, _NAME, {"oid": new})
    except (psycopg.Error, PgproofError, LookupError) as unknown:
        raise RestoreFailed(
            "the line broke while the names were swapped, and it cannot be found out whether they were",
            detail=str(error).strip(),
            hint=f"where there is a database {wanted.kept}, they were; else {wanted.restored} is what was restored",
        ) from unknown
    if name != wanted.database:
        raise RestoreFailed(
            f"the line broke before {wanted.database} was replaced; {wanted.restored} is what was restored",
            detail=str(error).strip(),
            hint="drop that one and run it again, or swap the names by hand",
        ) from error
    log.info("the line broke, but the names were swapped before")


def _membership(owner: str, destination: Destination) -> str:
    options = " WITH INHERIT TRUE, SET TRUE" if destination.major >= _MEMBERS_DIFFER_SINCE else ""
    return f"GRANT {quote_identifier(owner)} TO {quote_identifier(destination.user)}{options};"
