"""The installed PostgreSQL programs: finds them and chooses the one that fits. Owns the rule of versions.

pg_dump refuses a server newer than itself, and an archive can be read only by a pg_restore that is not older than
the pg_dump that wrote it. Beyond that, the nearest version is the best: it writes what its own server understands.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from backup.errors import ClientMissing
from backup.signals import undisturbed

_DEBIAN = Path("/usr/lib/postgresql")
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)(?:\.(\d+))?\S*")


@dataclass(frozen=True, slots=True, order=True)
class Client:
    """The programs of one version in one folder."""

    major: int
    minor: int
    folder: Path

    @property
    def version(self) -> str:
        """As in `18.6`."""
        return f"{self.major}.{self.minor}"

    def program(self, name: str) -> str:
        """The path of pg_dump, pg_restore or pg_dumpall."""
        return str(self.folder / name)


def find_clients(folders: Iterable[Path], environ: Mapping[str, str]) -> tuple[Client, ...]:
    """All versions that are installed: in `folders`, /usr/lib/postgresql/*/bin and PATH; an earlier place wins."""
    places = [*folders, *sorted(_DEBIAN.glob("*/bin")), *map(Path, filter(None, environ.get("PATH", "").split(":")))]
    found: dict[tuple[int, int], Client] = {}
    for place in places:
        client = _client_in(place)
        if client:
            found.setdefault((client.major, client.minor), client)
    return tuple(sorted(found.values()))


@lru_cache(maxsize=64)
def _client_in(folder: Path) -> Client | None:
    """The version of pg_dump in a folder where we may run both it and pg_restore, or None."""
    if not all(os.access(folder / name, os.X_OK) for name in ("pg_dump", "pg_restore")):
        return None
    try:
        with undisturbed():  # an exception while a child is being started would leave it behind
            answer = subprocess.run(
                [str(folder / "pg_dump"), "--version"], capture_output=True, text=True, timeout=20, check=True
            )
    except (OSError, subprocess.SubprocessError):
        return None
    match = _VERSION.search(answer.stdout)
    return Client(int(match[1]), int(match[2] or 0), folder) if match else None


def choose(clients: Iterable[Client], *, server: int, archive: int = 0) -> Client:
    """The newest client of the server's major, else of the nearest newer one; never older than the archive.

    Args:
        clients: what is installed.
        server: major version of the server at the other end; 0 where there is none.
        archive: major version of the pg_dump that wrote the archive; 0 where one is to be written.

    Raises:
        ClientMissing: none fits; names both versions.
    """
    wanted = max(server, archive)
    installed = sorted(clients)
    fitting = [client for client in installed if client.major >= wanted]
    if fitting:
        nearest = fitting[0].major
        return max(client for client in fitting if client.major == nearest)
    have = ", ".join(client.version for client in installed)
    reason = f"the server is PostgreSQL {server}" if server >= archive else f"the archive is of pg_dump {archive}"
    raise ClientMissing(
        f"{reason}, but the newest client here is {installed[-1].version}"
        if installed
        else f"{reason}, but no PostgreSQL client is installed",
        detail=f"installed: {have}" if have else None,
        hint=f"install postgresql-client-{wanted} or newer, or name its folder in PGPROOF_PG_BIN",
    )


def find_psql(clients: Iterable[Client], *, server: int) -> str | None:
    """The path of a psql: beside the pg_dump that fits the server best, else the newest; COPY is the same to all."""
    installed = sorted(clients, key=lambda client: (client.major == server, client), reverse=True)
    paths = (client.program("psql") for client in installed)
    return next((path for path in paths if os.access(path, os.X_OK)), None)
