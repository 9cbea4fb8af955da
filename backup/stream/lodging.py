"""Where a server of our own lives and who runs it: an account without rights, and a private folder that it can reach.

Owns what happens where root starts a throwaway server. Adds no account, and changes no mode of a folder that it did
not make.
"""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

from backup.errors import ConfigurationError

_ACCOUNTS = ("nobody", "postgres", "daemon")
_BASES = ("/tmp", "/var/tmp")  # noqa: S108 -- where TMPDIR cannot be used; mkdtemp makes a private folder


def unprivileged_account(server: str) -> str | None:
    """The account that runs `server` where we are root, the first that exists; None for our own.

    Raises:
        ConfigurationError: we are root, and there is none.
    """
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    account = next((name for name in _ACCOUNTS if name in known), None)
    if account is None:
        raise ConfigurationError(
            f"{server} is not run as root, and this machine has no account to run it as",
            hint=f"add one of {', '.join(_ACCOUNTS)}, or run pgproof as another user",
        )
    return account


def private_folder(
    stack: ExitStack, account: str | None, *, prefix: str, base: Path | None = None, longest: int | None = None
) -> Path:
    """Make a folder that only the account can enter; it goes when `stack` closes.

    Args:
        stack: bound to delete it.
        account: whose it is; None for ours.
        prefix: of its name.
        base: where; by default the machine's folder for temporary files, or another one where that is closed.
        longest: bytes that the path of the base may have.

    Raises:
        ConfigurationError: there is no such place.
    """
    bases = [base] if base else [Path(tempfile.gettempdir()), *map(Path, _BASES)]
    for candidate in bases:
        fits = longest is None or len(os.fsencode(candidate)) <= longest
        if fits and candidate.is_dir() and (account is None or is_open_to_all(candidate)):
            folder = Path(tempfile.mkdtemp(prefix=prefix, dir=candidate))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            give(folder, account)
            return folder
    who = f"that {account} can reach" if account else "to live in"
    limit = f", with a path of at most {longest} bytes" if longest else ""
    raise ConfigurationError(
        f"there is no folder {who} among {', '.join(map(str, bases))}",
        hint=f"set TMPDIR to a folder that is open to all{limit}",
    )


def is_open_to_all(folder: Path) -> bool:
    """Whether every step towards a folder lets every account through."""
    return all(step.stat().st_mode & 0o001 for step in (folder.resolve(), *folder.resolve().parents))


def give(path: Path, account: str | None) -> None:
    """Make a file or folder the account's, where that is another than ours."""
    if account is not None:
        entry = pwd.getpwnam(account)
        os.lchown(path, entry.pw_uid, entry.pw_gid)


def write_private(path: Path, content: bytes, account: str | None) -> None:
    """Write a file that only the account can read, from its first byte on."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        give(path, account)
        file.write(content)
