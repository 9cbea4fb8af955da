"""The pgdump engine: pg_dump's custom format, uncompressed, in the snapshot we hold, and the globals beside it.

Owns the command lines of pg_dump and pg_dumpall and what their failures mean. Compression is the stream's part.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

from psycopg.conninfo import make_conninfo

from backup.domain.lanes import LARGE, balance, lane_name
from backup.domain.manifest import Database, Role, Tool
from backup.domain.patterns import Exclusion, excluded
from backup.domain.proof import PROOF_NAME
from backup.errors import AccessDenied, DumpFailed, PartUnavailable
from backup.logs import log
from backup.ports import PartSource
from backup.postgres.clients import Client, choose
from backup.postgres.lanes import Gate, fitting, spread
from backup.postgres.prover import ProofOptions, Prover
from backup.postgres.snapshot import HeldSnapshot
from backup.stream.child import Child
from backup.stream.readers import ByteReader

_REASONS: tuple[tuple[re.Pattern[str], type[DumpFailed | AccessDenied], str, str], ...] = (
    (
        re.compile(r"conflict with recovery"),
        DumpFailed,
        "was ended by the standby, it was in the way of a change of the primary",
        "set hot_standby_feedback = on there, or raise max_standby_streaming_delay, or back up the primary",
    ),
    (
        re.compile(r"canceling statement due to (lock|statement) timeout"),
        DumpFailed,
        "waited too long for a lock",
        "another session holds or wants an exclusive lock on that table; see PGPROOF_LOCK_WAIT_TIMEOUT",
    ),
    (
        re.compile(r"permission denied|must be owner|would be affected by row-level security"),
        AccessDenied,
        "may not read everything",
        "pgproof doctor prints the missing GRANTs",
    ),
    (
        re.compile(r"authentication failed|no password supplied|no pg_hba.conf entry|is not permitted to log in"),
        AccessDenied,
        "is refused by the server, though our own connection was not",
        "say user and password in one place only, not partly in a service file",
    ),
    (
        re.compile(r"invalid snapshot identifier|snapshot \".*\" does not exist|could not import the requested snap"),
        DumpFailed,
        "found the snapshot gone: our session, which holds it, was ended",
        "run it again; where this repeats, look for what ends sessions: an administrator, a proxy, a restart",
    ),
    (
        re.compile(
            r"closed the connection|terminating connection|connection to server|could not receive data|SSL SYSCALL"
            r"|SSL error|connection not open|no connection to the server"
        ),
        DumpFailed,
        "lost its line to the server",
        "run it again; where this repeats, look at the server's log, and for a proxy or firewall with a time limit",
    ),
)
"""What pg_dump's words mean, the surest first: pattern, failure, what it did, advice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DumpOptions:
    """What the user may say of a dump.

    Attributes:
        lock_wait_timeout: seconds that pg_dump waits for a lock.
        globals: roles without passwords, with their password hashes, or none.
        exclude_schemas, exclude_tables, exclude_table_data: patterns as pg_dump takes them.
        jobs: lanes that read at the same time; None for as many as fit the database.
        cores: that this process may use.
        large: bytes of a table that may be in another lane than the first.
    """

    lock_wait_timeout: int = 60
    globals: str = "roles"
    exclude_schemas: tuple[str, ...] = ()
    exclude_tables: tuple[str, ...] = ()
    exclude_table_data: tuple[str, ...] = ()
    jobs: int | None = 1
    cores: int = 1
    large: int = LARGE

    @property
    def exclusions(self) -> tuple[Exclusion, ...]:
        """The tables that they mean, with rows or without."""
        return excluded(self.exclude_schemas, (*self.exclude_tables, *self.exclude_table_data))


@dataclass(frozen=True, slots=True, kw_only=True)
class PgDumpEngine:
    """Dumps with the installed client that fits the server.

    Attributes:
        proof: how much is found out of the snapshot beside the dump; None for nothing.
    """

    clients: tuple[Client, ...]
    options: DumpOptions
    environ: Mapping[str, str]
    proof: ProofOptions | None = None

    @property
    def filtered(self) -> bool:
        """Whether a setting leaves parts of the database out."""
        options = self.options
        return bool(options.exclude_schemas or options.exclude_tables or options.exclude_table_data)

    def tool(self, database: Database) -> Tool:
        """The pg_dump for this server. Raises ConfigurationError where none fits."""
        client = choose(self.clients, server=database.server_major)
        return Tool(engine="pgdump", name="pg_dump", version=client.version)

    def parts(self, snapshot: HeldSnapshot) -> Generator[PartSource, None, None]:
        """The dump, in as many lanes as are worth it, then globals and proof where they are wanted."""
        client = choose(self.clients, server=snapshot.database.server_major)
        prover = Prover(snapshot, self.proof) if self.proof else None
        lanes = self._lanes(snapshot)
        gate = Gate(len(lanes), snapshot, prover.start if prover else None)
        try:
            first, *others = (
                PartSource(name=name, role=Role.DUMP, open=partial(self._dump, client, snapshot, gate, arguments))
                for name, arguments in lanes
            )
            yield replace(first, beside=tuple(others))
            if self.options.globals != "off":
                yield PartSource(
                    name="globals.sql", role=Role.GLOBALS, open=partial(self._globals, client, snapshot), optional=True
                )
            if prover:
                yield PartSource(
                    name=PROOF_NAME, role=Role.PROOF, open=prover.open, optional=True, proof=lambda: prover.proof
                )
        finally:
            gate.close()
            if prover:
                prover.close()

    def _lanes(self, snapshot: HeldSnapshot) -> list[tuple[str, tuple[str, ...]]]:
        """The name of each lane's part, and what its pg_dump is told of what is in it; lane 0 first."""
        options = self.options
        jobs = fitting(snapshot, options.jobs, options.cores)
        found = balance((), jobs=1)
        if jobs > 1:
            found = spread(snapshot, jobs, options.exclusions, large=options.large)
            log.info("lanes", jobs=len(found.bytes), bytes=found.shares, bounded=found.bounded or None)
        tables = [f"--exclude-table={pattern}" for pattern in options.exclude_tables]
        rows = [f"--exclude-table-data={pattern}" for pattern in options.exclude_table_data]
        # Where --table says what is wanted, pg_dump does not hear --exclude-schema; as tables it does.
        schemas = [f"--exclude-table={pattern}.*" for pattern in options.exclude_schemas]
        first = [f"--exclude-schema={pattern}" for pattern in options.exclude_schemas]
        first += [f"--exclude-table-data={table.pattern}" for table in found.apart]
        others = [["--data-only", *schemas, *(f"--table={table.pattern}" for table in lane)] for lane in found.lanes]
        return [(lane_name(number), (*tables, *rows, *arguments)) for number, arguments in enumerate([first, *others])]

    @contextmanager
    def _dump(
        self, client: Client, snapshot: HeldSnapshot, gate: Gate, arguments: Sequence[str]
    ) -> Iterator[ByteReader]:
        argv = [
            client.program("pg_dump"),
            "--format=custom",
            "--compress=0",
            "--no-password",
            f"--snapshot={snapshot.name}",
            f"--lock-wait-timeout={self.options.lock_wait_timeout * 1000}",
            *arguments,
            f"--dbname={snapshot.address.argument()}",
        ]
        with self._start(argv, snapshot) as child:
            gate.join(child)
            yield _DumpStream(child, gate)

    @contextmanager
    def _globals(self, client: Client, snapshot: HeldSnapshot) -> Iterator[ByteReader]:
        # pg_dumpall ignores the database of --dbname and goes to `postgres`, where a role may have no right to enter.
        entrance = make_conninfo("", dbname=snapshot.database.name)
        argv = [
            client.program("pg_dumpall"),
            "--globals-only",
            "--no-password",
            *(() if self.options.globals == "passwords" else ("--no-role-passwords",)),
            f"--database={entrance}",
            f"--dbname={snapshot.address.argument()}",
        ]
        if not os.access(argv[0], os.X_OK):
            raise PartUnavailable(
                f"there is no {argv[0]}",
                hint="install the PostgreSQL client programs as a whole, pg_dump, pg_dumpall and pg_restore",
            )
        with self._start(argv, snapshot) as child:
            yield _PermittedOutput(child)

    def _start(self, argv: Sequence[str], snapshot: HeldSnapshot) -> Child:
        try:
            return Child(argv, env=snapshot.address.environment(self.environ), stdout=True)
        except OSError as error:
            raise DumpFailed(f"{argv[0]} cannot be started", detail=error.strerror) from error


class WholeOutput:
    """A child's output; its end is told only after the child has ended well."""

    def __init__(self, child: Child) -> None:
        self._child = child

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes. Raises DumpFailed or AccessDenied where the child did not end well."""
        data = self._child.read(size)
        if not data and (status := self._child.wait()):
            raise _failure(self._child, status)
        return data


class _PermittedOutput(WholeOutput):
    """The output of a program that may not be permitted to read what it would, and then is done without."""

    def read(self, size: int, /) -> bytes:
        try:
            return super().read(size)
        except AccessDenied as error:
            raise PartUnavailable(error.message, detail=error.detail, hint=error.hint) from error


_MAGIC = b"PGDMP"
_LAST = bytes(5)
"""What every archive ends with that was written to a pipe: the length of a block that is empty, as the archive's
integers are (a sign, four bytes), or the place of data that is not known (pg_backup_custom.c)."""


class _DumpStream(WholeOutput):
    """pg_dump's output. With its first byte it holds all its locks; no byte is told before every other lane does.

    That it ended well is not believed of what is no archive from the first byte to the last: a script in its place may
    hand on neither its output nor its exit status.
    """

    def __init__(self, child: Child, gate: Gate) -> None:
        super().__init__(child)
        self._gate: Gate | None = gate
        self._program = child.program
        self._length = 0
        self._first = self._last = b""

    def read(self, size: int, /) -> bytes:
        data = super().read(size)
        self._refuse_no_archive(data)
        if self._gate and data:
            gate, self._gate = self._gate, None
            gate.wait()
        return data

    def _refuse_no_archive(self, data: bytes) -> None:
        """Look at what is read. Raises DumpFailed at its end where it was no whole archive."""
        self._length += len(data)
        self._first = (self._first + data[: len(_MAGIC)])[: len(_MAGIC)]
        self._last = (self._last + data[-len(_LAST) :])[-len(_LAST) :]
        if data or (self._first == _MAGIC and self._last == _LAST):
            return
        raise DumpFailed(
            f"{self._program} ended with exit status 0, but what it gave is no whole archive: {self._length} bytes",
            hint=f"look what {self._program} is here; a script in its place must hand on its output and exit status",
        )


def _failure(child: Child, status: int) -> DumpFailed | AccessDenied:
    """Why a child ended with this status, by its own words."""
    said = child.stderr_tail
    last = "\n".join(line for line in said.splitlines()[-8:] if line.strip()) or None
    if status < 0:
        return DumpFailed(
            f"{child.program} was killed by {signal.Signals(-status).name}",
            detail=last,
            hint="run it again; where nobody did that by hand, look whether the machine ran out of memory",
        )
    for pattern, kind, message, hint in _REASONS:
        if pattern.search(said):
            return kind(f"{child.program} {message}", detail=last, hint=hint)
    return DumpFailed(
        f"{child.program} failed with exit status {status}", detail=last, hint="the server's log may say more"
    )
