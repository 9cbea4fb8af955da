"""Chosen rows of one database, all in one snapshot: checked as a whole, then streamed.

Owns the snapshot, and that no table is short in it. Everything runs in read-only transactions, the user's
conditions too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import psycopg
from psycopg import errors as sql_errors
from psycopg import sql

from backup.domain.manifest import Database
from backup.domain.row_choice import choose
from backup.domain.rows import Catalogue, ChosenTable, Problem, RowsChoice, Selection
from backup.errors import AccessDenied, ConfigurationError, DumpFailed
from backup.logs import log
from backup.ports import RowsTable
from backup.postgres.address import Address
from backup.postgres.clients import Client, find_psql
from backup.postgres.connection import Connection, connect, is_lost, translate
from backup.postgres.pooler import refuse_sharing
from backup.postgres.rows.catalogue import read_catalogue, search_path
from backup.postgres.rows.copying import Copying
from backup.postgres.rows.query import json_query, line_query
from backup.postgres.rows.wholeness import Unmoved, Utf8, with_nested
from backup.postgres.session import VALUES_AS_THEY_ARE, keep_alive, settle, wait_for_locks
from backup.postgres.snapshot import one_row, pin, read_database, read_fingerprint, read_source
from backup.stream.readers import ByteReader

AS_WRITTEN = {
    "search_path": "pg_catalog",
    **VALUES_AS_THEY_ARE,
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "transaction_timeout": "0",
    "client_connection_check_interval": "2s",
}
"""Of the session that reads them. The last one ends a query whose psql is gone."""

_KNOWN = "SELECT lower(name) FROM pg_settings WHERE name <> 'client_connection_check_interval' OR version() ~ 'linux'"
"""Settings of this server, which writes some with capitals; that one is on some systems known, but not to be set."""

_JSON_LINES = " (FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02')"
"""CSV whose quote and delimiter no JSON has unescaped: the lines are the JSON itself."""

_TEXT = " (FORMAT text)"


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsReading:
    """A snapshot of the source in which all chosen tables can be read.

    It holds no lock on them: psql, which takes its own, would wait for ever behind an ALTER that waits for ours.

    Attributes:
        moment: when it was taken.
        chosen: the tables, in the order of their names.
        unreadable: tables that were passed over for want of rights.
        settings: SQL by which another transaction reads values as they are written.
    """

    moment: datetime
    database: Database
    source: str
    fingerprint: str
    catalogue: Catalogue
    chosen: tuple[ChosenTable, ...]
    unreadable: tuple[str, ...]
    connection: Connection = field(repr=False)
    address: Address
    snapshot: str
    copying: Copying
    settings: str

    @property
    def tables(self) -> Sequence[RowsTable]:
        """All of them, to be read as JSON."""
        return [RowsTable(name=each.label, open=partial(self._open_json, each)) for each in self.chosen]

    @property
    def left_out(self) -> Mapping[str, tuple[str, ...]]:
        """Columns that are not read, by table, those of included tables too."""
        return _merged((each.label, each.left_out) for each in with_nested(self.chosen))

    @property
    def asked_for(self) -> Mapping[str, tuple[str, ...]]:
        """Columns that look like secrets and were asked for by name, by table."""
        return _merged((each.label, each.asked_for) for each in with_nested(self.chosen))

    def ask(self, query: str, arguments: Mapping[str, object] | None = None) -> list[tuple[Any, ...]]:
        """What the source answers in the snapshot. Raises what `translate` makes of its errors."""
        try:
            return self.connection.execute(query, arguments).fetchall()
        except psycopg.Error as error:
            raise translate(error, self.address) from error

    @contextmanager
    def open_copy(self, table: ChosenTable, query: sql.Composable) -> Iterator[ByteReader]:
        """What a query on a table gives, in the text format of COPY."""
        with self._copy(table, query, _TEXT) as reader:
            yield reader

    def open_lines(self, table: ChosenTable) -> AbstractContextManager[ByteReader]:
        """The rows of a table, each as a line of JSON from which it can be made again."""
        return self._copy(table, line_query(table), _JSON_LINES)

    @contextmanager
    def _open_json(self, table: ChosenTable) -> Iterator[ByteReader]:
        with self._copy(table, json_query(table), _JSON_LINES) as reader:
            yield Utf8(reader, table.label) if self.database.encoding == "SQL_ASCII" else reader

    @contextmanager
    def _copy(self, table: ChosenTable, query: sql.Composable, form: str) -> Iterator[ByteReader]:
        commands = (
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            f"SET TRANSACTION SNAPSHOT '{self.snapshot}'",
            self.settings,
            f"COPY ({query.as_string(self.connection)}) TO STDOUT{form}",
        )
        with self.copying.run(commands) as reader:
            yield Unmoved(reader, self, table)


@contextmanager
def read_rows(
    address: Address,
    choice: RowsChoice,
    *,
    clients: Sequence[Client],
    environ: Mapping[str, str],
    connect_timeout: int,
    lock_wait_timeout: int,
    within: str | None = None,
) -> Iterator[RowsReading]:
    """Check a choice against the database, and hold a snapshot in which it can be read.

    `lock_wait_timeout`: seconds to wait for a lock on a table. `within`: an exported snapshot; None for a new one.

    Raises:
        ConfigurationError: it does not fit the database, with a line for every problem; or a pooler that shares
            sessions stands in between.
        AccessDenied: rights are missing, with the GRANTs.
        DumpFailed: a table is locked for longer than we wait.
        DatabaseUnreachable, DatabaseMissing: as `connect`.
    """
    address = address.direct()
    address.refuse_hidden_secrets()
    with connect(address, connect_timeout=connect_timeout) as connection:
        if within is None:
            refuse_sharing(address, connection, connect_timeout=connect_timeout)
        path = search_path(connection)
        settle(connection)
        keep_alive(connection)
        connection.execute("SET row_security = off")
        wait_for_locks(connection, lock_wait_timeout)
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        if within is not None:
            connection.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(within)))
        name, moment = one_row(connection, "SELECT pg_export_snapshot(), clock_timestamp()")
        catalogue = read_catalogue(connection, path)
        selection = choose(choice, catalogue)
        tried = list(_tried(connection, selection))
        problems = [*selection.problems, *(problem for _, problem in tried)]
        if choice.saving and not selection.problems:
            selection = _without(selection, tried)
        elif problems:
            raise refusal(problems)
        _tell(selection)
        pinned = pin(address, connection, connect_timeout=connect_timeout)
        yield RowsReading(
            moment=moment.astimezone(UTC),
            database=read_database(connection),
            source=read_source(connection),
            fingerprint=read_fingerprint(connection),
            catalogue=catalogue,
            chosen=selection.tables,
            unreadable=selection.unreadable,
            connection=connection,
            address=pinned,
            snapshot=name,
            copying=Copying(
                address=pinned,
                encoding=connection.info.parameter_status("client_encoding") or "UTF8",
                psql=find_psql(clients, server=connection.info.server_version // 10000),
                environ=environ,
                connect_timeout=connect_timeout,
            ),
            settings=_settings(connection, lock_wait_timeout),
        )


def _settings(connection: Connection, lock_wait_timeout: int) -> str:
    known = {name for (name,) in connection.execute(_KNOWN)}
    wanted = {**AS_WRITTEN, "lock_timeout": f"{lock_wait_timeout}s"}
    return "; ".join(f"SET LOCAL {name} = '{value}'" for name, value in wanted.items() if name in known)


def _tried(connection: Connection, selection: Selection) -> Iterator[tuple[ChosenTable, Problem]]:
    """Let the server read each query without running it; what it locks for that is let go of again."""
    if selection.problems:  # whose tables could not be asked well
        tables = [each for each in selection.tables if each.columns and all(one.readable for one in each.columns)]
    else:
        tables = list(selection.tables)
    for table in tables:
        query = json_query(table) + sql.SQL(" LIMIT 0")
        try:
            with connection.transaction(force_rollback=True):
                connection.execute(query, binary=True)  # by which the server takes a single statement only
        except sql_errors.LockNotAvailable as error:
            raise DumpFailed(
                f"{table.label}: waited too long for a lock",
                hint="another session holds or wants an exclusive lock on that table; see PGPROOF_LOCK_WAIT_TIMEOUT",
            ) from error
        except psycopg.Error as error:
            if is_lost(error):
                raise
            problem = Problem(
                text=f"{table.label}: {error.diag.message_primary or error}",
                hint="where and order_by are SQL over the columns of the table; write functions of yours with their"
                " schema",
            )
            yield table, problem


def _without(selection: Selection, tried: Sequence[tuple[ChosenTable, Problem]]) -> Selection:
    """The same without tables that cannot be read, where what can be shall be saved; says why."""
    lost = [table for table, _ in tried]
    for table, problem in tried:
        log.warning("a table cannot be read, and is left out", table=table.label, reason=problem.text)
    return replace(
        selection,
        tables=tuple(each for each in selection.tables if each not in lost),
        unreadable=(*selection.unreadable, *(each.label for each in lost)),
    )


def refusal(
    problems: Sequence[Problem], *, about: str = "with the choice of rows"
) -> AccessDenied | ConfigurationError:
    """All problems as one failure."""
    kind = AccessDenied if all(each.denied for each in problems) else ConfigurationError
    hint = "\n".join(dict.fromkeys(each.hint for each in problems if each.hint)) or None
    if len(problems) == 1:
        return kind(problems[0].text, hint=hint)
    return kind(
        f"{len(problems)} things are wrong {about}",
        detail="\n".join(each.text for each in problems),
        hint=hint,
    )


def _tell(selection: Selection) -> None:
    for table in with_nested(selection.tables):
        if table.left_out:
            log.info("columns are left out", table=table.label, columns=", ".join(table.left_out))
        if table.asked_for:
            log.warning(
                "columns that look like secrets were asked for", table=table.label, columns=", ".join(table.asked_for)
            )
    if selection.unreadable:
        log.warning("tables that the role may not read are left out", tables=", ".join(selection.unreadable))


def _merged(columns: Iterable[tuple[str, tuple[str, ...]]]) -> dict[str, tuple[str, ...]]:
    """Columns by table, of a table that comes more than once all of them."""
    found: dict[str, tuple[str, ...]] = {}
    for table, each in columns:
        if each:
            found[table] = tuple(dict.fromkeys((*found.get(table, ()), *each)))
    return found
