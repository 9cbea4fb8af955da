"""Runs the command line as a user does: a child process with an environment of its own making.

Owns what is in that environment, and how one finds out which of its processes are still there.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

_MARK = "PGTESTMARK"
"""A variable that our children inherit, as they do every PG… one, and nobody reads."""

_TIME_LIMIT = 60.0
_POLL = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A command that has ended. `left`: command lines of its processes that have not."""

    code: int
    stdout: str
    stderr: str
    seconds: float
    left: tuple[str, ...]

    @property
    def result(self) -> Any:  # noqa: ANN401 -- JSON
        """What it printed with --json."""
        return json.loads(self.stdout)

    @property
    def error(self) -> dict[str, Any]:
        """The failure that it printed with --json."""
        error: dict[str, Any] = self.result["error"]
        return error

    @property
    def complaint(self) -> str:
        """Its one line on stderr."""
        lines = re.findall(r"^pgproof: error: (.*)$", self.stderr, re.MULTILINE)
        if len(lines) != 1:
            raise AssertionError(f"{len(lines)} complaints on stderr:\n{self.stderr}")
        return str(lines[0])

    @property
    def hint(self) -> str:
        """The advice on stderr."""
        return self.stderr.partition("\nhint: ")[2]


def wait_until(condition: Callable[[], object], *, limit: float = _TIME_LIMIT) -> None:
    """Wait until something is so. Fails where that takes longer than `limit` seconds."""
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"it was not so within {limit} s")
        time.sleep(_POLL)


class Running(AbstractContextManager["Running"]):
    """A command that runs. Leaving the context kills it where it still does."""

    def __init__(self, argv: Sequence[str], environ: Mapping[str, str], *, cwd: Path, before: Sequence[str]) -> None:
        self._mark = secrets.token_hex(8)
        self._begun = time.monotonic()
        self._process = subprocess.Popen(
            [*before, *argv],
            env={**environ, _MARK: self._mark},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=cwd,
        )

    def __exit__(self, *exc: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe:
                pipe.close()
        self._process.wait()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def signal(self, signum: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(signum)

    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def processes(self, program: str = "") -> list[psutil.Process]:
        """Those that it started and that run, all or those of one program."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(_MARK) != self._mark or process.status() == psutil.STATUS_ZOMBIE:
                    continue
                if process.pid != self.pid and program in process.name():
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def wait_for(self, condition: Callable[[], object], *, limit: float = _TIME_LIMIT) -> None:
        """Wait until something is so while it runs. Fails where the command ends before, or in time."""

        def is_so() -> bool:
            if condition():
                return True
            if not self.is_running():
                raise AssertionError(f"it ended before: {self.finish()}")
            return False

        wait_until(is_so, limit=limit)

    def finish(self, *, limit: float = _TIME_LIMIT) -> Finished:
        """Wait for its end."""
        stdout, stderr = self._process.communicate(timeout=limit)
        seconds = time.monotonic() - self._begun
        left = tuple(" ".join(process.cmdline()) for process in self.processes())
        return Finished(code=self._process.returncode, stdout=stdout, stderr=stderr, seconds=seconds, left=left)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """How pgproof is run in a test.

    Attributes:
        home: the folder that is its home, working directory and place for temporary files.
        environ: settings of the test; nothing of the test's own environment passes but what the programs need.
        before: words before the command, for example `setpriv` and its options.
    """

    home: Path
    environ: Mapping[str, str] = field(default_factory=dict)
    before: tuple[str, ...] = ()

    def __call__(self, *arguments: str, **changes: str | None) -> Finished:
        """Run it to its end."""
        with self.start(*arguments, **changes) as running:
            return running.finish()

    def start(self, *arguments: str, **changes: str | None) -> Running:
        """Start it; `changes` to its environment."""
        environ = {**self._base(), **self.changed(**changes).environ}
        return Running([sys.executable, "-m", "backup", *arguments], environ, cwd=self.home, before=self.before)

    def changed(self, **changes: str | None) -> Command:
        """The same with other variables; None takes one out."""
        merged = {**self.environ, **changes}
        environ = {name: value for name, value in merged.items() if value is not None}
        return Command(home=self.home, environ=environ, before=self.before)

    def behind(self, *before: str) -> Command:
        """The same, started by another program."""
        return Command(home=self.home, environ=self.environ, before=before)

    def _base(self) -> dict[str, str]:
        temporary = self.home / "tmp"
        temporary.mkdir(exist_ok=True)
        source = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.home),
            "TMPDIR": str(temporary),
            "PYTHONPATH": os.pathsep.join(source),
            "PGPROOF_NO_FALLBACK": "1",  # most tests ask how a dump fails, and not what is saved without it
        }
