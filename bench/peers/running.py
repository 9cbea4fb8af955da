"""Programs joined by pipes, run to their end and measured: seconds, processor time, memory, scratch space.

Owns the processes that it starts and those which they start: whatever happens, none is left. Never a shell.
"""

from __future__ import annotations

import os
import pwd
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from bench.peers.processes import Look, look, size_of, tree

INTERVAL = 0.1
"""Seconds between two looks at memory and scratch space: what is taken for less than that may be missed."""

_TAIL = 1500


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A program with its arguments, its whole environment, and the account that it runs as (None: ours)."""

    argv: Sequence[str]
    env: Mapping[str, str] = field(repr=False)
    user: str | None = None


Pipe = tuple[Command, ...]
"""Each reads what the one before it writes. What the last one writes is thrown away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """How a pipe ran.

    Attributes:
        wall: seconds from the first start to the last end.
        cpu: seconds of processor time of all processes that were waited for.
        memory: most bytes at once, where pages that several processes share count once (PSS).
        resident: most bytes at once, where they count for each (RSS).
        scratch: most bytes of files in the scratch folder at once.
        exits: exit status of each program, as a shell tells it: 137 where it was killed.
        said: end of what they wrote to standard error.
        dumped: bytes that pg_dump had written when it was last seen.
    """

    wall: float
    cpu: float
    memory: int
    resident: int
    scratch: int
    exits: tuple[int, ...]
    said: str
    dumped: int

    @property
    def status(self) -> int:
        """What a shell with `pipefail` says: that of the last program that failed."""
        return next((each for each in reversed(self.exits) if each), 0)


def run(
    pipe: Pipe, *, scratch: Path, watch: Callable[[Look], None] | None = None, interval: float = INTERVAL
) -> Measured:
    """Run it to its end and measure it; that it fails is no error.

    Args:
        pipe: what to run, in `scratch`.
        scratch: folder whose files are counted.
        watch: told of each look, for example to end a child of it.
        interval: seconds between two looks.
    """
    begun = time.monotonic()
    memory = resident = space = 0
    dumped: dict[int, int] = {}
    cpu = 0.0
    with ExitStack() as stack:
        told = [stack.enter_context(tempfile.TemporaryFile()) for _ in pipe]
        processes = _start(stack, pipe, told, scratch)
        left = {stack.enter_context(_pid_file(each.pid)).fileno(): each for each in processes}
        poll = select.poll()
        for descriptor in left:
            poll.register(descriptor, select.POLLIN)
        due = begun
        while left:
            for descriptor, _ in poll.poll(max(due - time.monotonic(), 0) * 1000):
                poll.unregister(descriptor)
                cpu += _reap(left.pop(descriptor))
            if left and time.monotonic() >= due:
                found = look([each.pid for each in left.values()])
                memory, resident = max(memory, found.shared_out), max(resident, found.resident)
                space = max(space, size_of(scratch))
                dumped |= found.dumping
                if watch:
                    watch(found)
                due = time.monotonic() + interval
        wall = time.monotonic() - begun
        return Measured(
            wall=wall,
            cpu=cpu,
            memory=memory,
            resident=resident,
            scratch=max(space, size_of(scratch)),
            exits=tuple(code if code >= 0 else 128 - code for code in (each.returncode for each in processes)),
            said="\n".join(filter(None, map(_tail, told))),
            dumped=sum(dumped.values()),
        )


def answer(command: Command, *, cwd: Path, nothing: int = 0) -> str:
    """What a program prints. Raises RuntimeError with what it said where it fails.

    Args:
        command: what to run.
        cwd: where.
        nothing: exit status by which it says that there is nothing to print.
    """
    done = subprocess.run(
        list(command.argv),
        env=dict(command.env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        user=command.user,
        group=_group(command.user),
        extra_groups=[] if command.user else None,
    )
    if done.returncode not in {0, nothing}:
        raise RuntimeError(f"{Path(command.argv[0]).name} ended with {done.returncode}: {done.stderr[-_TAIL:]}")
    return "" if done.returncode else done.stdout


def _start(stack: ExitStack, pipe: Pipe, told: Sequence[IO[bytes]], cwd: Path) -> list[subprocess.Popen[bytes]]:
    processes: list[subprocess.Popen[bytes]] = []
    stack.callback(_end, processes)
    before: IO[bytes] | None = None
    for number, (command, errors) in enumerate(zip(pipe, told, strict=True), 1):
        process = subprocess.Popen(
            list(command.argv),
            env=dict(command.env),
            cwd=cwd,
            stdin=before or subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if number == len(pipe) else subprocess.PIPE,
            stderr=errors,
            bufsize=0,
            start_new_session=True,
            user=command.user,
            group=_group(command.user),
            extra_groups=[] if command.user else None,
        )
        processes.append(process)
        if before:
            before.close()  # so that who writes into it hears when the reader is gone
        before = process.stdout
    return processes


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Kill what still runs of them, children first."""
    for process in processes:
        if process.returncode is None:
            for pid in reversed(list(tree([process.pid]))):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()


def _reap(process: subprocess.Popen[bytes]) -> float:
    """Seconds of processor time of an ended process and of those that it waited for."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime


def _pid_file(pid: int) -> IO[bytes]:
    return os.fdopen(os.pidfd_open(pid), "rb", buffering=0)


def _group(user: str | None) -> int | None:
    return pwd.getpwnam(user).pw_gid if user else None


def _tail(told: IO[bytes]) -> str:
    told.seek(0)
    return told.read().decode(errors="replace").strip()[-_TAIL:]
