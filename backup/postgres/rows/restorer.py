"""The way back for backups of the rows engine: a new database from the kept schema, or rows into tables that are there.

Owns the order of its steps. Both ways are one transaction. What the kept schema cannot make again without functions and
the like is left out, and said.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import psycopg
from psycopg import sql

from backup.domain.kept_schema import SCHEMA_LIMIT, KeptPosition, KeptSchema, KeptTable, Stage
from backup.domain.manifest import Manifest, Part
from backup.domain.row_return import ReturnedTable
from backup.domain.rows import Catalogue
from backup.domain.words import nearest
from backup.errors import DAMAGED, IntegrityFailed, NotFound, RestoreFailed, UsageError
from backup.logs import log
from backup.ports import OpenPart, RestoreChoice, RestorePlan, RestoreReport
from backup.postgres.address import Address
from backup.postgres.connection import Connection, connect, is_lost
from backup.postgres.destination import Destination, listed, read_destination
from backup.postgres.new_database import creation, new_database, passing_name
from backup.postgres.restore_job import RestoreOptions, entrance, refuse_database
from backup.postgres.rights import attempt, not_done
from backup.postgres.rows.catalogue import read_catalogue
from backup.postgres.rows.positions import read_numberings
from backup.postgres.rows.returning import ReturnPlan, RowStream, carry_out, plan_return, put_rows
from backup.postgres.session import keep_alive, settle, wait_for_locks
from backup.postgres.snapshot import pin
from backup.stream.readers import drain, read_exactly

_WITHOUT = "not in this kind of backup: views, functions, triggers, policies, owners, grants, roles, large objects"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """A restore that may begin."""

    choice: RestoreChoice
    destination: Destination
    connection: Connection = field(repr=False)
    address: Address
    kept: KeptSchema
    tables: tuple[KeptTable, ...]
    parts: Mapping[str, Part]
    open_part: OpenPart

    @property
    def database(self) -> str:
        """Where the rows will be."""
        return self.connection.info.dbname if self.choice.in_place else self.choice.into

    @property
    def notes(self) -> tuple[str, ...]:
        notes = [_WITHOUT]
        if self.kept.missing:
            notes.append(f"tables that could not be read when it was made: {listed(self.kept.missing)}")
        if cut := [each.plain for each in self.tables if not each.whole]:
            notes.append(f"not all rows or columns of these are in it: {listed(cut)}")
        if len(self.tables) < len(self.kept.tables):
            notes.append(f"rows of {listed(each.plain for each in self.tables)} only")
        return tuple(notes)

    def streams(self, catalogue: Catalogue) -> list[RowStream]:
        """The rows on their way into the tables that a catalogue has. Raises NotFound where it lacks some."""
        there = {(each.schema, each.name): each for each in catalogue.relations}
        if lost := [each.plain for each in self.tables if (each.schema, each.name) not in there]:
            raise NotFound(
                f"{self.database} has no table {listed(lost)}",
                hint="restore into a new database (without --in-place), or choose tables that are there: --table",
            )
        return [
            RowStream(
                relation=there[each.schema, each.name],
                columns=each.columns,
                as_text=frozenset(each.as_text),
                open=partial(self.open_part, self.parts[each.part]),
            )
            for each in self.tables
        ]

    def returning(self) -> ReturnPlan:
        """How the rows come into tables that are there."""
        catalogue = read_catalogue(self.connection, [])
        return plan_return(
            self.connection,
            self.streams(catalogue),
            catalogue,
            upsert=self.choice.upsert,
            disable_triggers=self.choice.disable_triggers,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsRestorer:
    """Restores backups of the rows engine, without any client program."""

    address: Address
    environ: Mapping[str, str]
    options: RestoreOptions

    def plan(self, backup: Manifest, open_part: OpenPart, choice: RestoreChoice) -> RestorePlan:
        """What a restore would do; changes nothing."""
        with self._prepare(backup, open_part, choice) as job:
            if choice.in_place:
                job.returning()
            return RestorePlan(
                database=job.database,
                server=job.destination.version,
                client="none, pgproof brings the rows back itself",
                steps=tuple(_steps(job)),
                notes=job.notes,
            )

    def restore(self, backup: Manifest, open_part: OpenPart, choice: RestoreChoice) -> RestoreReport:
        """Plan, and carry it out."""
        begun = time.monotonic()
        with self._prepare(backup, open_part, choice) as job:
            checked = time.monotonic()
            log.info("restoring", phase="load")
            notes = [*job.notes]
            returned: tuple[ReturnedTable, ...] = ()
            if choice.in_place:
                with job.connection.transaction():
                    returned = carry_out(job.connection, job.returning())
            else:
                notes += self._fill_new(job)
            loaded = time.monotonic()
            return RestoreReport(
                database=job.database,
                notes=tuple(notes),
                seconds={"checks": round(checked - begun, 3), "load": round(loaded - checked, 3)},
                tables=None if len(job.tables) == len(job.kept.tables) else frozenset(t.plain for t in job.tables),
                whole_schema=False,
                returned=returned,
            )

    @contextmanager
    def _prepare(self, backup: Manifest, open_part: OpenPart, choice: RestoreChoice) -> Iterator[_Job]:
        if choice.replace:
            raise UsageError(
                "a backup of rows has no functions, views and the like: it cannot take the place of a database",
                hint="restore it into a new database, or its rows into the tables that are there: --in-place",
            )
        self.address.refuse_hidden_secrets()
        kept = _read_kept(backup, open_part)
        tables = _chosen(kept, choice.tables)
        with entrance(self.address.direct(), self.options, in_place=choice.in_place) as connection:
            destination = read_destination(connection)
            refuse_database(choice, destination, self.address)
            if choice.in_place:
                keep_alive(connection)
                wait_for_locks(connection, self.options.lock_wait_timeout)
            yield _Job(
                choice=choice,
                destination=destination,
                connection=connection,
                address=pin(self.address.direct(), connection, connect_timeout=self.options.connect_timeout),
                kept=kept,
                tables=tables,
                parts=_parts(backup, tables),
                open_part=open_part,
            )

    def _fill_new(self, job: _Job) -> list[str]:
        passing = passing_name(job.choice.into)
        statement, notes = creation(job.kept.creation, passing, job.destination)
        reach = partial(self._reach, job)
        with (
            new_database(
                job.connection, statement, passing=passing, name=job.choice.into, owner=None, reach=reach
            ) as last_notes,
            reach(passing) as connection,
        ):
            with connection.transaction():
                made = list(_fill(connection, job))
            analysis = list(attempt(connection, "ANALYZE")) if self.options.analyze else []
        return [*notes, *made, *analysis, *last_notes]

    @contextmanager
    def _reach(self, job: _Job, database: str) -> Iterator[Connection]:
        address = job.address.with_database(database).with_options(self.options.settings, self.environ)
        with connect(address, connect_timeout=self.options.connect_timeout) as connection:
            settle(connection)
            yield connection


def _read_kept(backup: Manifest, open_part: OpenPart) -> KeptSchema:
    with open_part(backup.leading) as content:
        data = read_exactly(content, SCHEMA_LIMIT)
        drain(content)
    return KeptSchema.from_json(data, where=f"{backup.target}/{backup.id}")


def _chosen(kept: KeptSchema, names: Sequence[str]) -> tuple[KeptTable, ...]:
    """The tables that are meant, in the order in which they are kept. Raises NotFound where a name means none."""
    if not names:
        return kept.tables
    meant = {}
    for table in kept.tables:
        for name in (table.quoted, table.plain, *([table.name] if table.schema == "public" else [])):
            meant[name] = table
    for table in kept.tables:
        meant.setdefault(table.name, table)
    for name in names:
        if name not in meant:
            raise NotFound(
                f"there are no rows of a table {name} in the backup{nearest(name, meant)}",
                hint="give its name, or schema.name",
            )
    wanted = {meant[name].part for name in names}
    return tuple(table for table in kept.tables if table.part in wanted)


def _parts(backup: Manifest, tables: Sequence[KeptTable]) -> dict[str, Part]:
    parts = {part.name: part for part in backup.parts}
    if lost := [table.part for table in tables if table.part not in parts]:
        raise IntegrityFailed(f"backup {backup.id} lacks {listed(lost)}", hint=DAMAGED)
    return parts


def _fill(connection: Connection, job: _Job) -> Iterator[str]:
    """Make the schema, the rows and the keys; yields what could not be made."""
    yield from _make_all(connection, job, "before")
    streams = job.streams(read_catalogue(connection, []))
    for stream in streams:
        put_rows(connection, stream)
    yield from _make_all(connection, job, "after")
    for position in job.kept.positions:
        _place(connection, position)
    placed = {each.quoted for each in job.kept.positions}
    numberings = read_numberings(connection, [each.relation for each in streams])
    if left := [each for each in numberings if each.quoted not in placed]:
        for numbering in left:  # else it would give numbers that are there
            numbering.advance(connection)
        names = listed(dict.fromkeys(each.quoted for each in left))
        yield f"where these sequences stood could not be read, they are set past the rows: {names}"


def _make_all(connection: Connection, job: _Job, stage: Stage) -> Iterator[str]:
    """Make all objects of a stage, in rounds: what needs another that is made later is made in the next one.

    Yields a note for each that could not be made, or not as it was.

    Raises:
        RestoreFailed: a table cannot be made whose rows are wanted.
    """
    left = [each for each in job.kept.statements if each.stage == stage]
    while left:
        errors = [_refusal(connection, each.sql) for each in left]
        refused = [each for each, error in zip(left, errors, strict=True) if error]
        if len(refused) < len(left):
            left = refused
            continue
        tables = {table.quoted for table in job.tables}
        for statement, error in zip(left, errors, strict=True):
            if error is None:
                raise AssertionError("all of these were refused")
            yield not_done(statement.sql, error)
            last = _refusal(connection, statement.otherwise) if statement.otherwise else error
            if last and statement.kind == "table" and statement.name in tables:
                raise RestoreFailed(
                    f"the table {statement.name} cannot be made again",
                    detail=str(last).strip(),
                    hint="what it needs is not kept in a backup of rows; restore the other tables (--table), or make"
                    " it by hand and bring the rows into it (--in-place)",
                ) from last
        return


def _refusal(connection: Connection, text: str) -> psycopg.Error | None:
    """Make one object; why the server refuses it."""
    try:
        with connection.transaction():
            connection.execute(text.encode())
    except psycopg.Error as error:
        if is_lost(error):
            raise
        return error
    return None


def _place(connection: Connection, position: KeptPosition) -> None:
    """Set a sequence to where it stood; one is not there if it is of a table that could not be made."""
    form = """SELECT pg_catalog.setval(s.found, {value}, {called})
        FROM (SELECT pg_catalog.to_regclass({name}) AS found) AS s WHERE s.found IS NOT NULL"""
    connection.execute(
        sql.SQL(form).format(
            name=sql.Literal(position.quoted), value=sql.Literal(position.value), called=sql.Literal(position.called)
        )
    )


def _steps(job: _Job) -> Iterator[str]:
    count = len(job.tables)
    tables = f"{count} table{'s' * (count != 1)}"
    if job.choice.in_place:
        how = "insert or update" if job.choice.upsert else "insert"
        yield f"{how} the rows of {tables} in {job.connection.info.dbname}, in one transaction"
        return
    yield f"create a database like the source, named {job.choice.into} when it is done"
    yield f"make the tables of the kept schema, load the rows of {tables}, make keys and indexes, in one transaction"
