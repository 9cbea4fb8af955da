"""The pages that people read, as tests need them: their shell lines, and how these are run.

Owns which lines count: those of blocks that are marked as `sh`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.fixtures.postgres import Server
from tests.support.services import missing

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def blocks(page: Path, language: str = "sh") -> dict[str, str]:
    """The lines of a page in a language, by the heading that they stand under."""
    found: dict[str, str] = {}
    for section in re.split(r"^#{2,3} ", page.read_text(), flags=re.MULTILINE)[1:]:
        heading, _, text = section.partition("\n")
        lines = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        if lines:
            found[heading] = "".join(lines)
    return found


def with_values(lines: str, values: Mapping[str, str]) -> str:
    """The lines with other values where they set a variable; they must set exactly these."""
    assert set(re.findall(r"^(?:export )?(\w+)=", lines, re.MULTILINE)) == values.keys()
    for name, value in values.items():
        lines = re.sub(rf"^((?:export )?{name})=.*$", rf"\1={value}", lines, flags=re.MULTILINE)
    return lines


def run_bash(script: str, folder: Path, server: Server, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run lines in bash, in a folder, with pgproof and the clients of a server at hand; one that fails ends them."""
    path = [str(Path(sys.executable).parent), str(server.bin_dir), os.environ["PATH"]]
    return subprocess.run(
        ["bash", "-eu", "-c", script],
        cwd=folder,
        env={"PATH": ":".join(path), "HOME": str(folder), **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def require(program: str) -> None:
    """A program that answers; a shim that leads nowhere is none."""
    found = shutil.which(program)
    if not found or subprocess.run([found, "--version"], capture_output=True, check=False).returncode:
        missing(f"there is no {program}")
