"""An engine whose dump a test can meddle with: the real one, that only says when."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial

from backup.domain.manifest import Database, Role, Tool
from backup.ports import PartSource
from backup.postgres.dump import PgDumpEngine
from backup.postgres.snapshot import HeldSnapshot
from backup.stream.readers import ByteReader


def nothing() -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeddlingEngine:
    """Calls back on the way.

    Attributes:
        snapshot_taken: nothing is started yet.
        begun: pg_dump was started, and nothing of it is read.
        locked: its first bytes were read: it has its locks, and the proof has just begun.
        ended: all of the dump was read, and the proof perhaps not begun.
    """

    engine: PgDumpEngine
    snapshot_taken: Callable[[], None] = nothing
    begun: Callable[[], None] = nothing
    locked: Callable[[], None] = nothing
    ended: Callable[[], None] = nothing

    @property
    def filtered(self) -> bool:
        return self.engine.filtered

    def tool(self, database: Database) -> Tool:
        return self.engine.tool(database)

    def parts(self, snapshot: HeldSnapshot) -> Generator[PartSource, None, None]:
        with closing(self.engine.parts(snapshot)) as parts:
            for number, part in enumerate(parts):
                if number == 0:
                    self.snapshot_taken()
                dumps = part.role is Role.DUMP
                yield replace(part, open=partial(self._open, part)) if dumps else part

    @contextmanager
    def _open(self, part: PartSource) -> Iterator[ByteReader]:
        with part.open() as reader:
            self.begun()
            yield _Meddled(reader, self.locked)
        self.ended()


class _Meddled:
    """A reader that calls back after the first bytes."""

    def __init__(self, reader: ByteReader, call: Callable[[], None]) -> None:
        self._reader = reader
        self._call = call

    def read(self, size: int, /) -> bytes:
        data = self._reader.read(size)
        call, self._call = self._call, nothing
        call()
        return data
