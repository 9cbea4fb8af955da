"""Streams that cannot be written to: a result that is lost is said, and is no bug."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from backup.errors import ResultLost

_COMMAND = [sys.executable, "-m", "backup", "config"]
_ENVIRON = {"PATH": os.environ["PATH"], "PGPROOF_STORE": "/backups"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_result_that_the_disk_does_not_take_is_said_and_no_bug() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(_COMMAND, env=_ENVIRON, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == ResultLost.exit_code
    assert "cannot be printed" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("closed", ["1", "2"])
def test_a_closed_stream_is_as_good_as_one_to_nowhere(closed: str) -> None:
    close = f"import os, sys; os.close({closed}); os.execv(sys.executable, {_COMMAND!r})"
    done = subprocess.run([sys.executable, "-c", close], env=_ENVIRON, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr


def test_characters_that_the_terminal_does_not_know_are_written_otherwise() -> None:
    environ = {**_ENVIRON, "PGPROOF_TARGET": "shop", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-m", "backup", "doctor"],
        env={**environ, "PGPROOF_STORE": "/dev/null/ä"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert "\\xe4" in done.stdout
