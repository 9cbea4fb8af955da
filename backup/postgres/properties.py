"""What a server keeps of a database beside what is in it: owner, settings, grants, comment, who may connect.

Owns how one database is given what another one has. Settings may hold secrets: neither a value nor what the server says
of one may reach a message.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import psycopg
from psycopg import sql

from backup.domain.sql import quote_identifier
from backup.errors import AccessDenied, RestoreFailed
from backup.postgres.connection import Connection, is_lost
from backup.postgres.snapshot import one_row
from backup.signals import undisturbed

_OF_DATABASE = """
SELECT pg_get_userbyid(datdba)::text, datconnlimit, datallowconn, datistemplate, shobj_description(oid, 'pg_database')
FROM pg_catalog.pg_database WHERE datname = %(name)s"""

_SETTINGS = """
SELECT r.rolname::text, split_part(o, '=', 1), substr(o, strpos(o, '=') + 1)
FROM pg_catalog.pg_db_role_setting s JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase
LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole CROSS JOIN unnest(s.setconfig) WITH ORDINALITY AS u (o, place)
WHERE d.datname = %(name)s AND (s.setrole = 0 OR r.oid IS NOT NULL) ORDER BY 1 NULLS FIRST, place"""

_GRANTS = """
SELECT pg_get_userbyid(a.grantor)::text, r.rolname::text, a.privilege_type, a.is_grantable
FROM pg_catalog.pg_database d CROSS JOIN aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
WHERE d.datname = %(name)s AND (a.grantee = 0 OR r.oid IS NOT NULL) ORDER BY 1, 2 NULLS FIRST, 3"""

_LISTS = {
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
}
"""Settings that are kept as a list of quoted names (GUC_LIST_QUOTE in PostgreSQL's sources; extensions have none)."""

_PRIVILEGES = {"CREATE": sql.SQL("CREATE"), "CONNECT": sql.SQL("CONNECT"), "TEMPORARY": sql.SQL("TEMPORARY")}
_GRANTS_FOR_SETTINGS_SINCE = 150000
_LOCK_TIMEOUT = "10s"
"""For a lock on a row of pg_database; a guess: nobody holds one for longer than a statement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One of a database, or of a role in it. `value` as the catalogue has it."""

    role: str | None
    name: str
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One privilege on a database. `grantee` None is PUBLIC."""

    grantor: str
    grantee: str | None
    privilege: str
    grantable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Properties:
    """What a server keeps of a database beside what is in it. `limit` of connections, -1 for none."""

    owner: str
    settings: tuple[Setting, ...]
    grants: tuple[Grant, ...]
    comment: str | None
    limit: int
    open: bool
    template: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    """Statements that go together. `what` they are about, and what mends a refusal: neither tells a value."""

    what: str
    statements: tuple[sql.Composed, ...] = field(repr=False)
    mend: str


def read_properties(connection: Connection, name: str) -> Properties:
    """Those of the database `name`. Raises LookupError where there is none."""
    of_it = {"name": name}
    owner, limit, is_open, template, comment = one_row(connection, _OF_DATABASE, of_it)
    return Properties(
        owner=owner,
        settings=tuple(Setting(role=r, name=n, value=v) for r, n, v in connection.execute(_SETTINGS, of_it)),
        grants=tuple(
            Grant(grantor=by, grantee=to, privilege=what, grantable=on)
            for by, to, what, on in connection.execute(_GRANTS, of_it)
        ),
        comment=comment,
        limit=max(limit, -1),
        open=is_open,
        template=template,
    )


def give_properties(connection: Connection, name: str, wanted: Properties) -> None:
    """Give the database `name` all of `wanted`, in one transaction; what it had before is gone.

    Raises:
        AccessDenied, RestoreFailed: it cannot; nothing was changed.
        psycopg.Error: the line broke.
    """
    present = read_properties(connection, name)
    with undisturbed(), connection.transaction():
        _carry_out(connection, name, present, wanted)


def try_properties(connection: Connection, name: str) -> None:
    """Find out whether what the database `name` has could be given to another one: it is given to itself, and undone.

    Raises:
        AccessDenied, RestoreFailed: it could not, and what would help.
        psycopg.Error: the line broke.
    """
    present = read_properties(connection, name)
    with undisturbed(), connection.transaction(force_rollback=True):
        _carry_out(connection, name, present, present)


def _carry_out(connection: Connection, name: str, present: Properties, wanted: Properties) -> None:
    """All changes, each tried though another was refused, so that all refusals are told together."""
    user, version = one_row(connection, "SELECT current_user::text, current_setting('server_version_num')::int")
    connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'".encode())
    refused: list[str] = []
    mends: list[str] = []
    only_rights = True
    for change in _changes(name, present, wanted, user=user, version=version):
        try:
            with connection.transaction():
                for statement in change.statements:
                    connection.execute(statement)
        except psycopg.Error as error:
            if is_lost(error):
                raise
            denied = isinstance(error, psycopg.errors.InsufficientPrivilege)
            only_rights = only_rights and denied
            refused.append(f"{change.what}: {'not permitted' if denied else type(error).__name__}")
            mends.append(change.mend if denied else f"correct or remove it: {change.what}")
    if refused:
        raise (AccessDenied if only_rights else RestoreFailed)(
            "what the database has beside its contents cannot be given to the restored one",
            detail="\n".join(refused),
            hint="\n".join(dict.fromkeys(filter(None, mends))) or "restore as a superuser",
        )


def _changes(name: str, present: Properties, wanted: Properties, *, user: str, version: int) -> Iterator[_Change]:
    """In an order in which each may be done; the owner first, for what is granted is granted by it."""
    database = sql.Identifier(name)
    if present.owner != wanted.owner:
        owner = sql.Identifier(wanted.owner)
        change = sql.SQL("ALTER DATABASE {} OWNER TO {}").format(database, owner)
        yield _Change(what="the owner", statements=(change,), mend=_grant(wanted.owner, user))
    yield from _settings(database, present, wanted, user=user, version=version)
    yield from _grants(database, present, wanted, user=user)
    if present.comment is not None or wanted.comment is not None:
        comment = sql.SQL("COMMENT ON DATABASE {} IS {}").format(database, sql.Literal(wanted.comment))
        yield _Change(what="the comment", statements=(comment,), mend=_grant(wanted.owner, user))
    access = sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS {} CONNECTION LIMIT {} IS_TEMPLATE {}").format(
        database, sql.Literal(wanted.open), sql.Literal(wanted.limit), sql.Literal(wanted.template)
    )
    yield _Change(what="who may connect", statements=(access,), mend=_grant(wanted.owner, user))


def _settings(
    database: sql.Identifier, present: Properties, wanted: Properties, *, user: str, version: int
) -> Iterator[_Change]:
    for role in dict.fromkeys(each.role for each in present.settings):
        statement = sql.SQL("{} RESET ALL").format(_place(database, role))
        yield _Change(what=f"settings{_of(role)}", statements=(statement,), mend=_mend_role(role, user))
    for each in wanted.settings:
        name = sql.SQL(".").join(map(sql.Identifier, each.name.split(".")))
        values = _elements(each.value) if each.name.lower() in _LISTS else [each.value]
        value = sql.SQL(", ").join(map(sql.Literal, values))
        statement = sql.SQL("{} SET {} TO {}").format(_place(database, each.role), name, value)
        mend = _mend_role(each.role, user)
        if version >= _GRANTS_FOR_SETTINGS_SINCE:
            parameter = ".".join(map(quote_identifier, each.name.split(".")))
            mend += f"\nGRANT SET ON PARAMETER {parameter} TO {quote_identifier(user)};"
        yield _Change(what=f"the setting {each.name}{_of(each.role)}", statements=(statement,), mend=mend.strip())


def _grants(database: sql.Identifier, present: Properties, wanted: Properties, *, user: str) -> Iterator[_Change]:
    """Take everything away, then grant: who grants what was granted to it comes after that."""
    taken = tuple(
        sql.SQL("REVOKE ALL ON DATABASE {} FROM {} CASCADE").format(database, _grantee(each))
        for each in dict.fromkeys((*(grant.grantee for grant in present.grants), wanted.owner))
    )
    yield _Change(what="the grants", statements=taken, mend=_grant(wanted.owner, user))
    left = list(wanted.grants)
    may = {(wanted.owner, grant.privilege) for grant in left}
    while left:
        ready = [grant for grant in left if (grant.grantor, grant.privilege) in may] or left
        for grant in ready:
            yield _granted(database, grant, owner=wanted.owner, user=user)
            may |= {(grant.grantee or "", grant.privilege)} if grant.grantable else set()
        left = [grant for grant in left if grant not in ready]


def _granted(database: sql.Identifier, grant: Grant, *, owner: str, user: str) -> _Change:
    statement = sql.SQL("GRANT {} ON DATABASE {} TO {}{}").format(
        _PRIVILEGES[grant.privilege],
        database,
        _grantee(grant.grantee),
        sql.SQL(" WITH GRANT OPTION" if grant.grantable else ""),
    )
    statements: tuple[sql.Composed, ...] = (statement,)
    if grant.grantor != owner:
        become = sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(grant.grantor))
        statements = (become, statement, sql.SQL("RESET ROLE").format())
    to = grant.grantee or "PUBLIC"
    return _Change(
        what=f"the grant of {grant.privilege} to {to} by {grant.grantor}",
        statements=statements,
        mend=_grant(grant.grantor, user),
    )


def _grantee(name: str | None) -> sql.Composable:
    return sql.SQL("PUBLIC") if name is None else sql.Identifier(name)


def _place(database: sql.Identifier, role: str | None) -> sql.Composed:
    if role is None:
        return sql.SQL("ALTER DATABASE {}").format(database)
    return sql.SQL("ALTER ROLE {} IN DATABASE {}").format(sql.Identifier(role), database)


def _elements(value: str) -> list[str]:
    """The names of a list as the catalogue has it: `"$user", public`."""
    found = re.findall(r'"((?:[^"]|"")*)"|([^",\s]+)', value)
    return [bare or quoted.replace('""', '"') for quoted, bare in found] or [""]


def _of(role: str | None) -> str:
    return f" of {role}" if role else ""


def _grant(role: str, user: str) -> str:
    return f"GRANT {quote_identifier(role)} TO {quote_identifier(user)};"


def _mend_role(role: str | None, user: str) -> str:
    if role is None or role == user:
        return ""
    return (
        f"GRANT {quote_identifier(role)} TO {quote_identifier(user)} WITH ADMIN OPTION;"
        f"\nALTER ROLE {quote_identifier(user)} CREATEROLE;"
    )
