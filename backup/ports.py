"""The seams of pgproof: what workflows ask of the outside world. Docstrings are contracts, each kept by a suite.

Must not import any adapter.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeVar

from backup.domain.checks import Check
from backup.domain.drill import CheckResult
from backup.domain.events import EventType, RunEvent
from backup.domain.manifest import Database, Manifest, Part, Role, SnapshotMark, Tool
from backup.domain.proof import NOTHING, Facts, Mode, Proof
from backup.domain.row_return import ReturnedTable
from backup.stream.readers import ByteReader

Clock = Callable[[], datetime]
"""Now, aware and in UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """An object as its store describes it.

    Attributes:
        etag: an opaque mark that changes with the content.
        locked_until: when it can be deleted at the earliest, where the store keeps it until then; only `stat` says it.
    """

    key: str
    bytes: int
    etag: str
    modified: datetime
    locked_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """Something that is no object: what a put has left that never came to its end.

    Attributes:
        key: of the object that it should have become, or as much of it as is known.
        what: it is, for people.
        bytes: where that is known, else 0.
        modified: when something was done to it last.
        discard: deletes it.
    """

    key: str
    what: str
    bytes: int
    modified: datetime
    discard: Callable[[], None]


class Store(Protocol):
    """Where backups live: a flat map from keys (`a/b/c`, no empty, `.` or `..` step) to bytes.

    Safe to call from several threads. Every method may raise StoreUnreachable (6), StoreMissing (6) where the
    bucket or folder is not there, or AccessDenied (14). Adapters retry what may be retried themselves.
    """

    @property
    def url(self) -> str:
        """Where it is, for people; no secret."""

    @property
    def may_lock(self) -> bool:
        """Whether it may keep objects until a time that `stat` tells, whoever deletes them."""

    def put(self, key: str, data: ByteReader, /, *, new: bool = False) -> StoredObject:
        """Store all of `data` under `key`, replacing what was there, in flat memory at any size.

        The object appears only when `data` has come to its end: whatever `data` raises is raised again, and
        neither an object nor an unfinished upload is left. Returns what the store says when asked again.

        With `new` it raises ObjectExists where there is one already. Of two at the same time one alone goes through,
        where the store can see to that: a folder can, and a bucket that knows If-None-Match.
        """

    def open(self, key: str, /) -> AbstractContextManager[ByteReader]:
        """Read an object from its start. A line that breaks is taken up again where it broke.

        Raises ObjectMissing where there is none.
        """

    def stat(self, key: str, /) -> StoredObject:
        """Describe an object. Raises ObjectMissing where there is none."""

    def list(self, prefix: str, /) -> Iterator[StoredObject]:
        """All objects whose key starts with `prefix`, ordered by key, however many there are."""

    def delete(self, key: str, /) -> None:
        """Delete an object with all its versions; one that is not there is no error.

        Raises ObjectLocked where the store keeps it for longer.
        """

    def leftovers(self, prefix: str, /) -> Iterator[Leftover]:
        """What puts under keys that start with `prefix` have left that never came to their end, or are under way."""


class Snapshot(Protocol):
    """A transaction on the source, open as long as the context that made it, whose view others can share."""

    @property
    def mark(self) -> SnapshotMark:
        """When and where it was taken."""

    @property
    def database(self) -> Database:
        """What the server says of the database."""

    @property
    def source(self) -> str:
        """The database on its server, while that runs: another one is called differently."""

    @property
    def fingerprint(self) -> str:
        """What the server says of itself and no store knows, the same for its whole life; empty where it does not."""


SnapshotT = TypeVar("SnapshotT", bound=Snapshot)
Snapshot_co = TypeVar("Snapshot_co", bound=Snapshot, covariant=True)
Snapshot_contra = TypeVar("Snapshot_contra", bound=Snapshot, contravariant=True)


class Source(Protocol[Snapshot_co]):
    """The database that is backed up."""

    def checks(self) -> Iterator[Check]:
        """All that can keep a backup from being made, found before it starts; a first `fail` may end the list."""

    def database(self) -> Database:
        """What the server says of the database. Raises DatabaseUnreachable, DatabaseMissing, AccessDenied."""

    def snapshot(self, target: str) -> AbstractContextManager[Snapshot_co]:
        """Take the lock of `target` on the server, and a snapshot. Raises LockHeld where another run has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartSource:
    """A stream that an engine can make.

    Attributes:
        name: of the part, the volumes' names begin with it.
        open: start it; the reader's end comes only after the engine knows that it was whole, else it raises.
        optional: a failure is a warning of the backup, not its end.
        proof: what it says, where it is one; known once it was read to its end.
        beside: streams that must be read at the same time as this one, each on a thread of its own: none gives a byte
            before all were opened.
    """

    name: str
    role: Role
    open: Callable[[], AbstractContextManager[ByteReader]]
    optional: bool = False
    proof: Callable[[], Proof] | None = None
    beside: tuple[PartSource, ...] = ()


class Engine(Protocol[Snapshot_contra]):
    """How data leaves PostgreSQL."""

    @property
    def filtered(self) -> bool:
        """Whether a setting leaves parts of the database out."""

    def tool(self, database: Database) -> Tool:
        """The program that it would use for this server. Raises ConfigurationError where there is none."""

    def parts(self, snapshot: Snapshot_contra) -> Generator[PartSource, None, None]:
        """The streams of a backup in this snapshot, each to be read to its end, with those beside it, before the next.

        To be closed: what it has started ends then, also where streams are being read, which then fail.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsTable:
    """Rows that were chosen of a table.

    Attributes:
        name: under which results have it; of no two tables the same.
        open: start to read them: each row one JSON object on a line of its own, which ends with a line feed. The
            reader's end comes only after it is known that all rows were there, else it raises.
    """

    name: str
    open: Callable[[], AbstractContextManager[ByteReader]]


class Rows(Protocol):
    """Chosen rows of a database, all in one snapshot."""

    @property
    def moment(self) -> datetime:
        """When the snapshot was taken, aware and in UTC."""

    @property
    def tables(self) -> Sequence[RowsTable]:
        """The tables, in order."""

    @property
    def left_out(self) -> Mapping[str, tuple[str, ...]]:
        """Columns that are not in the rows, by table."""

    @property
    def asked_for(self) -> Mapping[str, tuple[str, ...]]:
        """Columns that look like secrets and are in the rows, by table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreChoice:
    """What of a backup is restored, and where.

    Attributes:
        into: name of the new database; ignored where `in_place`.
        tables: only rows of these, `table` or `schema.table`; empty for all.
        whole_schema: of the other tables all but the rows comes back too: indexes, keys, triggers.
        in_place: replace the objects of the database that the address names.
        replace: the new database is to take the place of the one that the address names; that is only made sure.
        disconnect: where `replace`, sessions of others in that one will be ended.
        owner, privileges: whether owners and grants come back.
        jobs: connections that build indexes and constraints.
        look: what will be asked of the restored database; what can be found out on the way is in the report.
        upsert, disable_triggers: of rows that come into tables that are there: those with their keys are updated, and
            the tables' own triggers do not fire.
    """

    into: str
    tables: tuple[str, ...] = ()
    whole_schema: bool = False
    in_place: bool = False
    replace: bool = False
    disconnect: bool = False
    owner: bool = True
    privileges: bool = True
    jobs: int = 1
    look: Mode | None = None
    upsert: bool = False
    disable_triggers: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RestorePlan:
    """What a restore would do, for people: steps in order, and what is left out and why.

    `database`: the one that is made, or that is overwritten or replaced.
    """

    database: str
    server: str
    client: str
    steps: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreReport:
    """What a restore did.

    Attributes:
        seconds: by phase.
        waits: seconds that streams of the dump waited, all of them together, by stage: `store`, `decode` (decryption
            and decompression), `server` (pg_restore and the server behind it). A restorer knows the last.
        left_out: kinds of facts (see domain/proof.py) that could not come back, or should not.
        tables: `schema.table` whose rows were loaded; None for all.
        whole_schema: whether all came back that is not rows.
        early: what was found out of tables on the way.
        returned: what became of rows that came into tables that were there, with others in them perhaps.
    """

    database: str
    notes: tuple[str, ...]
    seconds: dict[str, float]
    waits: dict[str, float] = field(default_factory=dict)
    left_out: frozenset[str] = frozenset()
    tables: frozenset[str] | None = None
    whole_schema: bool = True
    early: Facts = field(default_factory=dict)
    returned: tuple[ReturnedTable, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Swapped:
    """Databases that changed names.

    Attributes:
        database: the name that the restored one has.
        replaced: the name that the one has which had that.
        swap_back: the line for a shell that undoes it.
        drop: the statement that drops the old one, for later.
    """

    database: str
    replaced: str
    swap_back: str
    drop: str


OpenPart = Callable[[Part], AbstractContextManager[ByteReader]]
"""Opens a part of a backup, decoded and checked, from its start; may be called more than once."""


class Restorer(Protocol):
    """How a backup comes back into PostgreSQL."""

    def plan(self, backup: Manifest, open_part: OpenPart, choice: RestoreChoice, /) -> RestorePlan:
        """Find out everything that can be known before anything is changed, and change nothing.

        Raises what `restore` would raise for a missing role, extension, table, client or right.
        """

    def restore(self, backup: Manifest, open_part: OpenPart, choice: RestoreChoice, /) -> RestoreReport:
        """Plan, and carry it out. Whatever it raises, no half database is left.

        Raises RestoreFailed, IntegrityFailed (what `open_part`'s reader raises), NotFound (no such table),
        UsageError (the database exists), ConfigurationError (no client), AccessDenied, DatabaseUnreachable.
        """

    def swap(self, restored: str, replaced: str, /, *, disconnect: bool) -> Swapped:
        """Give a restored database the name and the properties of the one that the address names, in one step.

        That one is called `replaced` then, and else as it was. `disconnect`: sessions of others in it are ended.

        Raises RestoreFailed (sessions of others in it), AccessDenied, DatabaseUnreachable: it was not done.
        """

    def look(self, database: str, mode: Mode, /, *, within: float, known: Facts = NOTHING) -> Proof:
        """What a database of that server holds now; what is not known after `within` seconds is unproven.

        Tables of which something is `known` are not looked at again.
        """

    def read_through(self, backup: Manifest, dump: ByteReader, /) -> None:
        """Let the archive reader of PostgreSQL read all of a dump, to nowhere. Raises IntegrityFailed."""


class Trial(Protocol):
    """A server to try a restore on, as long as the context lasts that made it."""

    @property
    def restorer(self) -> Restorer:
        """The way into it."""

    @property
    def version(self) -> str:
        """Of the server, as in `18.6`."""

    def choice(self, backup: Manifest, open_part: OpenPart, choice: RestoreChoice, /) -> RestoreChoice:
        """`choice` without what this server cannot take, such as owners that it does not know."""

    def check(self, database: str, name: str, sql: str, /, *, within: float) -> CheckResult:
        """Ask a question that must be answered with true in each row; never raises for what is wrong with it."""

    def drop(self, database: str, /) -> None:
        """Drop a database that was restored there."""


Scratch = Callable[[Manifest, float], AbstractContextManager[Trial]]
"""Makes a Trial for a backup, of which a share (0 to 1) will be restored.

Raises ConfigurationError where there is no server, no room or nobody to run it.
"""


class Notifier(Protocol):
    """Somebody who is told how a run ended."""

    @property
    def name(self) -> str:
        """Who it is, for people; no secret."""

    @property
    def key(self) -> str:
        """By what a later run knows it again, no secret; empty where a message that comes later is of no use."""

    def wants(self, event: EventType, /) -> bool:
        """Whether it is told of such events."""

    def tell(self, event: RunEvent, /, *, within: float) -> None:
        """Tell it, and return when it was heard.

        Args:
            event: what happened.
            within: seconds for all attempts together.

        Raises:
            NotificationFailed: it was not.
        """
