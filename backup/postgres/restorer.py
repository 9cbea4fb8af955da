"""The way back into PostgreSQL: what would be done, and doing it. Owns the order of a restore's steps."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from backup.domain.manifest import Manifest
from backup.domain.sql import quote_identifier
from backup.domain.toc import Entry, droppable, find_tables, index_steps, select
from backup.errors import AccessDenied, DatabaseMissing, RestoreFailed, UsageError
from backup.logs import log
from backup.ports import OpenDump, RestoreChoice, RestorePlan, RestoreReport
from backup.postgres.address import Address
from backup.postgres.archive import HEAD_LIMIT, Archive, open_archive, read_through
from backup.postgres.clients import Client, choose
from backup.postgres.connection import Connection, connect
from backup.postgres.in_place import notes_in_place, refuse_newer_dependents, refuse_too_few_locks
from backup.postgres.load import Loader
from backup.postgres.new_database import apply_properties, creation, new_database, passing_name
from backup.postgres.rights import (
    Rights,
    apply_afterwards,
    database_owner,
    plan_rights,
    refuse_missing_extensions,
)
from backup.postgres.snapshot import lift_timeouts, pin
from backup.postgres.target import Target, listed, read_target
from backup.stream.readers import ByteReader

_RUN_AS_OWNER_SINCE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreOptions:
    """What the user may say of every restore.

    Attributes:
        settings: of the sessions that load, for example synchronous_commit.
        analyze: gather statistics in the end.
        maintenance_database: where CREATE DATABASE is said.
        head_limit: bytes of a table of contents that may be kept in a file.
    """

    settings: Mapping[str, str] = field(default_factory=dict)
    analyze: bool = True
    maintenance_database: str = "postgres"
    connect_timeout: int = 10
    head_limit: int = HEAD_LIMIT


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """A restore that has passed every check."""

    choice: RestoreChoice
    target: Target
    archive: Archive
    entries: tuple[Entry, ...]
    rights: Rights
    chosen: frozenset[int] | None
    notes: tuple[str, ...]
    address: Address
    connection: Connection
    database: str

    @property
    def listed_entries(self) -> tuple[Entry, ...] | None:
        """What pg_restore shall carry out, where that is not simply everything."""
        if self.chosen is None and not self.rights.skipped:
            return None
        return tuple(
            entry
            for entry in self.entries
            if (self.chosen is None or entry.number in self.chosen) and entry.number not in self.rights.skipped
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresRestorer:
    """Restores dumps of the pgdump engine through the installed clients."""

    address: Address
    clients: tuple[Client, ...]
    environ: Mapping[str, str]
    options: RestoreOptions

    def plan(self, backup: Manifest, open_dump: OpenDump, choice: RestoreChoice) -> RestorePlan:
        """What a restore would do; changes nothing."""
        with self._prepare(backup, open_dump, choice) as job:
            return RestorePlan(
                database=job.database,
                server=job.target.version,
                client=job.archive.client.version,
                steps=tuple(_steps(job)),
                notes=job.notes,
            )

    def restore(self, backup: Manifest, open_dump: OpenDump, choice: RestoreChoice) -> RestoreReport:
        """Plan, and carry it out."""
        begun = time.monotonic()
        with self._prepare(backup, open_dump, choice) as job:
            seconds = {"checks": time.monotonic() - begun}
            for note in job.notes:
                log.warning(note)
            late_notes = list(self._replace_objects(job, seconds) if choice.in_place else self._fill_new(job, seconds))
        return RestoreReport(
            database=job.database,
            notes=(*job.notes, *late_notes),
            seconds={phase: round(value, 3) for phase, value in seconds.items()},
        )

    def read_through(self, backup: Manifest, dump: ByteReader) -> None:
        """Let pg_restore read all of a dump, to nowhere."""
        client = choose(self.clients, server=0, archive=backup.tool.major)
        read_through(client, dump, self.address.environment(self.environ))

    @contextmanager
    def _prepare(self, backup: Manifest, open_dump: OpenDump, choice: RestoreChoice) -> Iterator[_Job]:
        if choice.in_place and choice.tables:
            raise UsageError("--table cannot be restored in place", hint="restore the tables into a new database")
        with self._connect(in_place=choice.in_place) as connection:
            target = read_target(connection)
            client = choose(self.clients, server=target.major, archive=backup.tool.major)
            _refuse_database(choice, target)
            environment = self.address.environment(self.environ)
            with open_archive(open_dump, client, environment, head_limit=self.options.head_limit) as archive:
                entries = archive.entries()
                chosen, notes = _choose_tables(entries, choice.tables)
                restored = [entry for entry in entries if chosen is None or entry.number in chosen]
                refuse_missing_extensions(restored, target)
                rights = plan_rights(restored, target, owner=choice.owner, privileges=choice.privileges)
                rights = _without_newer_subscriptions(rights, restored, backup.tool.major, target)
                rights = _without_missing_tablespaces(rights, restored, target)
                if choice.in_place:
                    _refuse_in_place(connection, entries, client, target)
                    notes += notes_in_place(connection)
                yield _Job(
                    choice=choice,
                    target=target,
                    archive=archive,
                    entries=entries,
                    rights=rights,
                    chosen=chosen,
                    notes=(*notes, *rights.notes),
                    address=pin(self.address, connection),
                    connection=connection,
                    database=connection.info.dbname if choice.in_place else choice.into,
                )

    @contextmanager
    def _connect(self, *, in_place: bool) -> Iterator[Connection]:
        """To the database that is replaced, or to one from which another can be made."""
        address = self.address.direct()
        timeout = self.options.connect_timeout
        if in_place:
            with connect(address, connect_timeout=timeout) as connection:
                lift_timeouts(connection)
                yield connection
            return
        with ExitStack() as stack:
            for database in (self.options.maintenance_database, "template1"):
                with suppress(DatabaseMissing, AccessDenied):
                    place = address.with_database(database)
                    connection = stack.enter_context(connect(place, connect_timeout=timeout))
                    break
            else:
                connection = stack.enter_context(connect(address, connect_timeout=timeout))
            lift_timeouts(connection)
            yield connection

    def _fill_new(self, job: _Job, seconds: dict[str, float]) -> Iterator[str]:
        place, passing = job.connection.info.dbname, passing_name(job.choice.into)
        statement, notes = creation(job.entries, passing, job.target)
        yield from notes
        reach = partial(self._reach, job)
        with new_database(job.connection, statement, passing=passing, name=job.choice.into, reach=reach):
            loader = self._loader(job, passing)
            with _timed(seconds, "load"), job.archive.open_dump() as dump:
                loader.run(["--section=pre-data", "--section=data", *_list_option(job)], dump)
            with _timed(seconds, "indexes"):
                self._build_indexes(job, loader)
            with _timed(seconds, "finish"):
                yield from self._finish(job, passing)
                with self._reach(job, place) as connection:
                    yield from apply_properties(connection, job.entries, passing, privileges=job.choice.privileges)
                    yield from _give_away(job, connection, passing)

    def _build_indexes(self, job: _Job, loader: Loader) -> None:
        if job.archive.head is None:
            with job.archive.open_dump() as dump:
                loader.run(["--section=post-data", *_list_option(job)], dump)
            return
        jobs = job.choice.jobs
        for number, step in enumerate(index_steps(job.entries) if jobs > 1 else (None,)):
            at_once = 1 if number == 1 else jobs
            loader.run(["--section=post-data", *_list_option(job, step), f"--jobs={at_once}", str(job.archive.head)])

    def _replace_objects(self, job: _Job, seconds: dict[str, float]) -> Iterator[str]:
        loader = self._loader(job, job.database)
        with _timed(seconds, "load"), job.archive.open_dump() as dump:
            loader.run(["--clean", "--if-exists", "--single-transaction", *_list_option(job)], dump)
        with _timed(seconds, "finish"):
            yield from self._finish(job, job.database)

    def _finish(self, job: _Job, database: str) -> Iterator[str]:
        """Owners and grants that pg_restore was not to set, and the planner's statistics."""
        with self._reach(job, database) as connection:
            connection.execute("SELECT set_config('search_path', '', false)")
            yield from apply_afterwards(connection, [*job.rights.afterwards, *["ANALYZE"] * self.options.analyze])

    @contextmanager
    def _reach(self, job: _Job, database: str) -> Iterator[Connection]:
        """Connect to a database of the server that is restored into."""
        with connect(job.address.with_database(database), connect_timeout=self.options.connect_timeout) as connection:
            lift_timeouts(connection)
            yield connection

    def _loader(self, job: _Job, database: str) -> Loader:
        return Loader(
            client=job.archive.client,
            address=job.address.with_database(database).with_options(self.options.settings, self.environ),
            server=job.target.major,
            environ=self.environ,
            arguments=job.rights.arguments,
        )


def _choose_tables(entries: Sequence[Entry], wanted: tuple[str, ...]) -> tuple[frozenset[int] | None, list[str]]:
    if not wanted:
        return None, []
    tables = find_tables(entries, wanted)
    selection = select(entries, tables)
    notes = [f"rows of {', '.join(tables.values())} only; all other tables stay empty"]
    if selection.cut_keys:
        notes.append(f"foreign keys left out, their other table is not loaded: {listed(selection.cut_keys)}")
    if any(entry.kind in {"BLOBS", "BLOB"} for entry in entries):
        notes.append("large objects are left out")
    return selection.numbers, notes


def _refuse_database(choice: RestoreChoice, target: Target) -> None:
    if choice.in_place:
        return
    if choice.into in target.databases:
        raise UsageError(
            f"the database {choice.into} exists already",
            hint="give another name with --into, or replace what is in it with --in-place",
        )
    if not target.may_create:
        raise AccessDenied(
            f"{target.user} may not create a database",
            hint=f"ALTER ROLE {quote_identifier(target.user)} CREATEDB, or restore with --in-place",
        )


def _refuse_in_place(connection: Connection, entries: Sequence[Entry], client: Client, target: Target) -> None:
    if Loader(client=client, address=Address({}), server=target.major, environ={}).knows_less:
        raise RestoreFailed(
            f"pg_restore {client.version} cannot restore in one transaction into PostgreSQL {target.major}: it sets"
            " transaction_timeout first, which that server does not know",
            hint=f"install postgresql-client-{target.major} if the backup is not newer than that, or restore into a"
            " new database (without --in-place)",
        )
    refuse_too_few_locks(connection, entries)
    refuse_newer_dependents(connection, entries)


def _without_missing_tablespaces(rights: Rights, entries: Sequence[Entry], target: Target) -> Rights:
    missing = {entry.tablespace for entry in entries if entry.tablespace} - target.tablespaces
    if not missing:
        return rights
    return replace(
        rights,
        arguments=(*rights.arguments, "--no-tablespaces"),
        notes=(*rights.notes, f"tablespaces are not on this server, the default one is used: {listed(missing)}"),
    )


def _without_newer_subscriptions(rights: Rights, entries: Sequence[Entry], dumped_by: int, target: Target) -> Rights:
    """Leave out what pg_dump 16 and newer writes of subscriptions where the server does not know run_as_owner."""
    if not dumped_by >= _RUN_AS_OWNER_SINCE > target.major:
        return rights
    lost = {entry.number: entry.name for entry in entries if entry.kind == "SUBSCRIPTION"}
    if not lost:
        return rights
    about = {entry.number for entry in entries if entry.kind == "COMMENT" and lost.keys() & set(entry.depends)}
    note = f"subscriptions left out, PostgreSQL {target.major} cannot read what pg_dump {dumped_by} writes of them"
    return replace(
        rights,
        skipped=rights.skipped | lost.keys() | about,
        notes=(*rights.notes, f"{note}: {listed(lost.values())}"),
    )


def _list_option(job: _Job, step: frozenset[int] | None = None) -> list[str]:
    """`--use-list` with a file beside the head, where not everything is restored, or not in one step, or in order."""
    entries = job.listed_entries
    if entries is None and step is None and not job.choice.in_place:
        return []
    listed_entries = job.entries if entries is None else entries
    if job.choice.in_place:
        listed_entries = droppable(listed_entries)
    numbers = [entry.number for entry in listed_entries if step is None or entry.number in step]
    path = Path(job.archive.folder, "list")
    path.write_text("".join(f"{number};\n" for number in numbers), encoding="ascii")
    return [f"--use-list={path}"]


def _give_away(job: _Job, connection: Connection, database: str) -> Iterator[str]:
    """Make the database its former owner's, where we may."""
    owner = database_owner(job.entries) if job.choice.owner else None
    if owner and owner != job.target.user and (job.target.superuser or owner in job.target.settable):
        statement = f"ALTER DATABASE {quote_identifier(database)} OWNER TO {quote_identifier(owner)}"
        yield from apply_afterwards(connection, [statement])


def _steps(job: _Job) -> Iterator[str]:
    client = f"pg_restore {job.archive.client.version}"
    what = "everything" if job.chosen is None else ", ".join(job.choice.tables)
    if job.choice.in_place:
        yield f"with {client}, drop and make again every object of the backup in {job.database}, in one transaction"
    else:
        yield f"create a database like the source, named {job.database} when it is done"
        yield f"load {what} with {client}, streamed from the store"
        yield f"build indexes and constraints with {job.choice.jobs if job.archive.head else 1} connections"
    if job.rights.afterwards:
        yield f"set {len(job.rights.afterwards)} owners and grants"


@contextmanager
def _timed(seconds: dict[str, float], phase: str) -> Iterator[None]:
    begun = time.monotonic()
    log.info("restoring", phase=phase)
    yield
    seconds[phase] = time.monotonic() - begun
