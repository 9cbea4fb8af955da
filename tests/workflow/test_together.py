"""Several pieces of work at the same time."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from backup.errors import Interrupted
from backup.signals import interruptible
from backup.workflow.together import together


def test_what_each_returned_comes_in_order_and_they_run_at_the_same_time() -> None:
    meeting = threading.Barrier(3, timeout=10)

    def work(number: int) -> int:
        meeting.wait()
        return number

    assert together([lambda: work(1), lambda: work(2), lambda: work(3)], lambda: None) == [1, 2, 3]


def test_the_first_failure_ends_all_and_is_the_one_that_is_told() -> None:
    ended = threading.Event()

    def fails() -> None:
        raise LookupError("first")

    def waits() -> None:
        ended.wait(10)
        raise ValueError("second")

    with pytest.raises(LookupError, match="first"):
        together([waits, fails, waits], ended.set)
    assert ended.is_set()


def test_a_signal_ends_all_and_waits_for_them() -> None:
    ended = threading.Event()
    gone: list[int] = []

    def waits() -> None:
        ended.wait(10)
        time.sleep(0.1)
        gone.append(1)

    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    with interruptible(), pytest.raises(Interrupted):
        together([waits, waits], ended.set)
    assert gone == [1, 1]
