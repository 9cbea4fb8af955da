"""Owners and grants of an archive against the roles of a server: what can come back, by whom, and in which order.

A superuser lets pg_restore set everything as it goes. Any other role becomes the owner of all first; then, when the
load is done, each owner and grant that it may set is set, and each that the server refuses is said. In place this is
one transaction, for there the database is in use already.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import psycopg

from backup.domain.sql import identifier, quote_identifier, roles_in, statements
from backup.domain.toc import Entry
from backup.errors import RestoreFailed
from backup.postgres.connection import Connection
from backup.postgres.destination import Destination, listed
from backup.signals import undisturbed

_GRANTS = {"ACL", "DEFAULT ACL"}
_OF_SUPERUSERS = {"EVENT TRIGGER", "FOREIGN DATA WRAPPER", "PUBLICATION", "SUBSCRIPTION"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """What becomes of owners and grants.

    Attributes:
        arguments: for pg_restore.
        skipped: numbers of entries that pg_restore must not carry out.
        afterwards: statements to carry out when the load is done.
        notes: what is left out, for people.
    """

    arguments: tuple[str, ...]
    skipped: frozenset[int]
    afterwards: tuple[str, ...]
    notes: tuple[str, ...]


def plan_rights(entries: Sequence[Entry], destination: Destination, *, owner: bool, privileges: bool) -> Rights:
    """Decide for the entries that will be restored.

    Raises:
        RestoreFailed: roles are missing that were not waved off; names them all.
    """
    _refuse_missing(entries, destination, owner=owner, privileges=privileges)
    arguments = [*(() if owner else ("--no-owner",)), *(() if privileges else ("--no-privileges",))]
    if destination.superuser:
        return Rights(arguments=tuple(arguments), skipped=frozenset(), afterwards=(), notes=())
    local = [entry for entry in entries if not entry.of_database]
    comments = [e for e in local if e.kind == "COMMENT" and e.name.startswith("EXTENSION ")]
    notes = [f"comment on {e.name.lower()} left out, it is not ours" for e in comments]
    owners = _owner_statements(local, destination) if owner else []
    lost = {e.owner for e in local if e.owner} - destination.settable if owner else set()
    if lost:
        notes.append(f"objects of {listed(lost)} will belong to {destination.user}, which is no member of them")
    grants = [text for e in local if e.kind in _GRANTS for text in _grants(e)] if privileges else []
    return Rights(
        arguments=("--no-owner", "--no-privileges"),
        skipped=frozenset(entry.number for entry in comments),
        afterwards=(*owners, *grants),
        notes=tuple(notes),
    )


def attempt(connection: Connection, statement: str) -> Iterator[str]:
    """Carry out a statement; yields a note where the server refuses it."""
    try:
        connection.execute(statement.encode())
    except psycopg.OperationalError:
        raise  # the line broke: nothing after it would work either
    except psycopg.Error as error:
        yield not_done(statement, error)


def not_done(statement: str, error: psycopg.Error) -> str:
    """The note on a statement that was refused."""
    return f"not done: {' '.join(statement.split())[:200]} ({str(error).splitlines()[0]})"


def apply_together(connection: Connection, wanted: Iterable[str]) -> tuple[str, ...]:
    """Carry out all statements that the server does not refuse, or none; the notes on those that it does.

    Raises:
        RestoreFailed: none was, because the line broke or the server could not go on.
    """
    notes: list[str] = []
    try:
        with undisturbed(), connection.transaction():
            for statement in wanted:
                connection.execute("SAVEPOINT attempt")
                refused = list(attempt(connection, statement))
                connection.execute("ROLLBACK TO attempt" if refused else "RELEASE attempt")
                notes += refused
    except psycopg.Error as error:
        raise RestoreFailed(
            "everything is back in place, but it belongs to the role that restored it, and nothing is granted",
            detail=str(error).strip(),
            hint="run it again, or set owners and grants by hand",
        ) from error
    return tuple(notes)


def _owner_statements(entries: Iterable[Entry], destination: Destination) -> list[str]:
    """Who owns what, schemas last.

    A new owner must be allowed to create in the schema, which as a rule only the schema's owner is: so each is allowed
    to until its objects are its own.
    """
    schemas: list[str] = []
    others: list[str] = []
    allowed: dict[tuple[str, str], None] = {}
    for entry in entries:
        if not entry.owner or entry.owner == destination.user or entry.owner not in destination.settable:
            continue
        for text, tokens in statements(entry.sql):
            if tokens[0].upper() == "ALTER" and [t.upper() for t in tokens[-3:-1]] == ["OWNER", "TO"]:
                (schemas if entry.kind == "SCHEMA" else others).append(text)
                if entry.schema != "-":
                    allowed[quote_identifier(entry.schema), quote_identifier(entry.owner)] = None
    before = [f"GRANT CREATE ON SCHEMA {schema} TO {owner}" for schema, owner in allowed]
    after = [f"REVOKE CREATE ON SCHEMA {schema} FROM {owner}" for schema, owner in allowed]
    return [*before, *others, *after, *schemas]


def _grants(entry: Entry) -> Iterator[str]:
    """The grants of an entry. Those that another grantor made are written between two changes of session user."""
    other = False
    for text, tokens in statements(entry.sql):
        words = [token.upper() for token in tokens[:3]]
        if words[1:] == ["SESSION", "AUTHORIZATION"]:
            other = words[0] == "SET" and tokens[-1].upper() != "DEFAULT"
        elif not other and words[0] in {"GRANT", "REVOKE", "ALTER"}:
            yield text


def make_missing_roles(connection: Connection, entries: Sequence[Entry], destination: Destination) -> Destination:
    """Create the roles that are missing, on a server that is thrown away: what they may elsewhere is no matter.

    Only those become superusers that own what can belong to nobody else: grants that one makes count as the owner's.
    """
    missing, _ = _missing_roles(entries, destination, owner=True, privileges=True)
    superusers = {entry.owner for entry in entries if entry.kind in _OF_SUPERUSERS}
    for role in sorted(role for role in missing if not role.startswith("pg_")):
        may = "SUPERUSER" if role in superusers else "NOSUPERUSER"
        connection.execute(f"CREATE ROLE {quote_identifier(role)} {may}".encode())
    return replace(destination, roles=destination.roles | missing)


def _missing_roles(
    entries: Sequence[Entry], destination: Destination, *, owner: bool, privileges: bool
) -> tuple[set[str], set[str]]:
    """The roles that a server lacks; and those of them that cannot be waved off."""
    missing: set[str] = set()
    firmly: set[str] = set()
    for entry in entries:
        if (entry.kind in _GRANTS and not privileges) or entry.kind == "DATABASE PROPERTIES":
            continue
        for _, tokens in statements(entry.sql):
            is_owner = [t.upper() for t in tokens[-3:-1]] == ["OWNER", "TO"]
            if is_owner and not owner:
                continue
            lacking = roles_in(tokens) - destination.roles
            missing |= lacking
            if entry.kind not in _GRANTS and not is_owner:
                firmly |= lacking
    return missing, firmly


def _refuse_missing(entries: Sequence[Entry], destination: Destination, *, owner: bool, privileges: bool) -> None:
    missing, firmly = _missing_roles(entries, destination, owner=owner, privileges=privileges)
    if missing:
        creating = "\n".join(f"CREATE ROLE {quote_identifier(role)};" for role in sorted(missing))
        ways = "or restore with --no-owner --no-privileges\n" if not firmly else ""
        raise RestoreFailed(
            f"the server lacks {len(missing)} roles that the backup needs: {listed(missing, 50)}"
            if len(missing) > 1
            else f"the server lacks the role that the backup needs: {listed(missing)}",
            hint=f"create them first (the globals part of the backup has their settings), {ways}{creating}",
        )


def refuse_missing_extensions(entries: Iterable[Entry], destination: Destination) -> None:
    """Find extensions that the server cannot create.

    Raises:
        RestoreFailed: there are some; names them all.
    """
    missing = {entry.name for entry in entries if entry.kind == "EXTENSION"} - destination.extensions
    if missing:
        raise RestoreFailed(
            f"the server does not have the extension {listed(missing, 50)}",
            hint=f"install the package that brings it for PostgreSQL {destination.major}",
        )


def database_owner(entries: Iterable[Entry]) -> str | None:
    """The role that owned the database, where the archive says it."""
    for entry in entries:
        if entry.kind == "DATABASE":
            for _, tokens in statements(entry.sql):
                if [t.upper() for t in tokens[-3:-1]] == ["OWNER", "TO"]:
                    return identifier(tokens[-1])
    return None
