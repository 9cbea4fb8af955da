"""Brings chosen rows into a second database: one snapshot there to read, one transaction here to write.

Owns the order of things and what a failure means. Whatever happens before the commit, the second database is as it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import errors as sql_errors
from psycopg import sql

from backup.domain.row_sync import SyncedTable, TablePlan, plan_sync
from backup.errors import AccessDenied, ConfigurationError, SyncFailed
from backup.logs import log
from backup.postgres.address import Address
from backup.postgres.connection import Connection, connect, is_lost
from backup.postgres.rows.arrival import Arrival
from backup.postgres.rows.catalogue import read_catalogue, search_path
from backup.postgres.rows.query import plain_query
from backup.postgres.rows.reading import AS_WRITTEN, RowsReading, refusal
from backup.postgres.rows.types import plan_types
from backup.postgres.session import keep_alive, settle
from backup.postgres.snapshot import read_fingerprint, read_source


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

    def run(self, rows: RowsReading, *, delete: bool = False, delete_all: bool = False) -> tuple[SyncedTable, ...]:
        """Make the chosen tables there as they are in the snapshot, as far as they were chosen.

        Args:
            rows: the snapshot.
            delete: rows there that are not among the chosen ones go.
            delete_all: even where that is more than half of a table.

        Raises:
            ConfigurationError: it is the same database, or its tables do not fit, with a line for every problem.
            SyncFailed: it does not take the rows, or too many would be deleted.
            AccessDenied: rights are missing there.
            DumpFailed: the rows could not be read.
            DatabaseUnreachable, DatabaseMissing: as `connect`.
        """
        with connect(self.address.direct(), connect_timeout=self.connect_timeout) as target:
            path = search_path(target)
            settle(target)
            keep_alive(target)
            _refuse_the_same(rows, target)
            _set_as_written(target)
            target.execute("SELECT set_config('lock_timeout', %(time)s, false)", {"time": f"{self.lock_wait_timeout}s"})
            with _told(), target.transaction():
                target.execute("SET CONSTRAINTS ALL DEFERRED")
                plans, problems = plan_sync(rows.chosen, read_catalogue(target, path))
                types = plan_types(rows, target, plans)
                if problems or types.problems:
                    raise refusal([*problems, *types.problems])
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
                condition = None if delete else self._condition(arrival)
                query = plain_query(plan.table, [each.name for each in plan.columns], condition=condition)
                with rows.open_copy(plan.table, query) as reader:
                    read[plan.label] = arrival.load(reader)
        deleted = dict.fromkeys(read, 0)
        for arrival in reversed(arrivals) if delete else ():
            with _told(arrival.plan.label):
                deleted[arrival.plan.label] = _delete(arrival, everything=delete_all)
        done = []
        for arrival in arrivals:
            label = arrival.plan.label
            with _told(label):
                inserted, updated = arrival.merge()
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

    def _condition(self, arrival: Arrival) -> sql.Composable | None:
        """By which only what may have changed is read; None for all, as where a column is new there."""
        plan, column = arrival.plan, arrival.plan.table.choice.since_column
        if column is None or plan.there is None or plan.added:
            return None
        newest = arrival.newest(column, self.overlap)
        if newest is None:
            return None
        log.info("only what changed is read", table=plan.label, since=newest)
        named = sql.Identifier(plan.table.relation.name, column)
        return sql.SQL("{0} >= {1} OR {0} IS NULL").format(named, sql.Literal(newest))


def _delete(arrival: Arrival, *, everything: bool) -> int:
    gone, there = arrival.gone()
    if gone * 2 > there and not everything:
        raise SyncFailed(
            f"{arrival.plan.label}: {gone} of {there} rows there would be deleted, more than half",
            hint="look whether the right rows are chosen of the right database; if it is meant: --delete-all",
        )
    return arrival.delete() if gone else 0


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
    for name in ("datestyle", "intervalstyle", "timezone", "xmloption", "lc_monetary", "row_security"):
        target.execute("SELECT set_config(%(name)s, %(value)s, false)", {"name": name, "value": AS_WRITTEN[name]})


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
