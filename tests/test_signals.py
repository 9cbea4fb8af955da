"""Signals become one exception, and wait while something is cleaned up."""

from __future__ import annotations

import signal

import pytest

from backup.errors import Interrupted
from backup.signals import interruptible, undisturbed


def test_a_signal_is_raised_once_and_the_next_ones_do_not_disturb() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with interruptible():
        with pytest.raises(Interrupted) as raised:
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
    assert raised.value.status == 143
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_signal_waits_until_what_must_not_be_disturbed_has_ended() -> None:
    done: list[str] = []

    def clean_up() -> None:
        with undisturbed():
            with undisturbed():
                signal.raise_signal(signal.SIGINT)
            done.append("all of it")

    with interruptible(), pytest.raises(Interrupted) as raised:
        clean_up()
    assert raised.value.status == 130
    assert done == ["all of it"]
