"""A pg_dump archive that is read through pg_restore: what is in it, without its data.

Owns the head, the first bytes that hold the table of contents, and how large it may be. All that is known of an
archive comes from pg_restore's own words. Must not connect to a server.
"""

from __future__ import annotations

import os
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from backup.domain.toc import Entry, parse
from backup.errors import ConfigurationError, IntegrityFailed
from backup.postgres.clients import Client
from backup.stream.child import Child
from backup.stream.readers import READ_SIZE, ByteReader, read_exactly

OpenDump = Callable[[], AbstractContextManager[ByteReader]]
"""Opens a dump, decoded and checked, from its start; may be called more than once."""

HEAD_LIMIT = 64 << 20
"""Bytes of a table of contents that may be kept in a file; 5,000 tables make about 5 MiB."""

_FIRST_HEAD = 1 << 20
_NO_CONNECT = "database name contains a newline or carriage return"
_LISTED = re.compile(r"^(\d+); \d+ \d+ (?:(DATABASE(?: PROPERTIES)?) - )?", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """An archive of which pg_restore can be asked.

    Attributes:
        folder: a temporary one, that lasts as long as the archive is open.
        head: a file that begins like the archive and holds its table of contents; None where that is too large,
            then the dump is read from its start for each question.
    """

    client: Client
    folder: Path
    head: Path | None
    open_dump: OpenDump
    environ: Mapping[str, str]

    def entries(self) -> tuple[Entry, ...]:
        """All entries with their SQL.

        Raises:
            IntegrityFailed: pg_restore cannot read it.
        """
        listing = self._ask("--list", "--verbose")
        scripts = self._scripts(listing)
        entries = parse(listing, *scripts)
        large_objects = [entry.number for entry in entries if entry.of_large_objects]
        if large_objects:
            about = self._ask("--verbose", "--section=data", self.use_list(large_objects), "--file=-")
            entries = parse(listing, *scripts, about)
        return entries

    def _scripts(self, listing: str) -> tuple[str, ...]:
        r"""The SQL of all but the data.

        Behind the database, and behind its properties, pg_restore writes a \connect, and gives up where the name has a
        newline. Both are always written, but where a list names them last, they come last.
        """
        asked = ("--verbose", "--create", "--section=pre-data", "--section=post-data", "--file=-")
        try:
            return (self._ask(*asked),)
        except IntegrityFailed as error:
            if _NO_CONNECT not in (error.detail or ""):
                raise
        found = [(int(number), kind) for number, kind in _LISTED.findall(listing)]
        database = [number for number, kind in found if kind == "DATABASE"]
        properties = [number for number, kind in found if kind == "DATABASE PROPERTIES"]
        others = [number for number, kind in found if not kind]
        orders = ([*others, *database, *properties], [*properties, *database])
        return tuple(self._ask(*asked, self.use_list(order), excused=_NO_CONNECT) for order in orders)

    def rows(self) -> tuple[Entry, ...]:
        """All entries, without their names and SQL: enough to know whose rows it has. Raises what `entries` does."""
        return parse(self._ask("--list", "--verbose"))

    def after_rows(self) -> frozenset[int]:
        """The entries that pg_restore has for its section post-data, but for grants. Raises what `entries` does."""
        listing = self._ask("--list", "--section=post-data")
        return frozenset(int(number) for number, _ in _LISTED.findall(listing))

    def script(self, *arguments: str) -> str:
        """What pg_restore writes of the table of contents. Raises what `entries` does.

        It is in the database's encoding: bytes that are not UTF-8 are kept by `surrogateescape`.
        """
        return self._said(*arguments, "--file=-").decode(errors="surrogateescape")

    def use_list(self, numbers: Iterable[int]) -> str:
        """pg_restore's option for these entries in this order."""
        with temporary_files():
            handle, path = tempfile.mkstemp(prefix="list-", dir=self.folder)
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.writelines(f"{number};\n" for number in numbers)
        return f"--use-list={path}"

    def _ask(self, *arguments: str, excused: str | None = None) -> str:
        """What pg_restore prints of the table of contents; with `excused` among its complaints, so far as it came."""
        return self._said(*arguments, excused=excused).decode(errors="replace")

    def _said(self, *arguments: str, excused: str | None = None) -> bytes:
        argv = [self.client.program("pg_restore"), *arguments, *([str(self.head)] if self.head else [])]
        answer: list[bytes] = []
        with Child(argv, env=self.environ, stdin=self.head is None, stdout=True) as child:
            collector = threading.Thread(target=_collect, args=(child, answer), daemon=True)
            collector.start()
            try:
                if self.head is None:
                    with self.open_dump() as dump:
                        feed(child, dump)
                collector.join()
            except BaseException:
                child.terminate()
                collector.join()  # it reads a pipe that is closed behind this block
                raise
            if child.wait() and not (excused and excused in child.stderr_tail):
                raise IntegrityFailed("the archive's table of contents cannot be read", detail=child.stderr_tail)
        return b"".join(answer)


def _collect(child: Child, answer: list[bytes]) -> None:
    while data := child.read(READ_SIZE):
        answer.append(data)


@dataclass(slots=True)
class Feeding:
    """How many bytes of a stream a child has (`size`), and the seconds in which it took no more."""

    size: int = 0
    waited: float = 0.0

    def give(self, child: Child, data: bytes) -> bool:
        """Give it some; False where it does not read any more."""
        begun = time.monotonic()
        taken = child.write(data)
        self.waited += time.monotonic() - begun
        self.size += len(data)
        return taken


def feed(child: Child, source: ByteReader, feeding: Feeding | None = None) -> bool:
    """Give `source` to a child's standard input until either ends; tells whether `source` did.

    The last piece is held back until `source` has told its end: where the bytes turn out damaged, the child has never
    had all of them, and so has committed nothing that needs them all.
    """
    feeding = feeding or Feeding()
    held = b""
    while data := source.read(READ_SIZE):
        if not feeding.give(child, held):
            return False
        held = data
    if not feeding.give(child, held):
        return False
    child.close_stdin()
    return True


@contextmanager
def open_archive(
    open_dump: OpenDump, client: Client, environ: Mapping[str, str], *, head_limit: int = HEAD_LIMIT
) -> Iterator[Archive]:
    """An archive, its head kept in a temporary file while the context lasts.

    Raises:
        IntegrityFailed: it is no archive, or what `open_dump`'s reader raises.
        ConfigurationError: there is no place for temporary files, or no room in it.
    """
    with ExitStack() as stack:
        with temporary_files():
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="pgproof-"))
            head = Path(folder, "head.pgc")
            kept = _keep_head(open_dump, client, environ, head, head_limit)
        yield Archive(
            client=client, folder=Path(folder), head=head if kept else None, open_dump=open_dump, environ=environ
        )


@contextmanager
def temporary_files() -> Iterator[None]:
    """Tell what the machine says when a temporary file cannot be written.

    Raises:
        ConfigurationError: it cannot.
    """
    try:
        yield
    except OSError as error:
        raise ConfigurationError(
            "temporary files cannot be written",
            detail=str(error),
            hint=f"a restore needs up to {HEAD_LIMIT >> 20} MiB there: name another folder in TMPDIR, or make room",
        ) from error


def _keep_head(open_dump: OpenDump, client: Client, environ: Mapping[str, str], head: Path, limit: int) -> bool:
    """Write so much of the archive that pg_restore can list it; False where that is more than `limit` bytes."""
    size = min(_FIRST_HEAD, limit)
    with open_dump() as dump, head.open("wb", buffering=0) as file:
        while True:
            wanted = size - file.tell()
            data = read_exactly(dump, wanted)
            _write_all(file, data)
            complaint = _complaint([client.program("pg_restore"), "--list", str(head)], environ)
            if complaint is None:
                return True
            if len(data) < wanted:
                raise IntegrityFailed("the archive has no whole table of contents", detail=complaint)
            if size >= limit:
                return False
            size = min(size * 2, limit)


def _write_all(file: FileIO, data: bytes) -> None:
    """Write all of it, or raise; nothing is left that would be written when the file is closed."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def _complaint(argv: Sequence[str], environ: Mapping[str, str]) -> str | None:
    with Child(argv, env=environ) as child:
        return child.stderr_tail if child.wait() else None


def read_through(client: Client, dump: ByteReader, environ: Mapping[str, str]) -> None:
    """Let pg_restore turn all of an archive into SQL, to nowhere: it notices every cut.

    Raises:
        IntegrityFailed: it does not read to its end, or what `dump` raises.
    """
    with Child([client.program("pg_restore"), "--file=/dev/null"], env=environ, stdin=True) as child:
        feed(child, dump)
        if child.wait():
            raise IntegrityFailed("the archive does not read to its end", detail=child.stderr_tail)
