"""Signals become one exception, and wait while something is cleaned up."""

from __future__ import annotations

import importlib
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

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


def wait_for_it() -> None:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        time.sleep(0.01)


def test_a_module_is_imported_to_its_end_before_a_signal_is_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half_imported.py").write_text("import signal\nsignal.raise_signal(signal.SIGTERM)\nwhole = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    with interruptible():
        module = importlib.import_module("half_imported")
        assert module.whole
        with pytest.raises(Interrupted):
            wait_for_it()


class Signalled(threading.Thread):
    """As Python's own, but whoever starts it hears a signal before he knows of the start."""

    def _bootstrap(self) -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
        time.sleep(0.01)
        super()._bootstrap()  # type: ignore[misc]


def start(thread: threading.Thread, started: list[threading.Thread]) -> None:
    thread.start()
    started.append(thread)
    wait_for_it()


def test_a_thread_has_started_before_a_signal_is_raised() -> None:
    done = threading.Event()
    started: list[threading.Thread] = []
    with interruptible(), pytest.raises(Interrupted):
        start(Signalled(target=done.set), started)
    assert started
    assert done.wait(10)


def test_a_signal_that_python_drops_in_a_destructor_is_raised_again() -> None:
    class Dropped:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    with interruptible():
        dropped = Dropped()
        del dropped
        with pytest.raises(Interrupted):
            wait_for_it()


def test_a_signal_long_after_the_first_ends_a_clean_up_that_hangs() -> None:
    hanging = (
        "import time, backup.signals as signals\nsignals._PATIENCE = 1.0\n"
        "with signals.interruptible(), signals.undisturbed():\n    print('up', flush=True)\n"
        "    end = time.monotonic() + 60\n    while time.monotonic() < end: time.sleep(0.01)\n"
    )
    with subprocess.Popen([sys.executable, "-c", hanging], stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"up\n"
        begun = time.monotonic()
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
            time.sleep(0.05)
        assert process.returncode == 130
        assert 0.9 < time.monotonic() - begun < 20
