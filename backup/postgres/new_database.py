"""The database that a restore makes: created as the source was, filled under a passing name, and only then named.

Owns that no half database bears the name that was asked for, and that none is left behind.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psycopg

from backup.domain.sql import quote_identifier, statements, with_database
from backup.domain.toc import Entry
from backup.errors import AccessDenied, PgproofError, RestoreFailed
from backup.logs import log
from backup.postgres.connection import Connection
from backup.postgres.target import Target

_NAME_LIMIT = 63
_BUILTIN_SINCE = 17
_ICU_RULES_SINCE = 16
_PROVIDER_SINCE = 15


def passing_name(name: str) -> str:
    """The name that a database has while it is filled; fits into PostgreSQL's 63 bytes."""
    mark = f"__restoring_{secrets.token_hex(4)}"
    return name.encode()[: _NAME_LIMIT - len(mark)].decode(errors="ignore") + mark


def creation(entries: Sequence[Entry], name: str, target: Target) -> tuple[str, tuple[str, ...]]:
    """The CREATE DATABASE that makes it as the source was, fit for this server, and notes on what had to change."""
    text = next((t for e in entries if e.kind == "DATABASE" for t, w in statements(e.sql) if w[0] == "CREATE"), None)
    if text is None:
        return f"CREATE DATABASE {quote_identifier(name)} TEMPLATE template0", ()
    notes = []
    text = with_database(text, name)
    if " LOCALE_PROVIDER = builtin" in text and target.major < _BUILTIN_SINCE:
        text = text.replace(" LOCALE_PROVIDER = builtin", " LOCALE_PROVIDER = libc")
        text = re.sub(r" BUILTIN_LOCALE = '(?:[^']|'')*'", "", text)
        notes.append(f"PostgreSQL {target.major} has no builtin locale provider: libc is used instead")
    if " ICU_RULES = " in text and target.major < _ICU_RULES_SINCE:
        text = re.sub(r" ICU_RULES = '(?:[^']|'')*'", "", text)
        notes.append(f"PostgreSQL {target.major} has no ICU rules for databases: they are left out")
    if target.major < _PROVIDER_SINCE:
        text = text.replace(" LOCALE_PROVIDER = libc", "")
    place = re.search(r' TABLESPACE = ("(?:[^"]|"")*"|\w+)', text)
    if place and place[1].strip('"') not in target.tablespaces:
        text = text.replace(place[0], "")
        notes.append(f"tablespace {place[1]} is not on this server: the default one is used")
    return text, tuple(notes)


@contextmanager
def new_database(connection: Connection, statement: str, *, passing: str, name: str) -> Iterator[None]:
    """Create the database under its passing name; rename it when the block ends well, else drop it.

    Raises:
        RestoreFailed, AccessDenied: it cannot be created.
    """
    try:
        connection.execute(statement.encode())
    except psycopg.errors.InsufficientPrivilege as error:
        raise AccessDenied(
            "this role may not create a database",
            detail=str(error).strip(),
            hint="ALTER ROLE … CREATEDB, or restore with --in-place into a database that is there",
        ) from error
    except psycopg.Error as error:
        raise RestoreFailed(
            f"the database {name} could not be created",
            detail=str(error).strip(),
            hint="where its locale is missing, install it on the server (dpkg-reconfigure locales) and restart it",
        ) from error
    try:
        yield
        _rename(connection, passing, name)
    except BaseException:
        _drop(connection, passing)
        raise


def apply_properties(connection: Connection, entries: Sequence[Entry], name: str, *, privileges: bool) -> Iterator[str]:
    """Give the database the settings, grants and comment of the source; yields a note for each that is refused."""
    for entry in entries:
        if not entry.of_database or entry.kind == "DATABASE" or (entry.kind == "ACL" and not privileges):
            continue
        for text, _ in statements(entry.sql):
            if not re.match(r"(?i)(ALTER DATABASE|ALTER ROLE|GRANT|REVOKE|COMMENT|SECURITY LABEL)\b", text):
                continue
            try:
                connection.execute(with_database(text, name).encode())
            except psycopg.OperationalError:
                raise
            except psycopg.Error as error:
                yield f"not done: {' '.join(text.split())[:200]} ({str(error).splitlines()[0]})"


def _rename(connection: Connection, passing: str, name: str) -> None:
    try:
        connection.execute(f"ALTER DATABASE {quote_identifier(passing)} RENAME TO {quote_identifier(name)}".encode())
    except psycopg.Error as error:
        raise RestoreFailed(f"the restored database could not be named {name}", detail=str(error).strip()) from error


def _drop(connection: Connection, name: str) -> None:
    try:
        if connection.info.transaction_status == psycopg.pq.TransactionStatus.ACTIVE:
            connection.cancel_safe()
        connection.execute(f"DROP DATABASE IF EXISTS {quote_identifier(name)} WITH (FORCE)".encode())
    except (psycopg.Error, PgproofError) as error:
        log.error(
            "a half database is left, drop it by hand",
            statement=f"DROP DATABASE {quote_identifier(name)} WITH (FORCE)",
            reason=str(error).strip(),
        )
