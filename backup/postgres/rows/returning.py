"""Rows come back into tables that are there, in one transaction of the caller's.

Owns the order of things: all problems first, then what stands in the way is put aside, the rows, every foreign key at
once, what was put aside is put back, sequences. Whatever fails, the caller's rollback leaves the database as it was.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count

import psycopg
from psycopg import errors as sql_errors
from psycopg import sql

from backup.domain.row_return import ReturnedTable, in_order, problems_of
from backup.domain.row_sync import TablePlan
from backup.domain.rows import Catalogue, ChosenTable, Problem, Relation, TableChoice
from backup.errors import AccessDenied, RestoreFailed
from backup.logs import log
from backup.postgres.connection import Connection, is_lost
from backup.postgres.rows.arrival import Arrival
from backup.postgres.rows.easing import Easing, read_triggers
from backup.postgres.rows.lines import NUMBER, Filling, RowStream
from backup.postgres.rows.misfits import TOLD, told_row, write_rows
from backup.postgres.rows.permission import rights_on, temporary_tables
from backup.postgres.rows.positions import Numbering, read_numberings
from backup.postgres.rows.query import verbatim
from backup.postgres.rows.reading import refusal
from backup.postgres.session import VALUES_AS_THEY_ARE, own_path

__all__ = ["ReturnPlan", "RowStream", "bring_back", "plan_return", "put_rows"]

_NUMBERS = count()

_OF_KEYS = (sql_errors.ForeignKeyViolation, sql_errors.UniqueViolation, sql_errors.ExclusionViolation)
"""Errors whose detail is a key; that of others may be a whole row, which may hold what nobody should see."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnPlan:
    """Rows that can come back, as far as that is known before: in this order.

    Attributes:
        order: the tables.
        easing: what is put aside meanwhile.
    """

    order: tuple[Relation, ...]
    streams: Mapping[int, Sequence[RowStream]] = field(repr=False)
    easing: Easing
    numberings: tuple[Numbering, ...]
    upsert: bool


def put_rows(connection: Connection, stream: RowStream) -> int:
    """Insert all of a stream into its table, in the caller's transaction; returns how many rows were inserted.

    Generated columns are left to the server, identities are taken as they come. Sequences stay where they are.

    Raises:
        RestoreFailed: rows do not fit; names them. Or the server does not take them.
        AccessDenied: rights are missing.
        PgproofError: what the stream's reader raises.
    """
    with _told(stream.relation.label):
        _read_as_written(connection)
    return _insert(connection, stream)[1]


def bring_back(
    connection: Connection,
    streams: Sequence[RowStream],
    catalogue: Catalogue,
    *,
    upsert: bool,
    disable_triggers: bool,
) -> tuple[ReturnedTable, ...]:
    """Bring rows back into tables that are there; returns what came of each, in the order of their names.

    Args:
        connection: in a transaction, which is to be rolled back where this raises. In the end every constraint in it
            is immediate.
        streams: of one table there may be several, which come in this order.
        catalogue: of the database, as `read_catalogue` reads it.
        upsert: rows that are there already are updated, where they differ; else they are an error.
        disable_triggers: those of users do not fire; afterwards each is as it was.

    Raises:
        ConfigurationError: the rows do not fit the tables, with a line for every problem; nothing was done.
        AccessDenied: rights are missing, with the GRANTs.
        RestoreFailed: rows do not fit; names them. Or the server does not take them.
        PgproofError: what a stream's reader raises.
    """
    plan = plan_return(connection, streams, catalogue, upsert=upsert, disable_triggers=disable_triggers)
    return carry_out(connection, plan)


def plan_return(
    connection: Connection,
    streams: Sequence[RowStream],
    catalogue: Catalogue,
    *,
    upsert: bool,
    disable_triggers: bool,
    problems: Sequence[Problem] = (),
) -> ReturnPlan:
    """Find out everything that can be known before anything is changed, and change nothing.

    `problems`: what else is known to be wrong; all is told at once. Else as `bring_back`.
    """
    by_oid: dict[int, list[RowStream]] = defaultdict(list)
    for stream in streams:
        by_oid[stream.relation.oid].append(stream)
    relations = [each[0].relation for each in by_oid.values()]
    wrong = list(problems)
    alterable = {}
    for relation in relations:
        for stream in by_oid[relation.oid]:
            wrong += problems_of(relation, stream.columns, catalogue, upsert=upsert)
        columns = sorted({name for stream in by_oid[relation.oid] for name in stream.columns if relation.column(name)})
        alterable[relation.oid], lacking = rights_on(connection, relation, columns, catalogue.role, upsert=upsert)
        wrong += lacking
    order, waiting = in_order(relations, {oid for oid, may in alterable.items() if may})
    triggers = read_triggers(connection, list(by_oid)) if disable_triggers else ()
    easing = Easing(waiting=waiting, triggers=triggers)
    numberings = read_numberings(connection, relations)
    wrong += easing.problems(alterable, catalogue.role)
    for numbering in numberings:
        wrong += numbering.problems(catalogue.role)
    wrong += temporary_tables(connection, catalogue.role)
    if wrong:
        raise refusal(list(dict.fromkeys(wrong)), about="with the rows or the tables that they come into")
    return ReturnPlan(order=order, streams=by_oid, easing=easing, numberings=numberings, upsert=upsert)


def carry_out(connection: Connection, plan: ReturnPlan) -> tuple[ReturnedTable, ...]:
    """Do what was planned in the same transaction; as `bring_back`."""
    done = []
    with _told():
        _read_as_written(connection)
        plan.easing.put_aside(connection)
    with own_path(connection):
        for relation in plan.order:
            bring = _merge if plan.upsert else _insert
            figures = [bring(connection, stream) for stream in plan.streams[relation.oid]]
            read, inserted, updated, unchanged = (sum(each) for each in zip(*figures, strict=True))
            table = relation.label
            done.append(ReturnedTable(table=table, read=read, inserted=inserted, updated=updated, unchanged=unchanged))
            log.info("rows written", table=table, read=read, inserted=inserted, updated=updated)
        with _told():
            connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    with _told():
        plan.easing.put_back(connection)
        for numbering in plan.numberings:
            numbering.advance(connection)
    return tuple(sorted(done, key=lambda each: each.table))


def _insert(connection: Connection, stream: RowStream) -> tuple[int, int, int, int]:
    label = stream.relation.label
    with _told(label):
        read, written = Filling(connection=connection, stream=stream, into=_table(stream.relation)).run()
    if written < read:
        log.warning("a trigger kept rows from the table", table=label, rows=read - written)
    return read, written, 0, 0


def _merge(connection: Connection, stream: RowStream) -> tuple[int, int, int, int]:
    relation = stream.relation
    columns = tuple(each for each in relation.columns if each.name in stream.columns and not each.generated)
    if relation.key is None:
        raise AssertionError("a table without a key was refused before")
    plan = TablePlan(
        table=ChosenTable(relation=relation, choice=TableChoice(), columns=columns),
        there=relation,
        key=relation.key,
        columns=columns,
    )
    arrival = Arrival(connection=connection, plan=plan, number=next(_NUMBERS))
    with _told(relation.label):
        arrival.prepare()
        arrival.open(NUMBER)
        read, _ = Filling(connection=connection, stream=stream, into=arrival.arrived, numbered=True).run()
        arrival.analyze()
        _refuse_twice(arrival)
        inserted, updated = arrival.compare()
        unchanged = read - inserted - updated
        if inserted or updated:
            written = write_rows(
                connection,
                (stream.first, stream.first + read - 1),
                lambda first, last: arrival.write(
                    verbatim(" WHERE {} BETWEEN {} AND {}").format(
                        sql.Identifier(NUMBER), sql.Literal(first), sql.Literal(last)
                    )
                ),
                lambda number: told_row(number, arrival.key_of(NUMBER, number)),
                table=relation.label,
            )
            inserted, updated = arrival.came((inserted, updated), written)
        arrival.close()
    return read, inserted, updated, unchanged


def _refuse_twice(arrival: Arrival) -> None:
    found = arrival.twice(NUMBER, TOLD)
    if found:
        key = arrival.plan.key.columns
        lines = (
            f"rows {', '.join(map(str, numbers))} ({', '.join(map(' '.join, zip(key, values, strict=True)))})"
            for numbers, values in found
        )
        raise RestoreFailed(
            f"{arrival.plan.label}: rows have the same key",
            detail="\n".join(lines),
            hint="nothing was changed; leave only one row for each key",
        )


def _table(relation: Relation) -> sql.Identifier:
    return sql.Identifier(relation.schema, relation.name)


def _read_as_written(connection: Connection) -> None:
    """Let the transaction read values as ours are written."""
    for name, value in VALUES_AS_THEY_ARE.items():
        connection.execute("SELECT pg_catalog.set_config(%(name)s, %(value)s, true)", {"name": name, "value": value})


@contextmanager
def _told(table: str | None = None) -> Iterator[None]:
    """Errors of the server as failures of ours, with the table."""
    where = f"{table}: " if table else ""
    try:
        yield
    except psycopg.Error as error:
        if is_lost(error):
            raise
        said = error.diag.message_primary or str(error)
        if isinstance(error, sql_errors.InsufficientPrivilege):
            raise AccessDenied(f"{where}the database refuses us: {said}", hint="nothing was changed") from error
        locked = isinstance(error, sql_errors.LockNotAvailable)
        raise RestoreFailed(
            f"{where}the database does not take the rows: {said}",
            detail=error.diag.message_detail if isinstance(error, _OF_KEYS) else None,
            hint="nothing was changed" + ("; another session holds a lock, see PGPROOF_LOCK_WAIT_TIMEOUT" * locked),
        ) from error
