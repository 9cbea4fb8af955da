"""pg_restore at work against a server: its command lines, and how its complaints are judged.

The one complaint that is tolerated: pg_restore 17 and newer sets transaction_timeout, which an older server does not
know. Everything else stops it at once.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

from backup.errors import PgproofError, RestoreFailed
from backup.postgres.address import Address
from backup.postgres.archive import Feeding, feed
from backup.postgres.clients import Client
from backup.stream.child import Child
from backup.stream.readers import ByteReader, drain

_TIMEOUT_SINCE = 17
_HARMLESS = "Command was: SET transaction_timeout = 0;"
_IGNORED = re.compile(r"errors ignored on restore: (\d+)")
_COMPLAINT = re.compile(r"(pg_restore: )+(error|fatal): ")
"""How a complaint of pg_restore begins; a notice of the server may have `error: ` somewhere in it too. Where workers
write over each other, the name stands twice."""

_DATA_TROUBLE = re.compile(r"COPY|input file|out of memory|invalid|corrupt|unexpected|end of file", re.IGNORECASE)
_OF_SERVER = re.compile(r"No space left|could not extend|terminating connection|closed the connection")
"""What no bytes of ours bring about, whatever they are: what is still to come of them need not be waited for."""
_TABLE_BEGINS = 'pg_restore: processing data for table "'
_CHATTER = re.compile(r"pg_restore: (?!error: |fatal: |warning: |hint: |detail: |while |from TOC )")
"""What it tells with --verbose and nobody has to know where it fails."""

_ADVICE: Mapping[tuple[str, ...], str] = {
    ("permission denied", "must be"): (
        "restore as a superuser or as the owner of the objects, or see --no-owner and --no-privileges"
    ),
    ("No space left", "could not extend"): "the server's disk is full",
    ("because other objects depend on it",): (
        "restore into a new database (without --in-place), or drop what is newer than the backup"
    ),
    ("out of shared memory",): "raise max_locks_per_transaction on the server, or restore into a new database",
    ("FATAL:  too many connections for", "FATAL:  sorry, too many clients", "FATAL:  remaining connection slots"): (
        "raise max_connections, or the CONNECTION LIMIT of the role, or set a lower PGPROOF_RESTORE_JOBS"
    ),
    ("closed the connection", "terminating connection", "connection to server"): (
        "run it again, nothing is left of this one; where this repeats, look at the server's log"
    ),
}
"""By what is in its words, the first that is."""

_SETTLED = re.compile(r"^(pg_restore: (while |from TOC|warning: ))|^pg_restore: $")


def knows_less(client: Client, server: int) -> bool:
    """Whether a server of this major version does not know what the client's pg_restore sets first."""
    return client.major >= _TIMEOUT_SINCE > server


Hold = Callable[[Child], AbstractContextManager[object]]
"""What is to be done around a program that is at work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loader:
    """pg_restore of one client into one database. May be used by several threads at a time.

    Attributes:
        address: of the database, its settings for the load included.
        server: major version of the server.
        arguments: for every call, as `--no-owner`.
    """

    client: Client
    address: Address
    server: int
    environ: Mapping[str, str]
    arguments: tuple[str, ...] = ()
    hold: Hold = nullcontext

    def held(self, hold: Hold) -> Loader:
        """The same, each of its programs held while it is at work."""
        return replace(self, hold=hold)

    @property
    def knows_less(self) -> bool:
        """Whether the server does not know what this pg_restore sets first."""
        return knows_less(self.client, self.server)

    def run(
        self,
        arguments: Sequence[str],
        source: ByteReader | None = None,
        *,
        feeding: Feeding | None = None,
        on_table: Callable[[], None] | None = None,
    ) -> None:
        """Run it, with `source` as its archive or a file among the arguments.

        Args:
            arguments: beside those of every call.
            source: an archive from its start.
            feeding: is told how far that is.
            on_table: called, on another thread, each time that the rows of a table begin: those before it are in.

        Raises:
            RestoreFailed: it complained.
            PgproofError: what `source` raises; where pg_restore stumbles over damaged bytes, that is the reason told.
        """
        argv = [
            self.client.program("pg_restore"),
            "--no-password",
            *(() if self.knows_less else ("--exit-on-error",)),
            *self.arguments,
            *(["--verbose"] if on_table else []),
            f"--dbname={self.address.argument()}",
            *arguments,
        ]
        judge = _Judge(workers=_workers(arguments), on_table=on_table)
        environment = self.address.environment(self.environ)
        with (
            Child(argv, env=environment, stdin=source is not None, on_stderr=judge.hear) as child,
            self.hold(child),
        ):
            judge.child = child
            if source is not None:
                feed(child, source, feeding)
            status = child.wait()
        said = child.stderr_tail
        if source is not None and (status == 0 or (_DATA_TROUBLE.search(said) and not _OF_SERVER.search(said))):
            drain(source)  # at its end the checks of the whole are made
        judge.decide(status, said, tolerant=self.knows_less)


class _Judge:
    """Hears pg_restore's complaints as they come, and stops it at the first that is not harmless.

    Each of its parallel workers makes the harmless complaint once too, but is not counted by it for that. Workers
    write over each other, though never into the two lines that say what failed.
    """

    def __init__(self, *, workers: int, on_table: Callable[[], None] | None) -> None:
        self.child: Child | None = None
        self._workers = workers
        self._on_table = on_table
        self._harmless = 0
        self._harmful = False

    def hear(self, line: str) -> bool:
        """Take notice of a line; tells whether it is worth keeping."""
        if self._on_table and _CHATTER.match(line):
            if line.startswith(_TABLE_BEGINS):
                self._on_table()
            return False
        if line.startswith("Command was: "):
            if line == _HARMLESS:
                self._harmless += 1
                return True
        elif not _COMPLAINT.match(line) or "could not execute query" in line:
            return True
        self._harmful = True
        if self.child:
            self.child.terminate()
        return True

    def decide(self, status: int, said: str, *, tolerant: bool) -> None:
        ignored = _IGNORED.search(said)
        excused = tolerant and not self._harmful and ignored and int(ignored[1]) <= self._harmless - self._workers
        if status == 0 or (status == 1 and excused):
            return
        raise failure(said, status)


def _workers(arguments: Sequence[str]) -> int:
    """How many processes beside itself pg_restore starts."""
    jobs = next((int(text.removeprefix("--jobs=")) for text in arguments if text.startswith("--jobs=")), 1)
    return jobs if jobs > 1 else 0


def failure(said: str, status: int) -> PgproofError:
    """The first real complaint of pg_restore, with the statement it was about."""
    lines = [line for line in said.splitlines() if line.strip() and not _SETTLED.match(line)]
    start = next(
        (i for i, line in enumerate(lines) if _COMPLAINT.match(line) and "transaction_timeout" not in line), len(lines)
    )
    words = [line for line in lines[start:] if line != _HARMLESS][:12]
    if status < 0 and not words:
        return RestoreFailed(
            f"pg_restore was killed by {signal.Signals(-status).name}",
            hint="run it again; where nobody did that by hand, look whether the machine ran out of memory",
        )
    first = re.sub(r"^pg_restore: error: (could not execute query: )?", "", words[0]) if words else f"status {status}"
    return RestoreFailed(f"pg_restore stopped: {first}", detail="\n".join(words[1:]) or None, hint=advice(said))


def advice(said: str) -> str | None:
    """What to do about what the server has said through one of its programs, where that is known."""
    return next((hint for words, hint in _ADVICE.items() if any(each in said for each in words)), None)
