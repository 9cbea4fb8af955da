"""Telling everybody: in order, each in its share of the time, and nothing of it changes what the run was."""

from __future__ import annotations

import time

import pytest

from backup.domain.events import RunEvent
from backup.errors import Interrupted, NotificationFailed
from backup.workflow.announce import announce
from tests.contracts.memory_notifier import MemoryNotifier
from tests.support.run_events import an_event


class Slow(MemoryNotifier):
    """Takes a part of the time that it has, or more."""

    def __init__(self, part: float) -> None:
        super().__init__()
        self.part = part

    def tell(self, event: RunEvent, /, *, within: float) -> None:
        super().tell(event, within=within)
        time.sleep(self.part * within)


def test_everybody_is_told_the_same() -> None:
    event, all_of_them = an_event(), [MemoryNotifier(), MemoryNotifier(), MemoryNotifier()]
    announce(event, all_of_them, within=5)
    assert [each.heard for each in all_of_them] == [[event]] * 3


def test_nobody_to_tell_is_no_failure() -> None:
    announce(an_event(), [], within=5)


def test_one_that_fails_is_a_warning_and_the_next_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    failure = NotificationFailed("webhook at host: answered 500", detail="the detail", hint="the hint")
    other = MemoryNotifier()
    announce(an_event(), [MemoryNotifier(failure), other], within=5)
    assert len(other.heard) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "warning not told what=backup.succeeded" in line
    for words in ("webhook at host: answered 500", "the detail", "the hint"):
        assert f'"{words}"' in line


def test_a_bug_of_one_is_a_warning_too(capsys: pytest.CaptureFixture[str]) -> None:
    other = MemoryNotifier()
    announce(an_event(), [MemoryNotifier(UnicodeError("label empty")), other], within=5)
    assert len(other.heard) == 1
    assert "UnicodeError: label empty" in capsys.readouterr().err


def test_a_signal_is_not_swallowed() -> None:
    with pytest.raises(Interrupted):
        announce(an_event(), [MemoryNotifier(Interrupted(15))], within=5)


def test_what_one_leaves_of_its_time_is_for_the_others() -> None:
    all_of_them = [MemoryNotifier(), MemoryNotifier(), MemoryNotifier()]
    announce(an_event(), all_of_them, within=3)
    assert [each.limits[0] for each in all_of_them] == pytest.approx([1, 1.5, 3], abs=0.3)


@pytest.mark.parametrize("part", [1, 5])
def test_one_that_takes_all_of_its_time_or_more_leaves_no_less_than_nothing(part: float) -> None:
    slow, last = Slow(part), MemoryNotifier()
    announce(an_event(), [slow, last], within=0.4)
    assert slow.limits == pytest.approx([0.2], abs=0.1)
    assert 0 <= last.limits[0] <= 0.2
    assert len(last.heard) == 1
