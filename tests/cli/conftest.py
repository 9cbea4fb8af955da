"""Runs the command as a process of its own, also with a command that only a test has."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

_KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV")

_LAUNCH = """
import sys
from backup.cli import commands, main
commands.TABLE["mine"] = "mine"
main.main()
"""

_HEAD = '''"""`pgproof mine`: do what a test says."""

from backup.cli.options import command, option, setting_option
from backup.cli.output import Fields, Table
from backup.errors import *
from backup.logs import log

'''


def clean_environment(more: Mapping[str, str] = {}) -> dict[str, str]:
    """What a user's shell would hand down, without any setting of whoever runs the tests."""
    return {name: os.environ[name] for name in _KEPT if name in os.environ} | dict(more)


@dataclass(frozen=True)
class Launcher:
    """Starts `pgproof` with one more command, `mine`, whose body is given."""

    folder: Path

    def argv(self, body: str, options: str = "") -> list[str]:
        lines = "".join(f"    {line}\n" for line in body.splitlines())
        code = f'{_HEAD}@command("mine")\n{options}\ndef mine(invocation, **own):\n    """Do it."""\n{lines}'
        (self.folder / "mine.py").write_text(code)
        return [sys.executable, "-c", _LAUNCH, "mine"]

    def start(self, body: str, *arguments: str, options: str = "", environ: Mapping[str, str] = {}) -> Running:
        return subprocess.Popen(
            [*self.argv(body, options), *arguments],
            env=clean_environment({"PYTHONPATH": str(self.folder), **environ}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, body: str, *arguments: str, options: str = "", environ: Mapping[str, str] = {}) -> Ended:
        with self.start(body, *arguments, options=options, environ=environ) as process:
            out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)


Running = subprocess.Popen[str]
Ended = subprocess.CompletedProcess[str]
Run = Callable[..., Ended]


@pytest.fixture
def launcher(tmp_path: Path) -> Launcher:
    return Launcher(tmp_path)


@pytest.fixture
def pgproof(tmp_path: Path) -> Run:
    """Run `pgproof` with arguments in an empty folder and a clean environment."""

    def run(*arguments: str, environ: Mapping[str, str] = {}) -> Ended:
        argv: Sequence[str] = [sys.executable, "-m", "backup", *arguments]
        return subprocess.run(
            argv, cwd=tmp_path, env=clean_environment(environ), capture_output=True, text=True, check=False, timeout=60
        )

    return run
