"""The way back into PostgreSQL: what would be done, and doing it. Owns the order of a restore's steps."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial

from backup.domain.manifest import Manifest
from backup.domain.proof import NOTHING, OF_DATABASE, OWNERS, PRIVILEGES, Facts, Mode, Proof
from backup.domain.sql import quote_identifier
from backup.domain.toc import droppable, loaded_tables, within
from backup.errors import AccessDenied, DatabaseMissing, DatabaseUnreachable, Interrupted
from backup.ports import OpenPart, RestoreChoice, RestorePlan, RestoreReport, Swapped
from backup.postgres.address import Address
from backup.postgres.archive import read_through
from backup.postgres.arrivals import Arrivals
from backup.postgres.clients import Client, choose
from backup.postgres.connection import Connection, connect
from backup.postgres.early import EarlyLook
from backup.postgres.facts import SMALL
from backup.postgres.filling import Course, fill
from backup.postgres.load import Loader
from backup.postgres.new_database import apply_properties, created_by, creation, new_database, passing_name
from backup.postgres.one_transaction import committed, replace_objects
from backup.postgres.prover import take_proof
from backup.postgres.restore_job import Job, RestoreOptions, prepare_job
from backup.postgres.rights import apply_together, attempt, database_owner
from backup.postgres.rows.restorer import RowsRestorer
from backup.postgres.session import settle
from backup.postgres.snapshot import one_row, read_database
from backup.postgres.swap import Exchange, by_psql, ending, exchange, refuse_swap
from backup.stream.readers import ByteReader


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresRestorer:
    """Restores dumps of the pgdump engine through the installed clients, and hands those of the rows engine on."""

    address: Address
    clients: tuple[Client, ...]
    environ: Mapping[str, str]
    options: RestoreOptions

    def plan(self, backup: Manifest, open_part: OpenPart, choice: RestoreChoice) -> RestorePlan:
        """What a restore would do; changes nothing."""
        if backup.tool.engine == "rows":
            return self._of_rows.plan(backup, open_part, choice)
        with self._prepare(backup, open_part, choice) as job:
            return RestorePlan(
                database=self._replaced() if choice.replace else job.database,
                server=job.destination.version,
                client=job.archive.client.version,
                steps=tuple(_steps(job)),
                notes=job.notes,
            )

    def restore(self, backup: Manifest, open_part: OpenPart, choice: RestoreChoice) -> RestoreReport:
        """Plan, and carry it out."""
        if backup.tool.engine == "rows":
            return self._of_rows.restore(backup, open_part, choice)
        begun = time.monotonic()
        with self._prepare(backup, open_part, choice) as job:
            course = Course(seconds={"checks": time.monotonic() - begun})
            arrivals = Arrivals(job.wanted, notable=min(job.large, SMALL))
            look = EarlyLook(arrivals, choice.look or "rows")
            late_notes = list(
                self._replace_objects(job, course) if choice.in_place else self._fill_new(job, course, arrivals, look)
            )
        return RestoreReport(
            database=job.database,
            notes=(*job.notes, *late_notes),
            seconds={phase: round(value, 3) for phase, value in course.seconds.items()},
            waits=course.waits(),
            left_out=_left_out(job, late_notes),
            tables=loaded_tables(job.entries, job.chosen),
            whole_schema=choice.whole_schema or job.chosen is None,
            early=look.facts,
        )

    def swap(self, restored: str, replaced: str, *, disconnect: bool) -> Swapped:
        """Give a restored database the name and the properties of the one that the address names."""
        names = Exchange(restored=restored, database=self._replaced(), kept=replaced, disconnect=disconnect)
        with self._beside(names.database) as connection:
            address = self.address.direct()
            by_hand = by_psql(names.statements, address, connection)
            exchange(connection, names, partial(self._beside, names.database), by_hand=by_hand)
            back = f"{ending(names.database)} {names.back}" if disconnect else names.back
            return Swapped(
                database=names.database,
                replaced=replaced,
                swap_back=by_psql(back, address, connection),
                drop=f"DROP DATABASE {quote_identifier(replaced)};",
            )

    def look(self, database: str, mode: Mode, *, within: float, known: Facts = NOTHING) -> Proof:
        """What a database holds now."""
        address = self.address.direct().with_database(database)
        try:
            with connect(address, connect_timeout=self.options.connect_timeout) as connection:
                settle(connection)
                version = read_database(connection).server_version
                return take_proof(connection, mode, server_version=version, seconds=within, known=known)
        except DatabaseUnreachable as error:
            if signal := _signal_behind(error):
                raise signal from None
            raise

    def read_through(self, backup: Manifest, dump: ByteReader) -> None:
        """Let pg_restore read all of a dump, to nowhere."""
        client = choose(self.clients, server=0, archive=backup.tool.major)
        read_through(client, dump, self.address.environment(self.environ))

    @property
    def _of_rows(self) -> RowsRestorer:
        return RowsRestorer(address=self.address, environ=self.environ, options=self.options)

    @contextmanager
    def _prepare(self, backup: Manifest, open_part: OpenPart, choice: RestoreChoice) -> Iterator[Job]:
        with prepare_job(
            backup,
            [partial(open_part, part) for part in (backup.leading, *backup.lanes)],
            choice,
            address=self.address,
            clients=self.clients,
            environ=self.environ,
            options=self.options,
        ) as job:
            if choice.replace:
                replaced, (ours,) = self._replaced(), one_row(job.connection, "SELECT pg_backend_pid()")
                with self._beside(replaced) as connection:
                    refuse_swap(connection, replaced, job.destination, disconnect=choice.disconnect, ours=[ours])
            yield job

    def _replaced(self) -> str:
        """The name of the database that the address names."""
        named = self.address.database or self.environ.get("PGDATABASE")
        if named and "service" not in self.address.keywords:
            return named
        with connect(self.address.direct(), connect_timeout=self.options.connect_timeout) as connection:
            return connection.info.dbname

    @contextmanager
    def _beside(self, database: str) -> Iterator[Connection]:
        """Connect to another database than this one of the same server, for its name is to be changed."""
        places = [name for name in (self.options.maintenance_database, "template1") if name != database]
        with ExitStack() as stack:
            for place in places:
                with suppress(DatabaseMissing, AccessDenied):
                    address = self.address.direct().with_database(place)
                    connection = stack.enter_context(connect(address, connect_timeout=self.options.connect_timeout))
                    break
            else:
                raise AccessDenied(
                    f"to rename {database}, a connection to another database is needed; none to {' or '.join(places)}",
                    hint="name one that this role may connect to in PGPROOF_MAINTENANCE_DB",
                )
            settle(connection)
            yield connection

    def _fill_new(self, job: Job, course: Course, arrivals: Arrivals, look: EarlyLook) -> Iterator[str]:
        place, passing = job.connection.info.dbname, passing_name(job.choice.into)
        statement, notes = creation(created_by(job.entries), passing, job.destination)
        yield from notes
        reach = partial(self._reach, job)
        with new_database(
            job.connection, statement, passing=passing, name=job.choice.into, owner=_next_owner(job), reach=reach
        ) as last_notes:
            with look.at_work(partial(reach, passing)) if job.choice.look else nullcontext():
                fill(job, self._loader(job, passing), arrivals, course)
                with course.phase("finish"), self._reach_restored(job, passing) as connection:
                    for wanted in (*job.rights.afterwards, *self._analysis()):
                        yield from attempt(connection, wanted)
                    look.finish()
            with course.phase("finish"), self._reach(job, place) as connection:
                yield from apply_properties(connection, job.entries, passing, privileges=job.choice.privileges)
        yield from last_notes

    def _replace_objects(self, job: Job, course: Course) -> Iterator[str]:
        loader = self._loader(job, job.database)
        with course.phase("load"):
            if job.lanes:
                replace_objects(job, loader, course.feedings)
            else:
                order = [entry.number for entry in droppable(job.wanted)]
                with job.archive.open_dump() as dump:
                    loader.run(["--clean", "--if-exists", "--single-transaction", job.archive.use_list(order)], dump)
        with committed(), course.phase("finish"), self._reach_restored(job, job.database) as connection:
            yield from apply_together(connection, job.rights.afterwards)
            for wanted in self._analysis():
                yield from attempt(connection, wanted)

    def _analysis(self) -> tuple[str, ...]:
        """What gathers the planner's statistics, where that is wanted."""
        return ("ANALYZE",) if self.options.analyze else ()

    @contextmanager
    def _reach(self, job: Job, database: str) -> Iterator[Connection]:
        """Connect to a database of the server that is restored into."""
        with connect(job.address.with_database(database), connect_timeout=self.options.connect_timeout) as connection:
            settle(connection)
            yield connection

    @contextmanager
    def _reach_restored(self, job: Job, database: str) -> Iterator[Connection]:
        """Connect to what was loaded, to say there what pg_dump wrote: with the search path that it has in mind."""
        with self._reach(job, database) as connection:
            connection.execute("SELECT pg_catalog.set_config('search_path', '', false)")
            yield connection

    def _loader(self, job: Job, database: str) -> Loader:
        return Loader(
            client=job.archive.client,
            address=job.address.with_database(database).with_options(self.options.settings, self.environ),
            server=job.destination.major,
            environ=self.environ,
            arguments=job.rights.arguments,
        )


def _signal_behind(error: BaseException) -> Interrupted | None:
    """The signal that met a query: psycopg then fails to undo the transaction, and says that the line is of no use."""
    behind: BaseException | None = error
    while behind and not isinstance(behind, Interrupted):
        behind = behind.__cause__ or behind.__context__
    return behind if isinstance(behind, Interrupted) else None


def _left_out(job: Job, late_notes: Sequence[str]) -> frozenset[str]:
    """Kinds of facts that cannot be as they were: not wanted, not ours to set, or refused by the server."""
    choice, ours = job.choice, not job.destination.superuser
    found: set[str] = set()
    if not choice.owner or ours:
        found |= OWNERS | PRIVILEGES
    if not choice.privileges or job.default_privileges:
        found |= PRIVILEGES
    if ours or choice.in_place or late_notes:
        found |= OF_DATABASE
    if job.rights.skipped:
        found |= {"comment", "subscription"}
    return frozenset(found)


def _next_owner(job: Job) -> str | None:
    """The database's former owner, where it is not who restores and where we may make it the owner."""
    if job.choice.replace and not job.destination.superuser:  # it gets its owner with its name
        return None
    owner = database_owner(job.entries) if job.choice.owner else None
    may = job.destination.superuser or owner in job.destination.settable
    return owner if owner != job.destination.user and may else None


def _steps(job: Job) -> Iterator[str]:
    client = f"pg_restore {job.archive.client.version}"
    what = "everything" if job.chosen is None else ", ".join(job.choice.tables)
    if job.choice.in_place:
        yield f"with {client}, drop and make again every object of the backup in {job.database}, in one transaction"
    else:
        yield f"create a database like the source, named {job.database} when it is done"
        lanes = 1 + sum(bool(within(number, job.wanted)) for number in range(1, len(job.lane_bytes)))
        jobs = job.choice.jobs if job.archive.head else 1
        in_lanes = f" in {lanes} of {len(job.lane_bytes)} lanes, {min(lanes, job.choice.jobs)} at a time"
        yield f"load {what} with {client}, streamed from the store{in_lanes if len(job.lane_bytes) > 1 else ''}"
        yield f"build indexes and constraints with {jobs} connections{', of each table when it is in' * (jobs > 1)}"
    if job.choice.replace:
        yield "compare it with the proof, and where it is the same, give it the name of the one that is there"
        yield "keep that one under another name" + ", sessions in it are ended" * job.choice.disconnect
    if job.rights.afterwards:
        yield f"set {len(job.rights.afterwards)} owners and grants"
