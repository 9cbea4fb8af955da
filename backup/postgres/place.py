"""Where a throwaway PostgreSQL server lives: its folder, the account that runs it, and programs it can reach.

Owns how a server's programs come to where its account can run them, and nothing that runs for long.
"""

from __future__ import annotations

import os
import pwd
import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from backup.errors import ConfigurationError
from backup.stream.child import Child
from backup.stream.lodging import give, private_folder, unprivileged_account

_NSS_WRAPPER = ("usr/lib/*/libnss_wrapper.so", "usr/lib64/libnss_wrapper.so")
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
    account = unprivileged_account("a PostgreSQL server")
    folder = private_folder(stack, account, prefix="pgproof-", base=base, longest=_LONGEST_BASE)
    problem = _try_program(bin_dir, folder, account)
    if problem and account is not None:
        bin_dir = _copy_programs(bin_dir, folder, account)
        problem = _try_program(bin_dir, folder, account)
    if problem:
        raise ConfigurationError(f"the PostgreSQL server in {bin_dir} does not run here", detail=problem)
    return Place(folder=folder, bin_dir=bin_dir, account=account)


def _try_program(bin_dir: Path, folder: Path, account: str | None) -> str | None:
    """What keeps the account from running the server's programs; None if nothing does."""
    for name in ("initdb", "postgres"):
        argv = [str(bin_dir / name), "--version"]
        try:
            with Child(argv, env=environment(folder), user=account, cwd=folder) as child:
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
    for path in (programs, *programs.rglob("*")):
        give(path, account)
    return copy / "bin"


def environment(folder: Path) -> dict[str, str]:
    """Nothing of ours but the path; messages in English, so that they can be told apart.

    initdb wants a name for its user id. Where the machine has none, as with the ids that OpenShift makes up,
    libnss-wrapper gives it one, from files in `folder`.
    """
    plain = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
    library = next((path for pattern in _NSS_WRAPPER for path in Path("/").glob(pattern)), None)
    if library is None or _has_a_name(os.geteuid()):
        return plain
    users, groups = folder / "passwd", folder / "group"
    users.write_text(f"pgproof:x:{os.geteuid()}:{os.getegid()}::{folder}:/bin/false\n", encoding="utf-8")
    groups.write_text(f"pgproof:x:{os.getegid()}:\n", encoding="utf-8")
    return plain | {
        "LD_PRELOAD": str(library),
        "NSS_WRAPPER_PASSWD": str(users),
        "NSS_WRAPPER_GROUP": str(groups),
    }


def _has_a_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True
