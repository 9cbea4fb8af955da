"""Child processes: read, fed, waited for, and never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from backup.stream.child import Child

ENV = {"PATH": os.defpath}


def python(script: str) -> list[str]:
    return [sys.executable, "-c", script]


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid)


def test_its_output_is_read_to_the_end_and_its_status_told() -> None:
    with Child(python("print('x' * 100000, end='')"), env=ENV, stdout=True) as child:
        size = sum(map(len, iter(lambda: child.read(1 << 16), b"")))
        assert (size, child.wait()) == (100000, 0)


def test_a_failure_is_its_status_with_its_last_words() -> None:
    script = "import sys; [print('line', i, file=sys.stderr) for i in range(1000)]; sys.exit(3)"
    with Child(python(script), env=ENV) as child:
        assert child.wait() == 3
        assert child.stderr_tail.endswith("line 998\nline 999")
        assert len(child.stderr_tail.splitlines()) <= 60


def test_a_signal_that_ended_it_is_a_negative_status() -> None:
    with Child(python("import os, signal; os.kill(os.getpid(), signal.SIGKILL)"), env=ENV) as child:
        assert child.wait() == -signal.SIGKILL


def test_it_is_fed_until_it_reads_no_more() -> None:
    with Child(python("import sys; print(len(sys.stdin.buffer.read()))"), env=ENV, stdin=True, stdout=True) as child:
        assert all(child.write(b"x" * 100_000) for _ in range(30))
        child.close_stdin()
        assert child.read(100) == b"3000000\n"
    with Child(python("import sys; sys.stdin.buffer.read(10)"), env=ENV, stdin=True) as child:
        while child.write(b"x" * 100_000):
            pass
        assert child.wait() == 0


def test_its_environment_is_what_it_is_given_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD_OF_OURS", "secret")
    script = "import os; print('PGPASSWORD_OF_OURS' in os.environ, os.environ['A'], end='')"
    with Child(python(script), env={**ENV, "A": "b"}, stdout=True) as child:
        assert b"".join(iter(lambda: child.read(100), b"")) == b"False b"


def test_leaving_it_ends_it() -> None:
    with Child(python("import time; time.sleep(100)"), env=ENV) as child:
        assert child.poll() is None
    assert is_gone(child.pid)


def test_an_exception_ends_it_too() -> None:
    with (
        pytest.raises(ValueError, match="ours"),
        Child(python("import time; time.sleep(100)"), env=ENV, stdout=True) as child,
    ):
        raise ValueError("ours")
    assert is_gone(child.pid)


def test_one_that_writes_and_is_not_read_is_ended_too() -> None:
    with Child(python("while True: print('x' * 1000)"), env=ENV, stdout=True) as child:
        child.read(1)
    assert is_gone(child.pid)


def test_it_is_asked_in_turn_by_each_of_its_signals() -> None:
    script = (
        "import signal, time; signal.signal(signal.SIGINT, lambda *_: exit(7));"
        " print('up', flush=True); time.sleep(100)"
    )
    with Child(python(script), env=ENV, stdout=True, stop_signals=[signal.SIGINT]) as child:
        assert child.read(10) == b"up\n"
        child.stop()
        assert child.poll() == 7


def test_it_hears_no_signal_of_our_terminal() -> None:
    with Child(python("import time; time.sleep(100)"), env=ENV) as child:
        assert os.getsid(child.pid) == child.pid != os.getsid(0)


def test_lines_of_its_standard_error_are_told_as_they_come() -> None:
    heard = threading.Event()
    script = "import sys, time; print('ready', file=sys.stderr, flush=True); time.sleep(100)"
    with Child(python(script), env=ENV, on_stderr=lambda line: heard.set() if line == "ready" else None):
        assert heard.wait(30)


def test_bytes_that_are_no_text_and_endless_lines_do_no_harm() -> None:
    script = "import sys; sys.stderr.buffer.write(b'\\xff' * 5000 + b'\\nend\\n'); sys.exit(1)"
    with Child(python(script), env=ENV) as child:
        assert child.wait() == 1
        first, last = child.stderr_tail.splitlines()
        assert (len(first), last) == (2000, "end")


def test_it_can_be_stopped_from_another_thread_while_it_is_read() -> None:
    with Child(python("import time; time.sleep(100)"), env=ENV, stdout=True) as child:
        threading.Timer(0.1, child.terminate).start()
        begun = time.monotonic()
        assert child.read(10) == b""
        assert child.wait() == -signal.SIGTERM
        assert time.monotonic() - begun < 30


def test_it_runs_where_it_is_told(tmp_path: Path) -> None:
    with Child(python("import os; print(os.getcwd(), end='')"), env=ENV, stdout=True, cwd=tmp_path) as child:
        assert child.read(4096).decode() == str(tmp_path)


def test_a_pipe_that_was_not_asked_for_cannot_be_used() -> None:
    with Child(python("pass"), env=ENV) as child, pytest.raises(ValueError, match="without that pipe"):
        child.read(1)


def test_a_program_that_is_not_there_is_an_os_error() -> None:
    with pytest.raises(FileNotFoundError):
        Child(["/nowhere/pg_dump"], env=ENV)


LEADER = """
import os, sys, time
if os.fork() == 0:
    print(os.getpid(), flush=True)
    time.sleep(100)
time.sleep(100)
"""


@pytest.mark.parametrize("ending", ["killed and waited for", "killed and polled", "stopped"])
def test_what_it_left_running_is_ended_too(ending: str) -> None:
    """As parallel workers of a pg_restore that was killed: they hold its standard error for as long as they live."""
    begun = time.monotonic()
    with Child(python(LEADER), env=ENV, stdout=True) as child:
        pid = int(child.read(100))
        if ending == "stopped":
            child.stop()
        else:
            os.kill(child.pid, signal.SIGKILL)
            status = child.wait() if ending == "killed and waited for" else until(child.poll)
            assert status == -signal.SIGKILL
        until(lambda: has_ended(pid) or None)
    assert time.monotonic() - begun < 8


def has_ended(pid: int) -> bool:
    """A zombie has: that somebody else has yet to ask for its status is not ours."""
    return is_gone(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def until(poll: Callable[[], int | None]) -> int:
    while (status := poll()) is None:
        time.sleep(0.01)
    return status


def test_what_it_left_may_say_its_last_words() -> None:
    script = """
import os, sys, time
if os.fork() == 0:
    time.sleep(0.3)
    print("cancelled", file=sys.stderr, flush=True)
"""
    with Child(python(script), env=ENV) as child:
        assert child.wait() == 0
        assert child.stderr_tail == "cancelled"


SIGNALLED = """
import os, signal, sys
from backup.errors import Interrupted
from backup.signals import interruptible
from backup.stream.child import Child

def at_line(frame, event, arg):
    name = frame.f_code.co_name
    if name == "undisturbed" and event == "line":
        sys.settrace(None)
        os.kill(os.getpid(), signal.SIGTERM)
    return at_line if name in {"undisturbed", "__init__", "__enter__", "at_line"} else None

with interruptible():
    sys.settrace(at_line)
    try:
        Child([sys.executable, "-c", "import time; time.sleep(100)"], env=dict(os.environ))
    except Interrupted as error:
        print(error.message)
"""


def test_a_signal_just_before_it_is_started_is_a_signal_and_nothing_else() -> None:
    done = subprocess.run([sys.executable, "-c", SIGNALLED], capture_output=True, text=True, check=False, timeout=30)
    assert (done.stdout, done.stderr) == ("stopped by SIGTERM\n", "")
