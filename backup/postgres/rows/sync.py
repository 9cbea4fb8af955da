"""Brings chosen rows into a second database: one snapshot there to read, one transaction here to write.

Owns the order of things and what a failure means. Whatever happens before the commit, the second database is as it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg import errors as sql_errors
from psycopg import sql

from backup.domain.row_sync import SyncedTable, TablePlan, plan_sync
from backup.domain.rows import Problem
from backup.errors import AccessDenied, ConfigurationError, LockHeld, SyncFailed
from backup.logs import log
from backup.postgres.address import Address
from backup.postgres.connection import Connection, connect, is_lost
from backup.postgres.pooler import refuse_sharing
from backup.postgres.rows.arrival import Arrival
from backup.postgres.rows.catalogue import read_catalogue
from backup.postgres.rows.query import plain_query
from backup.postgres.rows.reading import AS_WRITTEN, RowsReading, refusal
from backup.postgres.rows.types import plan_types
from backup.postgres.session import keep_alive, own_path, settle, wait_for_locks
from backup.postgres.snapshot import one_row, read_fingerprint, read_source


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsSync:
    """A second database.

    Attributes:
        lock_wait_timeout: seconds to wait for the lock of a table there.
        overlap: seconds before the newest since_column there from which on rows are read again.
    """

    address: Address
    connect_timeout: int
    lock_wait_timeout: int
    overlap: int

    @contextmanager
    def reserved(self) -> Iterator[Connection]:
        """A connection to it, for one sync at a time: one that began later may not be overwritten by an older one.

        Raises:
            LockHeld: another sync into it is under way.
            ConfigurationError: a pooler that shares sessions stands in between.
            DatabaseUnreachable, DatabaseMissing: as `connect`.
        """
        address = self.address.direct()
        with connect(address, connect_timeout=self.connect_timeout) as target:
            refuse_sharing(address, target, connect_timeout=self.connect_timeout, where="the second database: ")
            settle(target)
            keep_alive(target)
            (locked,) = one_row(target, "SELECT pg_try_advisory_lock(hashtextextended('pgproof sync', 0))")
            if not locked:
                raise LockHeld("another sync into the second database is under way", hint="wait for it to end")
            yield target

    def run(
        self, rows: RowsReading, target: Connection, *, delete: bool = False, delete_all: bool = False
    ) -> tuple[SyncedTable, ...]:
        """Make the chosen tables there as they are in the snapshot, as far as they were chosen.

        Args:
            rows: the snapshot, taken since `target` was reserved.
            target: the second database.
            delete: rows there that are not among the chosen ones go.
            delete_all: even where that is more than half of a table.

        Raises:
            ConfigurationError: it is the same database, or its tables do not fit, with a line for every problem.
            SyncFailed: it does not take the rows, or too many would be deleted.
            AccessDenied: rights are missing there.
            DumpFailed: the rows could not be read.
        """
        _refuse_the_same(rows, target)
        _set_as_written(target)
        wait_for_locks(target, self.lock_wait_timeout)
        with _told(), target.transaction():
            target.execute("SET CONSTRAINTS ALL DEFERRED")
            plans, problems = plan_sync(rows.chosen, read_catalogue(target, []))
            types = plan_types(rows, target, plans)
            cascades = _cascades(target, plans) if delete else []
            if problems or types.problems or cascades:
                raise refusal([*problems, *types.problems, *cascades])
            types.make(target)
            return self._bring(rows, target, plans, delete=delete, delete_all=delete_all)

    def _bring(
        self, rows: RowsReading, target: Connection, plans: Sequence[TablePlan], *, delete: bool, delete_all: bool
    ) -> tuple[SyncedTable, ...]:
        arrivals = [Arrival(connection=target, plan=plan, number=number) for number, plan in enumerate(plans)]
        read = {}
        for arrival in arrivals:
            plan = arrival.plan
            for note in plan.notes:
                log.warning(note, table=plan.label)
            with _told(plan.label):
                arrival.prepare()
                condition = None if delete else self._condition(arrival, until=rows.moment)
                query = plain_query(plan.table, [each.name for each in plan.columns], condition=condition)
                with rows.open_copy(plan.table, query) as reader:
                    read[plan.label] = arrival.load(reader)
        deleted = dict.fromkeys(read, 0)
        with own_path(target):
            if delete:
                _refuse_losses(arrivals, everything=delete_all)
                try:
                    with target.transaction():  # first what stays: what refers to a row that is gone lets go of it
                        merged = _merge_all(arrivals)
                    deleted = _delete_all(arrivals)
                except SyncFailed as error:
                    if not isinstance(error.__cause__, sql_errors.UniqueViolation):
                        raise
                    deleted = _delete_all(arrivals)  # a new row takes a value that one that is gone gives up
                    merged = _merge_all(arrivals)
            else:
                merged = _merge_all(arrivals)
        done = []
        for label, (inserted, updated) in merged.items():
            done.append(
                SyncedTable(
                    table=label,
                    read=read[label],
                    inserted=inserted,
                    updated=updated,
                    unchanged=read[label] - inserted - updated,
                    deleted=deleted[label],
                )
            )
        return tuple(sorted(done, key=lambda each: each.table))

    def _condition(self, arrival: Arrival, *, until: datetime) -> sql.Composable | None:
        """By which only what may have changed is read; None for all, as where a column is new there."""
        plan, column = arrival.plan, arrival.plan.table.choice.since_column
        if column is None or plan.there is None or plan.added:
            return None
        newest = arrival.newest(column, self.overlap, until=until)
        if newest is None:
            return None
        log.info("only what changed is read", table=plan.label, since=newest)
        named = sql.Identifier(plan.table.relation.name, column)
        return sql.SQL("{0} >= {1} OR {0} IS NULL").format(named, sql.Literal(newest))


def _refuse_losses(arrivals: Sequence[Arrival], *, everything: bool) -> None:
    """Raise SyncFailed where more than half of a table would be deleted."""
    for arrival in arrivals:
        with _told(arrival.plan.label):
            gone, there = arrival.gone()
        if gone * 2 > there and not everything:
            raise SyncFailed(
                f"{arrival.plan.label}: {gone} of {there} rows there would be deleted, more than half",
                hint="look whether the right rows are chosen of the right database; if it is meant: --delete-all",
            )


def _delete_all(arrivals: Sequence[Arrival]) -> dict[str, int]:
    deleted = {}
    for arrival in reversed(arrivals):
        with _told(arrival.plan.label):
            deleted[arrival.plan.label] = arrival.delete()
    return deleted


def _merge_all(arrivals: Sequence[Arrival]) -> dict[str, tuple[int, int]]:
    merged = {}
    for arrival in arrivals:
        with _told(arrival.plan.label):
            merged[arrival.plan.label] = arrival.merge()
    return merged


def _cascades(target: Connection, plans: Sequence[TablePlan]) -> list[Problem]:
    """Foreign keys there by which a row that is deleted would take rows of tables with it that are not chosen."""
    oids = [each.there.oid for each in plans if each.there]
    query = """
        SELECT conrelid::regclass::text, conname, confrelid::regclass::text FROM pg_constraint
        WHERE contype = 'f' AND confdeltype IN ('c', 'n', 'd') AND conparentid = 0
          AND confrelid = ANY (%(oids)s::oid[]) AND conrelid <> ALL (%(oids)s::oid[])"""
    hint = "choose that table too, or let the foreign key there be without ON DELETE, or sync without --delete"
    return [
        Problem(text=f"--delete would change rows of {table} there, by its foreign key {key} to {to}", hint=hint)
        for table, key, to in target.execute(query, {"oids": oids})
    ]


def _refuse_the_same(rows: RowsReading, target: Connection) -> None:
    """The server's own identifier tells it, and where it may not be read, the database's number and server's start."""
    fingerprint = read_fingerprint(target)
    known = bool(fingerprint and rows.fingerprint)
    if fingerprint == rows.fingerprint if known else read_source(target) == rows.source:
        raise ConfigurationError(
            "the second database is the first one",
            hint="give another one in PGPROOF_SYNC_URL; a standby is the same too",
        )


def _set_as_written(target: Connection) -> None:
    """Read values as they were written."""
    names = ("datestyle", "intervalstyle", "timezone", "xmloption", "array_nulls", "lc_monetary", "row_security")
    for name in names:
        target.execute("SELECT set_config(%(name)s, %(value)s, false)", {"name": name, "value": AS_WRITTEN[name]})
    target.execute(
        """SELECT set_config(name, '2s', false) FROM pg_settings
        WHERE name = 'client_connection_check_interval' AND version() ~ 'linux'"""
    )


@contextmanager
def _told(table: str | None = None) -> Iterator[None]:
    """Errors of the second database as failures of ours, with the table."""
    where = f"{table}: " if table else ""
    try:
        yield
    except psycopg.Error as error:
        if is_lost(error):
            raise
        said = error.diag.message_primary or str(error)
        if isinstance(error, sql_errors.InsufficientPrivilege):
            raise AccessDenied(
                f"{where}the second database refuses us: {said}",
                hint="the role needs CREATE on the schema, and SELECT, INSERT, UPDATE and DELETE on the tables",
            ) from error
        raise SyncFailed(
            f"{where}the second database does not take the rows: {said}",
            detail=error.diag.message_detail,
            hint="nothing was changed there",
        ) from error
