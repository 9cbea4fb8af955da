"""Where a peer makes its backups, and what a peer is.

Owns the values that every peer is given: a database, a bucket, folders, programs. Knows no peer.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from backup.demo.s3_server import S3Server
from backup.stores.credentials import find_keys
from backup.stores.s3 import S3Store
from bench.peers.programs import Programs
from bench.peers.running import Command, Pipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """A database on a server of 127.0.0.1, and where its programs are."""

    port: int
    password: str = field(repr=False)
    name: str
    bin_dir: Path
    user: str = "postgres"
    host: str = "127.0.0.1"

    @property
    def url(self) -> str:
        """Its address; holds the password."""
        return f"postgresql://{self.user}:{self.password}@{self.host}:{self.port}/{self.name}"

    @property
    def env(self) -> dict[str, str]:
        """What libpq reads."""
        return {
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGPASSWORD": self.password,
            "PGDATABASE": self.name,
        }

    def program(self, name: str) -> str:
        """The path of one of the server's programs."""
        return str(self.bin_dir / name)


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What one peer has in one round.

    Attributes:
        database: what is backed up.
        s3, ca_file: the S3 server, and whom to trust where it speaks TLS.
        bucket: this peer's own, empty at first.
        scratch: its HOME, TMPDIR and working folder. What lies there counts.
        shelf: a folder for settings, and for what is stored by those that know no S3. Does not count.
        programs: where they are.
    """

    database: Database
    s3: S3Server
    ca_file: Path | None = None
    bucket: str
    scratch: Path
    shelf: Path
    programs: Programs

    @property
    def env(self) -> dict[str, str]:
        """What every program gets; nothing of ours but the path."""
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.scratch),
            "TMPDIR": str(self.scratch),
            "LANG": "C.UTF-8",
        }

    @property
    def keys(self) -> dict[str, str]:
        """The keys of the bucket, as Amazon's programs and many others read them."""
        return {
            "AWS_ACCESS_KEY_ID": self.s3.access_key,
            "AWS_SECRET_ACCESS_KEY": self.s3.secret_key.get_secret_value(),
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    @cached_property
    def store(self) -> S3Store:
        """The bucket."""
        address = self.s3.address(self.bucket)
        address = replace(address, ca_file=self.ca_file) if self.ca_file else address
        return S3Store(address, find_keys(self.s3.keys, {}))

    def into(self, name: str) -> Database:
        """Another database on the same server."""
        return replace(self.database, name=name)

    def command(self, *argv: str, env: Mapping[str, str], user: str | None = None) -> Command:
        """A command in what every program gets, and `env`."""
        return Command(argv=argv, env={**self.env, **env}, user=user)

    def dump(self, *options: str) -> Command:
        """pg_dump of the database in its custom format."""
        return self.command(self.database.program("pg_dump"), "-Fc", *options, env=self.database.env)

    def load(self, into: Database) -> Command:
        """pg_restore from a pipe."""
        argv = (into.program("pg_restore"), "--exit-on-error", f"--dbname={into.name}")
        return self.command(*argv, env=into.env)


def in_the_bucket(ground: Ground) -> dict[str, int]:
    """Names of the objects in the bucket, and their bytes."""
    return {each.key: each.bytes for each in ground.store.list("")}


def names_in_the_bucket(ground: Ground) -> list[str]:
    """The objects: what somebody sees as backups who has only these."""
    return list(in_the_bucket(ground))


def _nothing(_ground: Ground) -> None:
    """Make no preparations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One way to back up.

    Attributes:
        key: what `--peers` calls it.
        name: what the tables call it.
        how: how it was set up, a line for the page.
        needs: programs that have to be there.
        backup: the pipe that makes one.
        restore: the pipe that brings the newest one back into an empty database; None where that is not measured.
        makes_database: `restore` wants that database not to be there.
        prepare: what is made once for a new repository; not measured.
        stored: what is stored, and its bytes.
        listed: backups that are finished, in the eyes of whoever asks this peer.
        tls: it speaks to no S3 server without.
        dumps: its backup runs pg_dump.
    """

    key: str
    name: str
    how: str
    needs: tuple[str, ...] = ()
    backup: Callable[[Ground], Pipe]
    restore: Callable[[Ground, Database], Pipe] | None = None
    makes_database: bool = False
    prepare: Callable[[Ground], None] = _nothing
    stored: Callable[[Ground], dict[str, int]] = in_the_bucket
    listed: Callable[[Ground], list[str]] = names_in_the_bucket
    tls: bool = False
    dumps: bool = True


GroundFor = Callable[[Peer], Ground]
"""Makes a fresh one, as often as it is called."""
