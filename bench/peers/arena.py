"""What peers are measured on: a server with a database, and for each round an S3 server of its own and fresh folders.

Owns these servers and folders; all of them go with their context.
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from backup.demo.s3_server import S3Server
from backup.postgres.scratch import ScratchServer, packaged_bin_dir
from backup.stream.lodging import give
from bench.backup_speed import SETTINGS
from bench.database import fill
from bench.peers.ground import Database, Ground, GroundFor, Peer
from bench.peers.programs import Programs
from bench.peers.running import Pipe, answer

LOGICAL = {**SETTINGS, "autovacuum": "off"}
"""Settings of a server whose databases are only dumped and restored."""

PREFIX = "bench-"
"""Of the folder that holds all others. Short, as their names are: Barman makes unix sockets four folders below."""

BARE = "bare"
"""The key of what all others are compared with."""

_CENSUS = """
SELECT (SELECT count(*) FROM accounts), (SELECT count(*) FROM orders), (SELECT count(*) FROM events),
  (SELECT count(*) FROM wide), (SELECT count(*) FROM pg_largeobject_metadata),
  (SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace),
  (SELECT sum(id) FROM small_1), (SELECT count(*) FROM pg_indexes WHERE schemaname = 'public')"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """An S3 server that speaks TLS, and whom to trust."""

    s3: S3Server
    ca_file: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Arena:
    """A server with the database that is backed up.

    Attributes:
        database, size: that database, and its bytes on the server's disk.
        version: of the server.
        programs: of the peers.
        folder: the folders of the rounds are made in it.
        account: whose they are; None for ours.
        tls: for peers that want it.
    """

    database: Database
    size: int
    version: str
    programs: Programs
    folder: Path
    account: str | None = None
    tls: Tls | None = None

    @contextmanager
    def round(self) -> Iterator[GroundFor]:
        """An S3 server for a while; what is given makes a ground in it, as often as one likes."""
        made: list[Path] = []

        def ground_for(peer: Peer) -> Ground:
            name = f"{peer.key}-{secrets.token_hex(3)}"
            made.append(self._folder(name, self.folder))
            return self._ground(peer, s3, made[-1])

        try:
            with S3Server() as s3:
                yield ground_for
        finally:
            for folder in made:
                shutil.rmtree(folder, ignore_errors=True)

    def make_database(self, name: str, *, empty: bool = False) -> None:
        """Make way for a database of that name; with `empty` make it too."""
        with self._connect("postgres") as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
            if empty:
                connection.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())

    def census(self, name: str) -> tuple[int, ...]:
        """How many rows and other things a database has: equal in the source and in what was restored."""
        with self._connect(name) as connection:
            row = connection.execute(_CENSUS.encode()).fetchone()
        return tuple(row or ())

    def _connect(self, name: str) -> psycopg.Connection[tuple[int, ...]]:
        return psycopg.connect(f"{self.database.url.rpartition('/')[0]}/{name}", autocommit=True)

    def _ground(self, peer: Peer, s3: S3Server, folder: Path) -> Ground:
        server, ca_file = s3, None
        if peer.tls:
            if self.tls is None:
                raise ValueError(f"{peer.key} wants an S3 server with TLS")
            server, ca_file = self.tls.s3, self.tls.ca_file
        ground = Ground(
            database=self.database,
            s3=server,
            ca_file=ca_file,
            bucket=folder.name,
            scratch=self._folder("scratch", folder),
            shelf=self._folder("shelf", folder),
            programs=self.programs,
        )
        ground.store.create_bucket()
        return ground

    def _folder(self, name: str, within: Path) -> Path:
        folder = within / name
        folder.mkdir(mode=0o700)
        give(folder, self.account)
        return folder


def bare_peer(directory: Path) -> Peer:
    """pg_dump to nowhere; and two jobs of pg_restore from `directory`, where it makes a dump when there is none."""

    def load(ground: Ground, into: Database) -> Pipe:
        if not directory.exists():
            make = (ground.database.program("pg_dump"), "-Fd", "-j2", f"--file={directory}")
            answer(ground.command(*make, env=ground.database.env), cwd=ground.scratch)
        argv = (into.program("pg_restore"), "--exit-on-error", "-j2", f"--dbname={into.name}", str(directory))
        return (ground.command(*argv, env=into.env),)

    return Peer(
        key=BARE,
        name="bare pg_dump and pg_restore",
        how="`pg_dump -Fc -Z0 >/dev/null`; `pg_restore -j2` from a local `pg_dump -Fd` with its gzip",
        backup=lambda ground: (ground.dump("-Z0"),),
        restore=load,
        listed=lambda _: [],
    )


def database_on(server: ScratchServer, name: str) -> Database:
    """The superuser's database on a server with `tcp`."""
    return Database(port=server.port, password=server.password, name=name, bin_dir=server.bin_dir)


def server_version(server: ScratchServer) -> str:
    """For example 18.6."""
    with psycopg.connect(server.address()) as connection:
        row = connection.execute("SHOW server_version").fetchone()
    return str(row[0]).split(" ", 1)[0] if row else "unknown"


@contextmanager
def logical_arena(programs: Programs, size: int) -> Iterator[Arena]:
    """An embedded server with a database of about `size` bytes."""
    with (
        ScratchServer(packaged_bin_dir(), settings=LOGICAL, tcp=True) as server,
        tempfile.TemporaryDirectory(prefix=PREFIX) as folder,
    ):
        yield Arena(
            database=database_on(server, "bench"),
            size=fill(server, "bench", size, more=True),
            version=server_version(server),
            programs=programs,
            folder=Path(folder),
        )
