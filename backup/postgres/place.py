"""Where a throwaway PostgreSQL server lives: its folder, the account that runs it, and programs it can reach.

Owns these three and nothing that runs for long. Adds no account and changes no mode of a folder that it did not make.
"""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from backup.errors import ConfigurationError
from backup.stream.child import Child

_ACCOUNTS = ("nobody", "postgres", "daemon")
"""Whom the server runs as where root starts it: the first that exists. PostgreSQL refuses to run as root."""

_BASES = ("/tmp", "/var/tmp")  # noqa: S108 -- the fallback where TMPDIR cannot be used; mkdtemp makes a private folder
_LONGEST_BASE = 60
"""A unix socket's path has at most 107 bytes (`unix(7)`, less the final zero); what we add needs under 40."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The server's private folder, the programs that it runs, and the account (None: ours)."""

    folder: Path
    bin_dir: Path
    account: str | None

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.folder / "data"

    def program(self, name: str) -> str:
        """The path of one of the server's programs."""
        return str(self.bin_dir / name)


def make_place(stack: ExitStack, bin_dir: Path, base: Path | None) -> Place:
    """Make the folder, find the account, and bring the programs where the account can run them.

    The folder goes when `stack` closes.

    Raises:
        ConfigurationError: a program is missing or does not run, or there is nobody or nowhere to run it.
    """
    for name in ("initdb", "postgres"):
        if not (bin_dir / name).is_file():
            raise ConfigurationError(
                f"there is no {name} in {bin_dir}",
                hint="give the folder with a PostgreSQL server's programs, such as /usr/lib/postgresql/18/bin",
            )
    bin_dir = bin_dir.resolve()
    account = _account()
    folder = _make_folder(base, account)
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    if account is not None:
        entry = pwd.getpwnam(account)
        os.chown(folder, entry.pw_uid, entry.pw_gid)
    problem = _try_program(bin_dir, folder, account)
    if problem and account is not None:
        bin_dir = _copy_programs(bin_dir, folder, account)
        problem = _try_program(bin_dir, folder, account)
    if problem:
        raise ConfigurationError(f"the PostgreSQL server in {bin_dir} does not run here", detail=problem)
    return Place(folder=folder, bin_dir=bin_dir, account=account)


def _account() -> str | None:
    """The account that the server runs as; None for our own."""
    if os.geteuid() != 0:
        return None
    for name in _ACCOUNTS:
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    raise ConfigurationError(
        "a PostgreSQL server does not run as root, and this machine has no account to run it as",
        hint=f"add one of {', '.join(_ACCOUNTS)}, or run pgproof as another user",
    )


def _make_folder(base: Path | None, account: str | None) -> Path:
    """A new private folder that the account can reach, with a path short enough for a unix socket."""
    bases = [str(base)] if base else [tempfile.gettempdir(), *_BASES]
    for candidate in bases:
        if len(candidate.encode()) <= _LONGEST_BASE and _is_open_to_all(Path(candidate), account):
            return Path(tempfile.mkdtemp(prefix="pgproof-", dir=candidate))
    who = f"that {account} can reach" if account else "to live in"
    raise ConfigurationError(
        f"there is no folder {who} among {', '.join(bases)}",
        hint=f"the throwaway server needs one whose path has at most {_LONGEST_BASE} bytes",
    )


def _is_open_to_all(folder: Path, account: str | None) -> bool:
    """Whether the folder is there, and where another account is to use it, every step towards it is open."""
    if not folder.is_dir():
        return False
    steps = (folder.resolve(), *folder.resolve().parents)
    return account is None or all(step.stat().st_mode & 0o001 for step in steps)


def _try_program(bin_dir: Path, folder: Path, account: str | None) -> str | None:
    """What keeps the account from running the server's programs; None if nothing does."""
    for name in ("initdb", "postgres"):
        argv = [str(bin_dir / name), "--version"]
        try:
            with Child(argv, env=environment(), user=account, cwd=folder) as child:
                if child.wait() != 0:
                    return child.stderr_tail or f"{name} --version failed"
        except OSError as error:
            return str(error)
    return None


def _copy_programs(bin_dir: Path, folder: Path, account: str) -> Path:
    """Copy a relocatable server into the folder: its prefix and, of a Python wheel, the libraries beside its package.

    A wheel's programs find `../../../<package>.libs` relative to themselves, so the steps above `bin` are kept.
    """
    prefix = bin_dir.parent
    package = prefix.parent
    programs = folder / "programs"
    copy = programs / package.name / prefix.name
    shutil.copytree(prefix, copy, symlinks=True, ignore=shutil.ignore_patterns("include", "*.a", "__pycache__"))
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, programs / libraries.name, symlinks=True)
    entry = pwd.getpwnam(account)
    for path in (programs, *programs.rglob("*")):
        os.lchown(path, entry.pw_uid, entry.pw_gid)
    return copy / "bin"


def write_private(path: Path, content: bytes, account: str | None) -> None:
    """Write a file that only the account can read, from its first byte on."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        if account is not None:
            entry = pwd.getpwnam(account)
            os.fchown(descriptor, entry.pw_uid, entry.pw_gid)
        file.write(content)


def environment() -> dict[str, str]:
    """Nothing of ours but the path; messages in English, so that they can be told apart."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
