"""Programs at work at the same time: their ends are told, and the first that fails ends all."""

from __future__ import annotations

import threading
import time

import pytest

from backup.domain.build_order import IndexUnit
from backup.domain.toc import Entry
from backup.errors import RestoreFailed
from backup.postgres.arrivals import Arrivals
from backup.postgres.crew import Crew
from backup.postgres.index_queue import IndexQueue
from backup.stream.child import Child

ENV = {"PATH": "/usr/bin:/bin"}


def sleep_in(crew: Crew, *, started: threading.Event | None = None) -> None:
    with Child(["sleep", "60"], env=ENV) as child, crew.hold(child):
        if started:
            started.set()
        child.wait()


def test_what_has_ended_is_told_to_who_waits() -> None:
    ended: list[str] = []
    with Crew() as crew:
        crew.start("one", lambda: None, lambda: ended.append(threading.current_thread().name))
        while crew.busy:
            crew.wait()
    assert ended == [threading.main_thread().name]


def test_the_first_failure_is_raised_and_ends_the_others_at_once() -> None:
    started = threading.Event()

    def fail() -> None:
        started.wait()
        raise RestoreFailed("this one")

    def work() -> None:
        with Crew() as crew:
            crew.start("sleeper", lambda: sleep_in(crew, started=started), lambda: None)
            crew.start("failure", fail, lambda: None)
            while crew.busy:
                crew.wait()

    begun = time.monotonic()
    with pytest.raises(RestoreFailed, match="this one"):
        work()
    assert time.monotonic() - begun < 10


def test_a_program_that_comes_too_late_is_not_let_to_work() -> None:
    with Crew() as crew:
        pass
    with pytest.raises(RestoreFailed, match="given up"):
        sleep_in(crew)


def test_a_thread_that_hangs_is_not_waited_for_for_long() -> None:
    hanging = threading.Event()

    def hang() -> None:
        hanging.wait(60)

    begun = time.monotonic()
    with Crew() as crew:
        crew.start("hanging", hang, lambda: None)
    assert time.monotonic() - begun < 20
    hanging.set()


def queue(*units: IndexUnit) -> tuple[IndexQueue, Arrivals]:
    entries = [Entry(number=number, kind="TABLE", name=f"t{number}") for number in (1, 2)]
    entries += [Entry(number=10 + number, kind="TABLE DATA", depends=(number,)) for number in (1, 2)]
    arrivals = Arrivals(entries, notable=5)
    return IndexQueue(units, arrivals, large=10), arrivals


PLAIN, OTHER, KEY, ELSEWHERE = (
    IndexUnit(table=1, numbers=(21,), alone=False),
    IndexUnit(table=1, numbers=(22,), alone=False),
    IndexUnit(table=1, numbers=(23,), alone=True),
    IndexUnit(table=2, numbers=(24,), alone=True),
)


def test_the_largest_table_that_is_in_comes_first_and_small_ones_together_at_the_end() -> None:
    waiting, arrivals = queue(PLAIN, ELSEWHERE)
    assert waiting.next() is None
    arrivals.add(1, 11)
    arrivals.add(2, 12)
    assert (waiting.next(), waiting.next()) == (ELSEWHERE, PLAIN)

    waiting, arrivals = queue(PLAIN, ELSEWHERE)
    arrivals.add(1, 10)
    assert waiting.next() is None
    arrivals.end()
    assert waiting.take_small() == [21, 24]
    assert not waiting


def test_a_key_is_made_when_nobody_else_is_at_the_table() -> None:
    waiting, arrivals = queue(PLAIN, OTHER, KEY)
    arrivals.add(1, 100)
    assert (waiting.next(), waiting.next(), waiting.next()) == (PLAIN, OTHER, None)
    waiting.done(PLAIN)
    assert waiting.next() is None
    waiting.done(OTHER)
    with arrivals.reading(1) as free:
        assert free
        assert waiting.next() is None
    assert waiting.next() == KEY
    with arrivals.reading(1) as free:
        assert not free
    waiting.done(KEY)
    with arrivals.reading(1) as free:
        assert free
