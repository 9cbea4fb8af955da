"""Several archives of one dump over what is there, in one transaction: as SQL, through one psql.

pg_restore alone can do that with one archive only. Owns the order of the pieces, and that psql is told to commit when
all of them have come to their ends, checked, and not before. The order is pg_restore's own: drop everything, make what
comes before the rows, load these, and the rest, grants behind it.
"""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Self

from backup.domain.build_order import grants_of
from backup.domain.sql import comment_starts
from backup.domain.toc import Entry, droppable, within
from backup.errors import Interrupted, RestoreFailed
from backup.postgres.archive import Archive, Feeding, feed
from backup.postgres.load import Loader, advice, failure
from backup.postgres.restore_job import Job
from backup.signals import undisturbed
from backup.stream.child import Child
from backup.stream.readers import READ_SIZE, ByteReader, drain

_ROWS = frozenset({"TABLE DATA", "BLOBS"})
_BEGIN = b"\nBEGIN;\n"
_END = re.compile(rb"\nCOMMIT;\n\n--\n-- PostgreSQL database dump complete\n--\n\n(\\unrestrict \S+\n\n)?\Z")
_LONGEST_END = 512
"""Bytes in which the end of a script is: the longest has about 200."""
_LONGEST_START = 1 << 16
_STEP = 0.2
_READY = "everything was carried out"
_COMPLAINT = re.compile(r"^psql:.*?: (?:ERROR|FATAL|PANIC|error): +|^psql: error: ")


def replace_objects(job: Job, loader: Loader, feedings: list[Feeding]) -> None:
    """Replace every object of the backup; whatever is raised but a signal behind the commit, nothing was changed.

    Raises:
        RestoreFailed: the server refused something.
        IntegrityFailed: the dump is not what was written.
    """
    with _Psql(loader) as psql:
        psql.say(b"BEGIN;\n")
        psql.say(_drops(job, loader))
        first = within(0, job.wanted)
        grants = set(grants_of(first))
        others = [entry.number for entry in first if entry.number not in grants]
        after = job.archive.after_rows() | grants
        script = _Script(loader, psql)
        script.of_head(job.archive, others, "--section=pre-data")
        for lane, archive in {0: job.archive, **job.lanes}.items():
            numbers = [entry.number for entry in within(lane, job.wanted)]
            feedings.append(Feeding())
            with archive.open_dump() as dump:
                script.of_stream(archive, numbers, dump, feedings[-1])
        script.of_head(job.archive, [entry.number for entry in first if entry.number in after])
        psql.commit()


def _drops(job: Job, loader: Loader) -> bytes:
    """The statements that drop everything: what pg_restore writes before the first thing that it makes."""
    entries: Iterable[Entry] = (entry for entry in droppable(within(0, job.wanted)) if entry.kind not in _ROWS)
    arguments = ["--verbose", "--clean", "--if-exists", *loader.arguments]
    script = job.archive.script(*arguments, job.archive.use_list(entry.number for entry in entries))
    makes = re.compile(r"--\n-- TOC entry \d+ \(")
    start = next((place for place in comment_starts(script) if makes.match(script, place)), len(script))
    return _ended(script[:start]).encode(errors="surrogateescape")


def _ended(script: str) -> str:
    r"""A script's beginning, with the line that ends its \restrict: in between psql obeys no command of the archive.

    The first such line is pg_restore's own, before anything that the archive says; no older one writes it.
    """
    found = re.search(r"(?m)^\\restrict (\S+)$", script)
    return f"{script}\n\\unrestrict {found[1]}\n" if found else script


@contextmanager
def committed() -> Iterator[None]:
    """What comes behind the commit: of a signal there it is told that the backup is in place."""
    try:
        yield
    except Interrupted as signal_heard:
        signal_heard.hint = "its transaction had been committed: the database holds the backup"
        raise


class _Script:
    """What pg_restore writes of an archive, brought to psql without its own transaction."""

    def __init__(self, loader: Loader, psql: _Psql) -> None:
        self._loader = loader
        self._psql = psql

    def of_head(self, archive: Archive, numbers: Sequence[int], *arguments: str) -> None:
        """Of the table of contents; nothing of no entries."""
        if not numbers:
            return
        source = archive.open_dump() if archive.head is None else nullcontext(None)
        with source as dump:
            self._bring([*arguments, archive.use_list(numbers)], archive, dump, Feeding())

    def of_stream(self, archive: Archive, numbers: Sequence[int], dump: ByteReader, feeding: Feeding) -> None:
        """Of the rows; at its end `dump` is checked."""
        self._bring(["--section=data", archive.use_list(numbers)], None, dump, feeding)
        drain(dump)

    def _bring(
        self, arguments: Sequence[str], archive: Archive | None, dump: ByteReader | None, feeding: Feeding
    ) -> None:
        loader = self._loader
        file = [str(archive.head)] if archive and archive.head else []
        argv = [loader.client.program("pg_restore"), "--single-transaction", "--file=-", *loader.arguments]
        environment = loader.address.environment(loader.environ)
        with Child([*argv, *arguments, *file], env=environment, stdin=dump is not None, stdout=True) as child:
            carrier = _Carrier(child, self._psql)
            try:
                if dump is not None:
                    feed(child, dump, feeding)
                carrier.wait()
            except BaseException:
                self._psql.give_up()
                child.terminate()
                carrier.wait()
                raise
            if carrier.is_deaf:
                raise self._psql.failure()
            status = child.wait()
            if status and not carrier.is_strange:
                if dump is not None and status > 0:
                    drain(dump)  # where it is damaged, that is what is told
                raise failure(child.stderr_tail, status)
            if not carrier.is_whole:
                raise RestoreFailed(f"pg_restore {loader.client.version} wrote a script of an unknown form")


class _Carrier:
    """Brings a script from pg_restore to psql on a thread of its own, without its BEGIN and its COMMIT.

    `is_whole`: it had both, so that all of it has been brought. `is_strange`: it begins in another way, and pg_restore
    was told to end. `is_deaf`: psql does not listen any more.
    """

    def __init__(self, child: Child, psql: _Psql) -> None:
        self.is_whole = False
        self.is_strange = False
        self.is_deaf = False
        self._child = child
        self._psql = psql
        self._ended = threading.Event()
        threading.Thread(target=self._run, name="script", daemon=True).start()

    def wait(self) -> None:
        """Until it has ended."""
        while not self._ended.wait(_STEP):
            continue

    def _run(self) -> None:
        try:
            for piece in self._bare():
                if not self._psql.say(piece):
                    self.is_deaf = True
                    self._child.terminate()
                    return
        finally:
            self._ended.set()

    def _bare(self) -> Iterator[bytes]:
        held = b""
        is_begun = False
        while piece := self._child.read(READ_SIZE):
            held += piece
            if not is_begun:
                before, found, behind = held.partition(_BEGIN)
                if not found and len(held) > _LONGEST_START:
                    self.is_strange = True
                    self._child.terminate()  # it would wait for ever for somebody who reads
                    return
                if not found:
                    continue
                is_begun, held = True, before + b"\n" + behind
            if len(held) > _LONGEST_END:
                yield held[:-_LONGEST_END]
                held = held[-_LONGEST_END:]
        if is_begun and (end := _END.search(held)):
            self.is_whole = True
            yield held[: end.start()] + b"\n" + (end[1] or b"")


class _Psql:
    """One psql; leaving the context ends it, and with it the transaction, unless it has finished."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader
        self._stack = ExitStack()
        self._child: Child | None = None
        self._ready = threading.Event()

    def __enter__(self) -> Self:
        loader = self._loader
        argv = [
            loader.client.program("psql"),
            "--no-psqlrc",
            "--no-password",
            "--quiet",
            "--echo-errors",
            "--set=ON_ERROR_STOP=1",
            f"--dbname={loader.address.argument()}",
            "--file=-",
        ]
        self._child = self._stack.enter_context(
            Child(
                argv,
                env=loader.address.environment(loader.environ),
                stdin=True,
                on_stderr=self._hear,
                stop_signals=(signal.SIGINT, signal.SIGTERM),  # only at the first one it tells the server to stop too
            )
        )
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def say(self, script: bytes) -> bool:
        """Tell it a piece; False where it does not listen any more."""
        return self._running.write(script)

    def give_up(self) -> None:
        """Let it end without a commit."""
        self._running.terminate()
        self._running.give_up()

    def commit(self) -> None:
        """Let it commit when all was carried out; from then on a signal waits until it has. Raises RestoreFailed."""
        self.say(f"\\warn {_READY}\n".encode())
        while not self._ready.wait(_STEP):
            if self._running.poll() is not None:
                raise self.failure()
        with committed(), undisturbed():
            self.say(b"COMMIT;\n")
            self._running.close_stdin()
            if self._running.wait():
                raise self.failure()

    def _hear(self, line: str) -> bool:
        if line == _READY:
            self._ready.set()
        return line != _READY

    @property
    def _running(self) -> Child:
        if self._child is None:
            raise ValueError("psql was not started")
        return self._child

    def failure(self) -> RestoreFailed:
        """Why it has ended."""
        status = self._running.wait()
        said = self._running.stderr_tail
        lines = said.splitlines()
        start = next((place for place, line in enumerate(lines) if _COMPLAINT.match(line)), 0)
        first = _COMPLAINT.sub("", lines[start]) if lines else f"status {status}"
        return RestoreFailed(
            f"psql stopped: {first}", detail="\n".join(lines[start + 1 :][:12]) or None, hint=advice(said)
        )
