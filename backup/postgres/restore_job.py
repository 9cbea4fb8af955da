"""A restore before it is begun: where to, with what, and all that could keep it from coming to its end.

Owns the checks; must change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial

from backup.domain.manifest import Manifest
from backup.domain.sql import quote_identifier
from backup.domain.toc import Entry, find_tables, have_rows, select, select_rows, with_lanes
from backup.errors import AccessDenied, DatabaseMissing, IntegrityFailed, RestoreFailed, UsageError
from backup.logs import log
from backup.ports import RestoreChoice
from backup.postgres.address import Address
from backup.postgres.archive import HEAD_LIMIT, Archive, OpenDump, open_archive
from backup.postgres.clients import Client, choose
from backup.postgres.connection import Connection, connect
from backup.postgres.destination import Destination, listed, read_destination
from backup.postgres.in_place import notes_in_place, refuse_newer_dependents, refuse_too_few_locks, refuse_without_psql
from backup.postgres.lanes import free_sessions
from backup.postgres.load import knows_less
from backup.postgres.new_database import NAME_LIMIT
from backup.postgres.rights import Rights, make_missing_roles, plan_rights, refuse_missing_extensions
from backup.postgres.session import settle
from backup.postgres.snapshot import pin

_RUN_AS_OWNER_SINCE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreOptions:
    """What the user may say of every restore.

    Attributes:
        settings: of the sessions that load, for example synchronous_commit.
        analyze: gather statistics in the end.
        maintenance_database: where CREATE DATABASE is said.
        head_limit: bytes of a table of contents that may be kept in a file.
        lock_wait_timeout: seconds that rows wait for the lock of a table which they come into.
        make_roles: create roles that are missing, on a server that is thrown away.
        large: bytes of rows above which a table's indexes are made while others are loaded. A program's start and its
            connection cost some 30 ms, in which as many bytes are indexed (a guess).
    """

    settings: Mapping[str, str] = field(default_factory=dict)
    analyze: bool = True
    maintenance_database: str = "postgres"
    connect_timeout: int = 10
    head_limit: int = HEAD_LIMIT
    lock_wait_timeout: int = 60
    make_roles: bool = False
    large: int = 8 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A restore that has passed every check.

    Attributes:
        archive: lane 0 of the dump, which has all but the rows of some tables.
        lanes: the others by number, in order; without those that cannot be read and are not needed.
        lane_bytes: of all of them.
        entries: of all of them.
        large: see RestoreOptions.
    """

    choice: RestoreChoice
    destination: Destination
    archive: Archive
    lanes: Mapping[int, Archive]
    lane_bytes: tuple[int, ...]
    large: int
    entries: tuple[Entry, ...]
    rights: Rights
    chosen: frozenset[int] | None
    notes: tuple[str, ...]
    address: Address
    connection: Connection
    database: str
    default_privileges: bool

    @property
    def wanted(self) -> tuple[Entry, ...]:
        """What pg_restore shall carry out."""
        return tuple(
            entry
            for entry in self.entries
            if (self.chosen is None or entry.number in self.chosen) and entry.number not in self.rights.skipped
        )


@contextmanager
def prepare_job(
    backup: Manifest,
    open_dumps: Sequence[OpenDump],
    choice: RestoreChoice,
    *,
    address: Address,
    clients: tuple[Client, ...],
    environ: Mapping[str, str],
    options: RestoreOptions,
) -> Iterator[Job]:
    """Find out all that can be known before anything is changed; the job is good as long as the context lasts.

    `open_dumps` are the lanes of the dump.

    Raises:
        PgproofError: see ports.Restorer.
    """
    if choice.in_place and choice.tables:
        raise UsageError("--table cannot be restored in place", hint="restore the tables into a new database")
    address.refuse_hidden_secrets()
    with entrance(address.direct(), options, in_place=choice.in_place) as connection:
        destination = read_destination(connection)
        client = choose(clients, server=destination.major, archive=backup.tool.major)
        refuse_database(choice, destination, address)
        choice = _fitting(choice, connection)
        environment = address.environment(environ)
        with ExitStack() as stack:
            enter = partial(open_archive, client=client, environ=environment, head_limit=options.head_limit)
            archive = stack.enter_context(enter(open_dumps[0]))
            lanes, rows, lost = _open_lanes(open_dumps[1:], lambda each: stack.enter_context(enter(each)))
            entries = with_lanes(archive.entries(), rows)
            if lost and not (choice.tables and have_rows(entries, find_tables(entries, choice.tables))):
                raise next(iter(lost.values()))
            chosen, notes = _choose_tables(entries, choice)
            restored = [entry for entry in entries if chosen is None or entry.number in chosen]
            refuse_missing_extensions(restored, destination)
            if options.make_roles:
                destination = make_missing_roles(connection, entries, destination)
            rights = plan_rights(restored, destination, owner=choice.owner, privileges=choice.privileges)
            rights = _without_newer_subscriptions(rights, restored, backup.tool.major, destination)
            rights = _without_missing_tablespaces(rights, restored, destination)
            default_privileges: tuple[str, ...] = ()
            if choice.in_place:
                _refuse_in_place(connection, entries, client, destination)
                if lanes:
                    refuse_without_psql(client)
                default_privileges = notes_in_place(connection)
            yield Job(
                choice=choice,
                destination=destination,
                archive=archive,
                lanes=lanes,
                lane_bytes=tuple(part.raw_bytes for part in (backup.leading, *backup.lanes)),
                large=options.large,
                entries=entries,
                rights=rights,
                chosen=chosen,
                notes=(*notes, *map(_lost_note, lost, lost.values()), *default_privileges, *rights.notes),
                address=pin(address, connection, connect_timeout=options.connect_timeout),
                connection=connection,
                database=connection.info.dbname if choice.in_place else choice.into,
                default_privileges=bool(default_privileges),
            )


def _open_lanes(
    open_dumps: Sequence[OpenDump], enter: Callable[[OpenDump], Archive]
) -> tuple[dict[int, Archive], list[tuple[Entry, ...]], dict[int, IntegrityFailed]]:
    """The lanes behind the first by number, the entries of each, and what is the matter with those that are damaged."""
    lanes: dict[int, Archive] = {}
    rows: list[tuple[Entry, ...]] = []
    lost: dict[int, IntegrityFailed] = {}
    for number, each in enumerate(open_dumps, start=1):
        try:
            lane = enter(each)
            rows.append(lane.rows())
            lanes[number] = lane
        except IntegrityFailed as error:
            rows.append(())
            lost[number] = error
    return lanes, rows, lost


def _fitting(choice: RestoreChoice, connection: Connection) -> RestoreChoice:
    """With no more connections than sessions are possible beside this one; first of all nobody looks on the way."""
    free = None if choice.in_place else free_sessions(connection)
    if free is None:
        return choice
    jobs = max(min(choice.jobs, free - 1), 1)
    if jobs < choice.jobs:
        reason = f"{free} more sessions are possible"
        log.warning("fewer connections than wanted", jobs=jobs, wanted=choice.jobs, reason=reason)
    return replace(choice, jobs=jobs, look=choice.look if free > jobs else None)


def _lost_note(lane: int, error: IntegrityFailed) -> str:
    return f"lane {lane} of the dump cannot be read, but none of these tables is in it: {error.message}"


@contextmanager
def entrance(address: Address, options: RestoreOptions, *, in_place: bool) -> Iterator[Connection]:
    """To the database that is replaced, or to one from which another can be made."""
    timeout = options.connect_timeout
    if in_place:
        with connect(address, connect_timeout=timeout) as connection:
            settle(connection)
            yield connection
        return
    with ExitStack() as stack:
        for database in (options.maintenance_database, "template1"):
            with suppress(DatabaseMissing, AccessDenied):
                place = address.with_database(database)
                connection = stack.enter_context(connect(place, connect_timeout=timeout))
                break
        else:
            connection = stack.enter_context(connect(address, connect_timeout=timeout))
        settle(connection)
        yield connection


def _choose_tables(entries: Sequence[Entry], choice: RestoreChoice) -> tuple[frozenset[int] | None, list[str]]:
    if not choice.tables:
        return None, []
    tables = find_tables(entries, choice.tables)
    selection = (select_rows if choice.whole_schema else select)(entries, tables)
    notes = [f"rows of {', '.join(tables.values())} only; all other tables stay empty"]
    if selection.cut_keys:
        notes.append(f"foreign keys left out, their other table is not loaded: {listed(selection.cut_keys)}")
    if any(entry.kind in {"BLOBS", "BLOB"} for entry in entries):
        notes.append("large objects are left out")
    return selection.numbers, notes


def refuse_database(choice: RestoreChoice, destination: Destination, address: Address) -> None:
    """See to it that a database can be made under the name that is wanted, where one is to be made.

    Raises:
        UsageError: there is one of that name, or it is too long.
        AccessDenied: the role may make none.
    """
    if choice.in_place:
        return
    if (size := len(choice.into.encode())) > NAME_LIMIT:
        raise UsageError(
            f"a name of {size} bytes is too long for a database: {choice.into}",
            hint=f"give one of at most {NAME_LIMIT} bytes with --into",
        )
    if choice.into in destination.databases:
        replaceable = ", or replace what is in it with --in-place" if choice.into == address.database else ""
        raise UsageError(
            f"the database {choice.into} exists already", hint=f"give another name with --into{replaceable}"
        )
    if not destination.may_create:
        raise AccessDenied(
            f"{destination.user} may not create a database",
            hint=f"ALTER ROLE {quote_identifier(destination.user)} CREATEDB, or restore with --in-place",
        )


def _refuse_in_place(
    connection: Connection, entries: Sequence[Entry], client: Client, destination: Destination
) -> None:
    if knows_less(client, destination.major):
        raise RestoreFailed(
            f"pg_restore {client.version} cannot restore in one transaction into PostgreSQL {destination.major}: it"
            " sets transaction_timeout first, which that server does not know",
            hint=f"install postgresql-client-{destination.major} if the backup is not newer than that, or restore into"
            " a new database (without --in-place)",
        )
    refuse_too_few_locks(connection, entries)
    refuse_newer_dependents(connection, entries)


def _without_missing_tablespaces(rights: Rights, entries: Sequence[Entry], destination: Destination) -> Rights:
    missing = {entry.tablespace for entry in entries if entry.tablespace} - destination.tablespaces
    if not missing:
        return rights
    return replace(
        rights,
        arguments=(*rights.arguments, "--no-tablespaces"),
        notes=(*rights.notes, f"tablespaces are not on this server, the default one is used: {listed(missing)}"),
    )


def _without_newer_subscriptions(
    rights: Rights, entries: Sequence[Entry], dumped_by: int, destination: Destination
) -> Rights:
    """Leave out what pg_dump 16 and newer writes of subscriptions where the server does not know run_as_owner."""
    if not dumped_by >= _RUN_AS_OWNER_SINCE > destination.major:
        return rights
    lost = {entry.number: entry.name for entry in entries if entry.kind == "SUBSCRIPTION"}
    if not lost:
        return rights
    about = {entry.number for entry in entries if entry.kind == "COMMENT" and lost.keys() & set(entry.depends)}
    note = f"subscriptions left out, PostgreSQL {destination.major} cannot read what pg_dump {dumped_by} writes of them"
    return replace(
        rights,
        skipped=rights.skipped | lost.keys() | about,
        notes=(*rights.notes, f"{note}: {listed(lost.values())}"),
    )
