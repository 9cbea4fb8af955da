"""The database that a restore makes: created as the source was, filled under a passing name, and only then named.

Owns that no half database bears the name that was asked for, and that none is left behind.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress

import psycopg

from backup.domain.sql import quote_identifier, statements, with_database
from backup.domain.toc import Entry
from backup.errors import AccessDenied, PgproofError, RestoreFailed
from backup.logs import log
from backup.postgres.connection import Connection, is_lost
from backup.postgres.destination import Destination
from backup.postgres.rights import attempt, not_done
from backup.signals import undisturbed

Reach = Callable[[str], AbstractContextManager[Connection]]
"""Connects to a database, given its name."""

NAME_LIMIT = 63
"""Bytes of a name; PostgreSQL cuts a longer one (NAMEDATALEN of its sources, less the final zero)."""

_RENAME_TRIES = 3
_END_OTHERS = """
SELECT pg_catalog.pg_terminate_backend(pid, 5000) FROM pg_catalog.pg_stat_activity WHERE datname = %(name)s"""
_LOCALE_HINT = "where its locale is missing, install it on the server (dpkg-reconfigure locales) and restart it"
_BUILTIN_SINCE = 17
_ICU_RULES_SINCE = 16
_PROVIDER_SINCE = 15


def passing_name(name: str) -> str:
    """The name that a database has while it is filled; fits into PostgreSQL's 63 bytes."""
    mark = f"__restoring_{secrets.token_hex(4)}"
    return name.encode()[: NAME_LIMIT - len(mark)].decode(errors="ignore") + mark


def created_by(entries: Sequence[Entry]) -> str | None:
    """The CREATE DATABASE of an archive."""
    return next((t for e in entries if e.kind == "DATABASE" for t, w in statements(e.sql) if w[0] == "CREATE"), None)


def creation(text: str | None, name: str, destination: Destination) -> tuple[str, tuple[str, ...]]:
    """The CREATE DATABASE that makes it as the source was, fit for this server, and notes on what had to change.

    Args:
        text: as pg_dump writes it; None where nothing is known of the source.
        name: of the new one.
        destination: the server.
    """
    if text is None:
        return f"CREATE DATABASE {quote_identifier(name)} TEMPLATE template0", ()
    notes = []
    text = with_database(text, name)
    if " LOCALE_PROVIDER = builtin" in text and destination.major < _BUILTIN_SINCE:
        text = text.replace(" LOCALE_PROVIDER = builtin", " LOCALE_PROVIDER = libc")
        text = re.sub(r" BUILTIN_LOCALE = '(?:[^']|'')*'", "", text)
        notes.append(f"PostgreSQL {destination.major} has no builtin locale provider: libc is used instead")
    if " ICU_RULES = " in text and destination.major < _ICU_RULES_SINCE:
        text = re.sub(r" ICU_RULES = '(?:[^']|'')*'", "", text)
        notes.append(f"PostgreSQL {destination.major} has no ICU rules for databases: they are left out")
    if destination.major < _PROVIDER_SINCE:
        text = text.replace(" LOCALE_PROVIDER = libc", "")
    place = re.search(r' TABLESPACE = ("(?:[^"]|"")*"|\w+)', text)
    if place and place[1].strip('"') not in destination.tablespaces:
        text = text.replace(place[0], "")
        notes.append(f"tablespace {place[1]} is not on this server: the default one is used")
    return text, tuple(notes)


@contextmanager
def new_database(
    connection: Connection, statement: str, *, passing: str, name: str, owner: str | None, reach: Reach
) -> Iterator[list[str]]:
    """Create the database under its passing name; rename it when the block ends well, else drop it.

    Yields the notes that are made when the block has ended. It is given away last of all: a role that may make another
    one the owner need not have its rights, and could then neither rename nor drop what is not its own any more.

    Args:
        connection: to another database of the server.
        statement: that creates it.
        passing: the name it has until the block ends.
        name: the name it has then.
        owner: the role that it belongs to then; None for the one that made it.
        reach: connects to a database of that server anew.

    Raises:
        RestoreFailed, AccessDenied: it cannot be created.
        psycopg.Error: the line broke.
    """
    place = connection.info.dbname
    notes: list[str] = []
    try:
        _create(connection, statement, name)
        yield notes
        with undisturbed(), reach(place) as fresh:  # ours was idle as long as the load took, and may have been cut
            _rename(fresh, passing, name)
            if owner:
                notes += _give_away(fresh, name, owner)
    except BaseException:
        with undisturbed():
            _drop(connection, place, passing, reach)
        raise


def apply_properties(connection: Connection, entries: Sequence[Entry], name: str, *, privileges: bool) -> Iterator[str]:
    """Give the database the settings, grants and comment of the source; yields a note for each that is refused."""
    for entry in entries:
        if not entry.of_database or entry.kind == "DATABASE" or (entry.kind == "ACL" and not privileges):
            continue
        for text, _ in statements(entry.sql):
            if not re.match(r"(?i)(ALTER DATABASE|ALTER ROLE|GRANT|REVOKE|COMMENT|SECURITY LABEL)\b", text):
                continue
            yield from attempt(connection, with_database(text, name))


def _create(connection: Connection, statement: str, name: str) -> None:
    try:
        connection.execute(statement.encode())
    except psycopg.errors.InsufficientPrivilege as error:
        raise AccessDenied(
            "this role may not create a database",
            detail=str(error).strip(),
            hint="ALTER ROLE … CREATEDB, or restore with --in-place into a database that is there",
        ) from error
    except psycopg.Error as error:
        if is_lost(error):
            raise
        raise RestoreFailed(
            f"the database {name} could not be created",
            detail=str(error).strip(),
            hint=_LOCALE_HINT if _is_of_locale(error) else None,
        ) from error


def _is_of_locale(error: psycopg.Error) -> bool:
    """By its code, for the server's words may be in any language; else by its words."""
    codes = psycopg.errors.WrongObjectType | psycopg.errors.InvalidParameterValue | psycopg.errors.FeatureNotSupported
    return isinstance(error, codes) or bool(re.search(r"(?i)locale|encoding|collation|provider|\bicu\b", str(error)))


def _rename(connection: Connection, passing: str, name: str) -> None:
    """Give it its name; sessions that others opened in it meanwhile (monitoring) are ended, for they forbid that."""
    statement = f"ALTER DATABASE {quote_identifier(passing)} RENAME TO {quote_identifier(name)}".encode()
    for number in range(1, _RENAME_TRIES + 1):
        try:
            connection.execute(statement)
        except psycopg.errors.ObjectInUse as error:
            if number == _RENAME_TRIES:
                raise _unnamed(name, error) from error
            with suppress(psycopg.errors.InsufficientPrivilege):
                connection.execute(_END_OTHERS, {"name": passing})
        except psycopg.Error as error:
            raise _unnamed(name, error) from error
        else:
            return


def _give_away(connection: Connection, name: str, owner: str) -> Iterator[str]:
    """Make it another role's. It has its name and is whole: nothing that happens now is more than a note."""
    statement = f"ALTER DATABASE {quote_identifier(name)} OWNER TO {quote_identifier(owner)}"
    try:
        yield from attempt(connection, statement)
    except psycopg.Error as error:
        yield not_done(statement, error)


def _unnamed(name: str, error: psycopg.Error) -> RestoreFailed:
    taken = isinstance(error, psycopg.errors.DuplicateDatabase)
    return RestoreFailed(
        f"the restored database could not be named {name}",
        detail=str(error).strip(),
        hint="another database of that name was made meanwhile: give another name with --into" if taken else None,
    )


def drop_database(connection: Connection, name: str, reach: Reach) -> None:
    """Drop a database with its sessions and subscriptions. Raises psycopg.Error and what `reach` raises."""
    statement = _drop_statement(name)
    try:
        connection.execute(statement)
    except psycopg.errors.ObjectInUse:  # FORCE ends sessions, but not subscriptions
        with reach(name) as inside:
            _drop_subscriptions(inside)
        connection.execute(statement)


def _drop_statement(name: str) -> bytes:
    return f"DROP DATABASE IF EXISTS {quote_identifier(name)} WITH (FORCE)".encode()


def _drop(connection: Connection, place: str, name: str, reach: Reach) -> None:
    """Drop a half database; over a new connection where ours broke."""
    try:
        with nullcontext(connection) if _is_usable(connection) else reach(place) as usable:
            drop_database(usable, name, reach)
    except (psycopg.Error, PgproofError) as error:
        log.error(
            "a half database is left, drop it by hand",
            statement=_drop_statement(name).decode(),
            reason=str(error).strip(),
        )


def _is_usable(connection: Connection) -> bool:
    """Whether it can be asked; what it is busy with is cancelled."""
    try:
        if connection.info.transaction_status == psycopg.pq.TransactionStatus.ACTIVE:
            connection.cancel_safe()
            while connection.pgconn.get_result():  # till it has ended: a database may have been in the making
                continue
        connection.execute("SELECT")
    except psycopg.Error:
        return False
    return True


def _drop_subscriptions(connection: Connection) -> None:
    """Drop those that were restored: they are not enabled, and the slot that they name is not theirs to drop."""
    found = connection.execute(
        "SELECT subname::text FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database d ON d.oid = s.subdbid"
        " WHERE d.datname = pg_catalog.current_database()"
    )
    for (name,) in found.fetchall():
        quoted = quote_identifier(name)
        connection.execute(f"ALTER SUBSCRIPTION {quoted} SET (slot_name = NONE)".encode())
        connection.execute(f"DROP SUBSCRIPTION {quoted}".encode())
