"""Servers to try a restore on: a throwaway one made of the installed programs, or a scratch database on another.

Owns which server fits a backup, how much room it needs, and that nothing is left of it.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
from psycopg.rows import TupleRow

from backup.domain.drill import CheckResult
from backup.domain.manifest import Manifest
from backup.domain.sizes import show_size
from backup.errors import ConfigurationError, Interrupted, PgproofError, RestoreFailed
from backup.logs import log
from backup.ports import OpenPart, RestoreChoice
from backup.postgres.address import Address
from backup.postgres.clients import Client
from backup.postgres.connection import Connection, connect
from backup.postgres.new_database import drop_database
from backup.postgres.restore_job import RestoreOptions
from backup.postgres.restorer import PostgresRestorer
from backup.postgres.scratch import ScratchServer
from backup.postgres.session import lift_timeouts, settle
from backup.postgres.snapshot import read_database

_ABOUT_VALUES = {"22", "23", "P0"}
"""Classes of SQLSTATE: data exceptions, violated constraints, errors raised by functions."""
_SPARE = 256 << 20
"""Bytes of a new server without any database, and of its write-ahead log."""
_GROWTH = 1.1
"""How much larger a database may be than its source was: indexes are built anew, but nothing is compacted in tables
that had room to fill (a guess)."""
_GRACE = 5.0
"""Seconds that a check has to end once it is cancelled."""
_SETTINGS = {
    # Nothing of it outlives a crash, so nothing waits for a disk.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "wal_init_zero": "off",
    "max_wal_senders": "0",
    "max_wal_size": "1GB",
    "checkpoint_timeout": "1h",
    "autovacuum": "off",
    "shared_buffers": "128MB",
    "max_locks_per_transaction": "512",
    "dynamic_shared_memory_type": "mmap",  # /dev/shm of a container has 64 MiB
    "jit": "off",
}
_CHECKSUMS_SINCE = 18
"""From this major version on initdb turns data checksums on. With them whoever first reads what was loaded writes each
page to the log."""
_WITHOUT_CHECKSUMS = ("--no-data-checksums",)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTrial:
    """A running server. `shared` where it is not ours alone: then it is asked for nothing but a database."""

    restorer: PostgresRestorer
    version: str
    shared: bool = False

    def choice(self, backup: Manifest, open_part: OpenPart, choice: RestoreChoice) -> RestoreChoice:
        """`choice`, but owners and grants of roles that a shared server lacks are left out.

        Raises:
            ConfigurationError: the server is older than the source was; that it fails there would say nothing.
        """
        if not self.shared:
            return choice
        wanted = backup.database.server_major
        if int(self.version.split(".")[0]) < wanted:
            raise ConfigurationError(
                f"the backup is of PostgreSQL {wanted}, and the server to try it on is {self.version}",
                hint=f"name a server of PostgreSQL {wanted} or newer with --on",
            )
        with suppress(RestoreFailed):
            self.restorer.plan(backup, open_part, choice)
            return choice
        return replace(choice, owner=False, privileges=False)

    def check(self, database: str, name: str, sql: str, *, within: float) -> CheckResult:
        """Ask a question that must be answered with true in each row."""
        begun = time.monotonic()
        said = ""
        try:
            with self._connected(database) as connection:
                lift_timeouts(connection)
                with self._limited(connection, within) as is_over:
                    try:
                        said = _verdict(connection.execute(sql.encode()))
                    except psycopg.Error as error:
                        said = _reason(error)
                        if is_over():
                            said = f"no answer within {within:g} s"
        except Interrupted:
            raise
        except PgproofError as error:
            said = error.message
        return CheckResult(name=name, passed=not said, said=said, seconds=round(time.monotonic() - begun, 3))

    @contextmanager
    def _limited(self, connection: Connection, seconds: float) -> Iterator[Callable[[], bool]]:
        """End what is asked within after so long: it is cancelled, or, if it does not mind that, its session is ended.

        Yields what says whether the time is over.
        """
        over, answered = threading.Event(), threading.Event()

        def watch() -> None:
            if answered.wait(seconds):
                return
            over.set()
            with suppress(psycopg.Error, PgproofError):
                connection.cancel_safe()
                if not answered.wait(_GRACE):
                    with self._connected(self.restorer.options.maintenance_database) as other:
                        other.execute("SELECT pg_terminate_backend(%(pid)s)", {"pid": connection.info.backend_pid})

        clock = threading.Thread(target=watch, name="time limit", daemon=True)
        clock.start()
        try:
            yield over.is_set
        finally:
            answered.set()
            clock.join()

    def drop(self, database: str) -> None:
        """Drop a database that was restored there; one on a server that is thrown away goes with it."""
        if not self.shared:
            return
        try:
            with self._connected(self.restorer.options.maintenance_database) as connection:
                drop_database(connection, database, self._connected)
        except PgproofError as error:
            log.error("drop this database by hand", database=database, reason=error.message, detail=error.detail)

    @contextmanager
    def _connected(self, database: str) -> Iterator[Connection]:
        address = self.restorer.address.direct().with_database(database)
        with connect(address, connect_timeout=self.restorer.options.connect_timeout) as connection:
            yield connection


@contextmanager
def throwaway_server(
    backup: Manifest,
    share: float,
    *,
    clients: tuple[Client, ...],
    environ: Mapping[str, str],
    options: RestoreOptions,
    folder: Path | None = None,
) -> Iterator[ServerTrial]:
    """A server of our own in a temporary folder, gone with the context whatever happens.

    Args:
        backup: that will be restored there.
        share: of its rows, 0 to 1.
        clients: the installed programs; those with a server beside them count.
        environ: of the children.
        options: of every restore.
        folder: to live in.

    Raises:
        ConfigurationError: no server fits, or there is not enough room.
        DatabaseUnreachable: it did not start.
    """
    program = _fitting_server(clients, backup)
    _refuse_lack_of_room(backup, share, folder or Path(tempfile.gettempdir()))
    with ScratchServer(
        program.folder,
        settings=_SETTINGS,
        initdb_options=_WITHOUT_CHECKSUMS if program.major >= _CHECKSUMS_SINCE else (),
        base=folder,
        hasty=True,
    ) as server:
        restorer = PostgresRestorer(
            address=Address.parse(server.socket_address()),
            clients=clients,
            environ=environ,
            options=replace(options, maintenance_database="postgres", make_roles=True),
        )
        yield ServerTrial(restorer=restorer, version=program.version)


@contextmanager
def server_at(restorer: PostgresRestorer) -> Iterator[ServerTrial]:
    """A server that is there already; what is restored must be dropped."""
    with connect(restorer.address.direct(), connect_timeout=restorer.options.connect_timeout) as connection:
        settle(connection)
        version = read_database(connection).server_version
    yield ServerTrial(restorer=restorer, version=version, shared=True)


def _fitting_server(clients: tuple[Client, ...], backup: Manifest) -> Client:
    """The installed server of the source's major, else of the nearest newer one."""
    wanted = backup.database.server_major
    servers = sorted(each for each in clients if (each.folder / "postgres").is_file())
    fitting = [each for each in servers if each.major >= wanted]
    if not fitting:
        have = ", ".join(each.version for each in servers)
        raise ConfigurationError(
            f"the backup is of PostgreSQL {wanted}, and there is no server of that version or a newer one here",
            detail=f"servers: {have}" if have else None,
            hint=f"install postgresql-{wanted}, name its folder in PGPROOF_PG_BIN, or try it on a server with --on",
        )
    return max(each for each in fitting if each.major == fitting[0].major)


def _refuse_lack_of_room(backup: Manifest, share: float, folder: Path) -> None:
    if not folder.is_dir():
        raise ConfigurationError(
            f"the folder for throwaway servers is not there: {folder}", hint="make it, or correct PGPROOF_DRILL_FOLDER"
        )
    needed = int(backup.database.bytes * share * _GROWTH) + _SPARE
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ConfigurationError(
            f"a drill of this backup needs about {show_size(needed)} in {folder}, and there is {show_size(free)}",
            hint="name a larger place in PGPROOF_DRILL_FOLDER, restore a part with --sample, or use --on",
        )


def _reason(error: psycopg.Error) -> str:
    """Why a query failed; where it is about a value, without it: the result of a drill is kept as plain text."""
    if (error.sqlstate or "")[:2] in _ABOUT_VALUES:
        return f"it failed with {type(error).__name__} ({error.sqlstate})"
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _verdict(cursor: psycopg.Cursor[TupleRow]) -> str:
    """What is wrong with the first answer that is wrong, of all statements that give one; empty if nothing is."""
    said = "it gave no rows"
    while True:
        if cursor.description:
            wrong = next((row for row in cursor if not row or row[0] is not True), None)
            said = "it gave no rows" if not cursor.rowcount else "" if wrong is None else _told(wrong)
            if said:
                return said
        if not cursor.nextset():
            return said


def _told(row: TupleRow) -> str:
    """What a wrong answer was; of text only that it was some: the result of a drill is kept as plain text."""
    value = row[0] if row else None
    shown = repr(value) if value is None or isinstance(value, int) else f"a value of type {type(value).__name__}"
    return f"it gave {shown}, not true"
