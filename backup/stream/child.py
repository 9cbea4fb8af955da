"""Child processes with a pipe: started, read or fed, waited for, and never left behind.

Owns how a child ends. An exit status is always read before the end of its output is believed; a child that is
not needed any more gets SIGTERM (or what it understands), time to go, and then SIGKILL. Never a shell.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Self

from backup.signals import undisturbed

PIPE_SIZE = 1 << 20
"""Bytes that a pipe holds: the most that an unprivileged process may ask for on Linux."""

_LITTLE = 128 << 10
_PAUSE = 0.001
"""After a read of fewer bytes, seconds to let the pipe fill. pg_dump writes 4 KiB at a time: to wake up for each costs
processor time at both ends, and the pipe holds more than comes in a millisecond (a twentieth of the reads: see
bench/README.md)."""

_GRACE = 10.0
"""Seconds from one signal to the next, at last SIGKILL: a guess; pg_dump goes within one."""

_REST_GRACE = 2.0
"""Seconds for what a child leaves running: workers of pg_restore cancel their queries in less. A guess."""

_TAIL_LINES = 60
_TAIL_LINE = 2000


class Child:
    """A running program; use it as a context manager, leaving it ends the program.

    Args:
        argv: program and arguments; visible to every user of the machine, so never a secret.
        env: its whole environment.
        stdin: True for a pipe to feed.
        stdout: True for a pipe to read; else its output is thrown away.
        on_stderr: told of each line of its standard error, on a thread of its own; what it answers with False is not
            kept in the tail.
        user: account that it runs as, with that account's group and no other; only root may ask for one.
        cwd: where it runs; ours if not given.
        stop_signals: what asks it to end, each with time to do so; SIGKILL follows the last.

    It is started in a session of its own, so that Ctrl-C reaches only us and we decide in which order things end.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        stdin: bool = False,
        stdout: bool = False,
        on_stderr: Callable[[str], bool | None] | None = None,
        user: str | None = None,
        cwd: Path | None = None,
        stop_signals: Sequence[signal.Signals] = (signal.SIGTERM,),
    ) -> None:
        self.program = Path(argv[0]).name
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._on_stderr = on_stderr
        self._last_read = _LITTLE
        self._stop_signals = tuple(stop_signals)
        self._rest_ended = False
        self._drain = threading.Thread(target=self._read_stderr, name=f"{self.program}-stderr", daemon=True)
        process = None
        try:
            with undisturbed():  # a signal between the fork and the return of Popen would lose the child
                process = self._process = subprocess.Popen(
                    list(argv),
                    env=dict(env),
                    stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
                    stdout=subprocess.PIPE if stdout else subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    bufsize=0,
                    start_new_session=True,
                    cwd=cwd,
                    user=user,
                    group=pwd.getpwnam(user).pw_gid if user else None,
                    extra_groups=[] if user else None,
                )
                self._drain.start()
                for pipe in filter(None, (process.stdin, process.stdout)):
                    _enlarge(pipe)
        except BaseException:
            if process is not None:
                self.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def stderr_tail(self) -> str:
        """The last lines of its standard error; whole once the child has ended."""
        return "\n".join(self._tail)

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes of its output; none at the end of the pipe, whatever the exit status is."""
        if self._last_read < _LITTLE:
            time.sleep(_PAUSE)
        data = os.read(self._pipe(self._process.stdout).fileno(), size)
        self._last_read = len(data)
        return data

    def write(self, data: bytes) -> bool:
        """Feed all of `data`; False where the child does not read any more."""
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._pipe(self._process.stdin).fileno(), view) :]
        except BrokenPipeError:
            return False
        return True

    def close_stdin(self) -> None:
        """Tell the child that nothing more comes."""
        self._pipe(self._process.stdin).close()

    def wait(self) -> int:
        """Wait for its end, and that of all that it started, and return the exit status, negative for a signal."""
        status = self._process.wait()
        self._end_rest()
        return status

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        status = self._process.poll()
        if status is not None:
            self._end_rest()
        return status

    def terminate(self) -> None:
        """Ask it to end, with the first of its signals and without waiting; from any thread."""
        self._process.send_signal(next(iter(self._stop_signals), signal.SIGTERM))

    def give_up(self) -> None:
        """After `terminate`: wait for its end, and kill it where that does not come; while another thread reads it."""
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def kill(self) -> None:
        """End it at once, without waiting; from any thread."""
        self._process.kill()

    def stop(self) -> None:
        """End it and all that it started, if they run, and let go of the pipes. May be called more than once."""
        try:
            for signum in self._stop_signals:
                if self._ends_on(signum):
                    break
        finally:  # also where a second Ctrl-C meets us waiting
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
        self._end_rest()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def _end_rest(self) -> None:
        """After its end: give what it started, and left, a moment to go by itself, and then end it.

        Parallel workers of a pg_restore that was killed are such; as long as they live they hold its standard error.
        Done once, and at once, since later the number of its process group may be another's.
        """
        if self._rest_ended:
            return
        self._rest_ended = True
        self._hear_out(_REST_GRACE)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._hear_out(_GRACE)

    def _hear_out(self, seconds: float) -> None:
        """Wait until nobody can write to its standard error any more."""
        if self._drain.is_alive():
            self._drain.join(seconds)

    def _ends_on(self, signum: signal.Signals) -> bool:
        if self._process.poll() is None:
            self._process.send_signal(signum)
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _read_stderr(self) -> None:
        pipe = self._pipe(self._process.stderr)
        with os.fdopen(os.dup(pipe.fileno()), encoding="utf-8", errors="replace") as lines:
            for raw in lines:
                line = raw.rstrip("\n")[:_TAIL_LINE]
                if self._on_stderr is None or self._on_stderr(line) is not False:
                    self._tail.append(line)

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
        if pipe is None:
            raise ValueError("this child was started without that pipe")
        return pipe


def _enlarge(pipe: IO[bytes]) -> None:
    """Let the pipe hold more, so that the two ends wait less for each other; where it may not, leave it."""
    try:
        fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, PIPE_SIZE)
    except (AttributeError, OSError):
        return
