"""The programs of the peers: where they are, how they are installed, which version they have.

Owns the folder in which those of PyPI live, each with an environment of its own, outside of the tree. Nothing is
fetched but by the clients of the registries, apt and pip; what cannot be had is a reason, told in the results.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

_APT = ("apt-get", "--quiet", "--quiet", "--yes", "-o", "Acquire::Retries=3")
_SYSTEM_SERVERS = Path("/usr/lib/postgresql")


class Missing(Exception):
    """A program that is not there, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a program comes from: a package of Debian's, or one of PyPI; and what prints its version."""

    debian: str | None = None
    pypi: str | None = None
    version: tuple[str, ...] = ("--version",)


SOURCES = {
    "aws": Source(pypi="awscli"),
    "rclone": Source(debian="rclone", version=("version",)),
    "restic": Source(debian="restic", version=("version",)),
    "zstd": Source(debian="zstd"),
    "pgbackrest": Source(debian="pgbackrest", version=("version",)),
    "borg": Source(debian="borgbackup"),
    "borgmatic": Source(pypi="borgmatic"),
    "barman-cloud-backup": Source(pypi="barman[cloud,lz4]"),
}


def cache_folder() -> Path:
    """Where the environments are kept for the next time. One that other accounts can enter, where we are root."""
    if os.geteuid() == 0:
        return Path("/var/cache/pgproof-bench")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pgproof-bench"


@dataclass(slots=True, kw_only=True)
class Programs:
    """Programs by name.

    Attributes:
        install: whether to install what is not there.
        folder: of the environments.
    """

    install: bool = True
    folder: Path = field(default_factory=cache_folder)
    _found: dict[str, str | Missing] = field(default_factory=dict)
    _updated: bool = False

    def path(self, name: str) -> str:
        """Where it is; installed on the first call. Raises Missing with the reason."""
        if name not in self._found:
            try:
                self._found[name] = self._find(name)
            except Missing as error:
                self._found[name] = error
        found = self._found[name]
        if isinstance(found, Missing):
            raise found
        return found

    def version(self, name: str) -> str:
        """What it says of itself, in one line."""
        done = subprocess.run(
            [self.path(name), *SOURCES[name].version],
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"},
        )
        lines = (done.stdout or done.stderr).strip().splitlines()
        return lines[0].strip(" *") if lines else "unknown"

    def versions(self) -> dict[str, str]:
        """Of all that were found."""
        return {name: self.version(name) for name, found in sorted(self._found.items()) if isinstance(found, str)}

    def system_server(self) -> Path:
        """The newest PostgreSQL server among Debian's packages. Raises Missing."""
        if not _system_servers():
            self._apt("postgresql")
        servers = _system_servers()
        if not servers:
            raise Missing(f"there is no server in {_SYSTEM_SERVERS}")
        return servers[-1]

    def _find(self, name: str) -> str:
        source = SOURCES[name]
        if source.pypi:
            return self._environment(name, source.pypi)
        found = shutil.which(name)
        if not found and source.debian:
            self._apt(source.debian)
            found = shutil.which(name)
        if not found:
            raise Missing(f"there is no {name}")
        return found

    def _environment(self, name: str, package: str) -> str:
        folder = self.folder / package.partition("[")[0]
        program = folder / "bin" / name
        done = folder / "installed"
        if not (program.is_file() and done.is_file() and done.read_text(encoding="utf-8") == package):
            if not self.install:
                raise Missing(f"{package} is not installed, and nothing was to be installed")
            python = shutil.which("python3", path="/usr/bin") or sys.executable
            _run([python, "-m", "venv", "--clear", str(folder)])
            _run([str(folder / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", package])
            done.write_text(package, encoding="utf-8")
        return str(program)

    def _apt(self, package: str) -> None:
        if not self.install:
            raise Missing(f"{package} is not installed, and nothing was to be installed")
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            raise Missing(f"{package} is not installed: that takes root, and apt-get")
        if not self._updated:
            _run([*_APT, "update"])
            self._updated = True
        _run([*_APT, "--no-install-recommends", "install", package])


def _system_servers() -> list[Path]:
    found = [path.parent for path in _SYSTEM_SERVERS.glob("*/bin/initdb")]
    return sorted(found, key=lambda path: float(path.parent.name))


def _run(argv: list[str]) -> None:
    """Raises Missing with the last line of what it said."""
    # RUNLEVEL: what is installed need not start as a service
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    try:
        done = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except OSError as error:
        raise Missing(str(error)) from error
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise Missing(lines[-1] if lines else f"{argv[0]} ended with {done.returncode}")
