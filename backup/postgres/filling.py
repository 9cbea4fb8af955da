"""How a new database is filled: definitions, the rows of all lanes at once, indexes as soon as their table is in.

Owns what is begun when, and that no more than so many connections are at work. No byte of the dump touches a disk.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from backup.domain.build_order import BuildOrder, build_order, grants_of
from backup.domain.toc import Entry, within
from backup.logs import log
from backup.postgres.archive import Archive, Feeding
from backup.postgres.arrivals import Arrivals
from backup.postgres.crew import Crew
from backup.postgres.index_queue import IndexQueue
from backup.postgres.load import Loader
from backup.postgres.restore_job import Job

_NOTHING = BuildOrder(parents=(), units=(), late=(), attached=(), last=())


@dataclass(slots=True, kw_only=True)
class Course:
    """What a restore took: seconds by phase, and how its streams went."""

    seconds: dict[str, float] = field(default_factory=dict)
    feedings: list[Feeding] = field(default_factory=list)

    def waits(self) -> dict[str, float]:
        """See ports.RestoreReport."""
        return {"server": round(sum(feeding.waited for feeding in self.feedings), 3)} if self.feedings else {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """One phase; where it comes again its seconds are added."""
        begun = time.monotonic()
        if name not in self.seconds:
            log.info("restoring", phase=name)
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - begun


def fill(job: Job, loader: Loader, arrivals: Arrivals, course: Course) -> None:
    """Fill a database that was just made.

    Raises:
        PgproofError: what one of the programs or the dump raises first; the others were ended then.
    """
    with Crew() as crew:
        filling = _Filling(job, loader.held(crew.hold), arrivals, course, crew)
        if job.archive.head is None:
            filling.from_streams()
        else:
            filling.from_head(str(job.archive.head))


class _Lane:
    """One archive on its way: which tables it brings, in order."""

    def __init__(self, archive: Archive, numbers: Sequence[int], tables: Sequence[int | None]) -> None:
        self.archive = archive
        self.feeding = Feeding()
        self._numbers = numbers
        self._coming = list(tables)
        self._begun = 0
        self._position = 0

    def arguments(self) -> list[str]:
        """Which of its entries are wanted."""
        return [self.archive.use_list(self._numbers)]

    def next_begins(self, position: int) -> tuple[int, int] | None:
        """The next table's rows begin at a byte of the stream; which table is in by that, and its bytes."""
        size, self._position = position - self._position, position
        self._begun += 1
        table = self._coming[self._begun - 2] if 1 < self._begun <= len(self._coming) + 1 else None
        return None if table is None else (table, size)


class _Filling:
    """One database on its way."""

    def __init__(self, job: Job, loader: Loader, arrivals: Arrivals, course: Course, crew: Crew) -> None:
        self._job = job
        self._loader = loader
        self._arrivals = arrivals
        self._course = course
        self._crew = crew
        self._jobs = job.choice.jobs
        self._first = within(0, job.wanted)
        self._order = build_order(job.wanted) if self._jobs > 1 else _NOTHING
        self._queue = IndexQueue(self._order.units, arrivals, large=job.large)
        self._together: list[int] = []
        self._waiting: list[_Lane] = []
        self._loading = 0

    def from_streams(self) -> None:
        """The table of contents is too large to be kept: one connection reads the first lane for each step."""
        first, *others = self._lanes()
        archive = self._job.archive
        with self._course.phase("load"):
            self._run_stream(first, "--section=pre-data", "--section=data")
            self._load(others, head=None)
        with self._course.phase("indexes"), archive.open_dump() as dump:
            self._loader.run([archive.use_list(self._after_rows(entry.number for entry in self._first))], dump)

    def from_head(self, head: str) -> None:
        """The definitions come from the kept head, which several connections can read, and the rows from the store."""
        with self._course.phase("schema"):
            self._run_list(self._without_grants(), "--section=pre-data", head)
            self._run_list(self._order.parents, head)
        with self._course.phase("load"):
            self._load(self._lanes(), head=head)
        self._arrivals.end()
        with self._course.phase("indexes"):
            if self._jobs == 1:
                self._run_list(self._after_rows(entry.number for entry in self._first), head)
            else:
                self._finish_indexes(head)
                self._run_list(self._order.attached, "--section=post-data", head)
                self._run_list(self._after_rows(self._order.last), f"--jobs={self._jobs}", head)

    def _without_grants(self) -> list[int]:
        grants = set(grants_of(self._first))
        return [entry.number for entry in self._first if entry.number not in grants]

    def _after_rows(self, numbers: Iterable[int]) -> list[int]:
        """Of these entries what comes after the rows, grants among it: in one call pg_restore puts them in order."""
        wanted = self._job.archive.after_rows() | set(grants_of(self._first))
        return [number for number in numbers if number in wanted]

    def _lanes(self) -> list[_Lane]:
        """The first lane, and those of the others of which something is wanted, the largest first."""
        tables = {entry.number for entry in self._first if entry.kind == "TABLE"}
        job = self._job
        lanes = [_Lane(job.archive, self._without_grants(), _tables_of(self._first, tables))]
        for number in sorted(range(1, len(job.lane_bytes)), key=lambda each: -job.lane_bytes[each]):
            if wanted := within(number, job.wanted):
                numbers = [entry.number for entry in wanted]
                lanes.append(_Lane(job.lanes[number], numbers, _tables_of(wanted, tables)))
        return lanes

    def _load(self, lanes: Sequence[_Lane], *, head: str | None) -> None:
        self._waiting = list(lanes)
        while self._waiting or self._loading:
            self._begin_what_can_be(head)
            self._crew.wait()

    def _finish_indexes(self, head: str) -> None:
        """The indexes that are not made yet: the large ones first, each by itself, and then the small ones together."""
        self._together = [*self._queue.take_small(), *self._order.late]
        while self._queue or self._together or self._crew.busy:
            self._begin_what_can_be(head)
            self._crew.wait()

    def _begin_what_can_be(self, head: str | None) -> None:
        """Lanes before indexes: a table that nobody has begun to load keeps others waiting."""
        while self._crew.busy < self._jobs:
            if self._waiting:
                self._begin_lane(self._waiting.pop(0))
            elif head is None:
                return
            elif unit := self._queue.next():
                work = partial(self._run_list, unit.numbers, head)
                self._crew.start("index", work, partial(self._queue.done, unit))
            elif self._together and not self._queue:
                numbers, self._together = self._together, []
                work = partial(self._run_list, numbers, f"--jobs={self._jobs - self._crew.busy}", head)
                self._crew.start("indexes", work, lambda: None)
            else:
                return

    def _begin_lane(self, lane: _Lane) -> None:
        self._loading += 1
        work = partial(self._run_stream, lane, "--section=data")
        self._crew.start("lane", work, partial(self._lane_ended, lane))

    def _lane_ended(self, lane: _Lane) -> None:
        self._loading -= 1
        self._arrived(lane, lane.feeding.size)

    def _arrived(self, lane: _Lane, position: int) -> None:
        if found := lane.next_begins(position):
            self._arrivals.add(*found)

    def _run_stream(self, lane: _Lane, *arguments: str) -> None:
        """Load a lane from the store."""
        self._course.feedings.append(lane.feeding)

        def begins() -> None:
            self._crew.tell(partial(self._arrived, lane, lane.feeding.size))

        with lane.archive.open_dump() as dump:
            self._loader.run([*arguments, *lane.arguments()], dump, feeding=lane.feeding, on_table=begins)

    def _run_list(self, numbers: Sequence[int], *arguments: str) -> None:
        """Carry out these entries of the kept head."""
        if numbers:
            self._loader.run([self._job.archive.use_list(numbers), *arguments])


def _tables_of(entries: Sequence[Entry], tables: set[int]) -> list[int | None]:
    """Of each entry with rows, in order, the number of the table."""
    rows = [entry for entry in entries if entry.kind == "TABLE DATA"]
    return [next((number for number in entry.depends if number in tables), None) for entry in rows]
