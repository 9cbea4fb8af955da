"""The server that is restored into: what it has and what we may do there. Reads only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from backup.postgres.connection import Connection
from backup.postgres.snapshot import one_row

_SELF = """
SELECT current_setting('server_version_num')::int, current_user::text, r.rolsuper, r.rolcreatedb
FROM pg_catalog.pg_roles r WHERE r.rolname = current_user"""

_NAMES = """
SELECT 'role', rolname::text FROM pg_catalog.pg_roles
UNION ALL SELECT 'database', datname::text FROM pg_catalog.pg_database
UNION ALL SELECT 'tablespace', spcname::text FROM pg_catalog.pg_tablespace
UNION ALL SELECT 'extension', name::text FROM pg_catalog.pg_available_extensions"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A server, seen by the role that restores.

    Attributes:
        user: the role that restores.
        settable: roles that it may make an owner.
        extensions: names of those that can be created here.
    """

    major: int
    version: str
    user: str
    superuser: bool
    may_create: bool
    roles: frozenset[str]
    settable: frozenset[str]
    databases: frozenset[str]
    tablespaces: frozenset[str]
    extensions: frozenset[str]


def read_destination(connection: Connection) -> Destination:
    """What there is, in three queries."""
    number, user, superuser, createdb = one_row(connection, _SELF)
    names: dict[str, set[str]] = {"role": set(), "database": set(), "tablespace": set(), "extension": set()}
    for kind, name in connection.execute(_NAMES):
        names[kind].add(name)
    right = "SET" if number >= 160000 else "MEMBER"  # noqa: PLR2004 PostgreSQL 16 split membership into three rights
    settable = connection.execute(
        "SELECT rolname::text FROM pg_catalog.pg_roles WHERE pg_has_role(oid, %(right)s)", {"right": right}
    )
    return Destination(
        major=number // 10000,
        version=f"{number // 10000}.{number % 10000}",
        user=user,
        superuser=superuser,
        may_create=superuser or createdb,
        roles=frozenset(names["role"]),
        settable=frozenset(name for (name,) in settable),
        databases=frozenset(names["database"]),
        tablespaces=frozenset(names["tablespace"]),
        extensions=frozenset(names["extension"]),
    )


def listed(names: Iterable[str], most: int = 10) -> str:
    """Names for a message: the first few, and how many more."""
    ordered = sorted(names)
    rest = len(ordered) - most
    return ", ".join(ordered[:most]) + (f" and {rest} more" if rest > 0 else "")
