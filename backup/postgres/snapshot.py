"""The snapshot that a backup is taken in: a transaction of our own, held open and shared with pg_dump.

Owns what is read of the server in that moment and the check that nothing slipped in between snapshot and locks.
Must not touch a user's table: one that it read would keep an ALTER waiting, and pg_dump behind it, for ever.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any

from backup.domain.manifest import Database, SnapshotMark
from backup.errors import LockHeld
from backup.postgres.address import Address
from backup.postgres.connection import Connection, connect
from backup.postgres.queries import read_query
from backup.postgres.session import keep_alive, settle

_DATABASE = """
SELECT current_database(), pg_database_size(current_database()), current_setting('server_version_num')::int,
       pg_encoding_to_char(encoding), pg_is_in_recovery()
FROM pg_catalog.pg_database WHERE datname = current_database()"""

_SOURCE = """
SELECT concat_ws('/', oid, extract(epoch FROM pg_postmaster_start_time())) FROM pg_catalog.pg_database
WHERE datname = current_database()"""

_FINGERPRINT = """
SELECT concat_ws('/', system_identifier, current_database()) FROM pg_catalog.pg_control_system()"""

_MARK = """
SELECT pg_export_snapshot(), clock_timestamp(),
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text"""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldSnapshot:
    """An exported snapshot, valid as long as its connection stays in its transaction.

    Attributes:
        name: what pg_dump's --snapshot takes.
        source: the database, and the start of its server, by which that can be told from any other.
        fingerprint: the server's own identifier, which its standbys have too, and the database; empty where that may
            not be read.
        address: the very server that it is on.
    """

    name: str
    mark: SnapshotMark
    database: Database
    source: str
    fingerprint: str
    address: Address
    connection: Connection = field(repr=False)

    def rewritten_tables(self) -> tuple[str, ...]:
        """Tables that were truncated or rewritten after the snapshot: in it they are empty, without any error.

        To be asked once pg_dump holds its locks.

        Tables that pg_dump leaves out count too. They cannot be told by its locks: a small dump comes with its first
        byte as a whole, and by then pg_dump may have ended and let go of them all; and members of extensions it locks
        later.
        """
        return tuple(name for (name,) in self.connection.execute(read_query("rewritten")))


def read_database(connection: Connection) -> Database:
    """What the server says of the database that the connection is in."""
    name, size, version, encoding, standby = one_row(connection, _DATABASE)
    return Database(
        name=name,
        bytes=size,
        server_version=f"{version // 10000}.{version % 10000}",
        encoding=encoding,
        standby=standby,
    )


def one_row(connection: Connection, query: str, arguments: Mapping[str, object] | None = None) -> tuple[Any, ...]:
    """The only row that a query gives."""
    row = connection.execute(query, arguments).fetchone()
    if row is None:
        raise LookupError(f"no row from: {query}")
    return row


def pin(address: Address, connection: Connection, *, connect_timeout: int) -> Address:
    """`address`, narrowed to the server that the connection reached, and with the same patience for children."""
    info = connection.info
    return address.pinned(
        host=info.host,
        hostaddr=info.hostaddr,
        port=info.port,
        user=info.user,
        database=info.dbname,
        connect_timeout=connect_timeout,
    )


def read_fingerprint(connection: Connection) -> str:
    """The server's own identifier and the database; empty where that may not be read."""
    (permitted,) = one_row(
        connection, "SELECT pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'execute')"
    )
    return str(one_row(connection, _FINGERPRINT)[0]) if permitted else ""


def read_source(connection: Connection) -> str:
    """What tells the database, on its server as long as that runs, from any other."""
    return str(one_row(connection, _SOURCE)[0])


@contextmanager
def hold_snapshot(address: Address, target: str, *, connect_timeout: int) -> Iterator[HeldSnapshot]:
    """Take the advisory lock of a target and export a snapshot; both end with the context.

    Raises:
        LockHeld: another run of this target has the lock.
        DatabaseUnreachable, DatabaseMissing, AccessDenied: as `connect`.
    """
    with connect(address, connect_timeout=connect_timeout) as connection:
        settle(connection)
        keep_alive(connection)  # else the lock would outlive our machine by the two hours of the server's default
        (locked,) = one_row(
            connection, "SELECT pg_try_advisory_lock(hashtextextended('pgproof ' || %(target)s, 0))", {"target": target}
        )
        if not locked:
            raise LockHeld(
                f"another run of {target} is under way",
                hint="wait for it: --wait; or end it, its session holds the lock",
            )
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        name, moment, lsn = one_row(connection, _MARK)
        yield HeldSnapshot(
            name=name,
            mark=SnapshotMark(time=moment.astimezone(UTC), lsn=lsn or ""),
            database=read_database(connection),
            source=read_source(connection),
            fingerprint=read_fingerprint(connection),
            address=pin(address, connection, connect_timeout=connect_timeout),
            connection=connection,
        )
