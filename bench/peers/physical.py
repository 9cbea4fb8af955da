"""Backups of a server's files: pgBackRest and Barman, on a server that both know.

Debian's pgBackRest knows no newer PostgreSQL than Debian has, so they have a server of Debian's, and their ratio is to
a bare dump of that one. Both need the write-ahead log besides; it goes to pgBackRest's repository.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psycopg

from backup.demo.s3_server import S3Server
from backup.postgres.scratch import ScratchServer
from backup.stream.lodging import private_folder, unprivileged_account, write_private
from bench.backup_speed import SETTINGS
from bench.database import fill
from bench.peers.arena import PREFIX, Arena, Tls, database_on, server_version
from bench.peers.ground import Ground, Peer
from bench.peers.programs import Programs
from bench.peers.running import Command, Pipe, answer
from tests.support.certificates import make_certificate

PHYSICAL = frozenset({"pgbackrest", "barman"})
"""Keys of these peers."""

_HBA = b"local all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n"
_STANZA = "bench"
_SETTINGS = {
    **SETTINGS,
    "autovacuum": "off",
    "wal_level": "replica",
    "max_wal_senders": "2",
    "archive_mode": "on",
    "archive_command": "/bin/true",  # until there is a repository: the tables that are made need not go there
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Server:
    """A PostgreSQL server, the account that may read its files, and a folder of that account."""

    server: ScratchServer
    account: str | None
    folder: Path

    @property
    def settings(self) -> Path:
        """The file of pgBackRest's settings; the server's archive_command names it."""
        return self.folder / "pgbackrest.conf"


@contextmanager
def physical_arena(programs: Programs, size: int) -> Iterator[tuple[Arena, list[Peer]]]:
    """A server of Debian's with a database of about `size` bytes, and the peers on it. Raises Missing."""
    bin_dir = programs.system_server()
    with ExitStack() as stack:
        account = unprivileged_account("a PostgreSQL server")
        folder = private_folder(stack, account, prefix=PREFIX)
        certificate = make_certificate("127.0.0.1")
        ca_file = folder / "authority.pem"
        ca_file.write_bytes(certificate.authority)
        ca_file.chmod(0o644)
        tls = stack.enter_context(S3Server(certificate=certificate.chain, key=certificate.key))
        server = stack.enter_context(ScratchServer(bin_dir, settings=_SETTINGS, tcp=True, files={"pg_hba.conf": _HBA}))
        arena = Arena(
            database=database_on(server, "bench"),
            size=fill(server, "bench", size, more=True),
            version=server_version(server),
            programs=programs,
            folder=folder,
            account=account,
            tls=Tls(s3=tls, ca_file=ca_file),
        )
        yield arena, _peers(_Server(server=server, account=account, folder=folder))


def _peers(files: _Server) -> list[Peer]:
    return [
        Peer(
            key="pgbackrest",
            name="pgBackRest (files)",
            how="`pgbackrest --type=full backup` with `process-max` as many as cores, `compress-type=zst` at level 3, "
            "`start-fast`, `repo1-bundle`; it wants TLS, so its S3 server has it",
            needs=("pgbackrest",),
            backup=lambda ground: (_pgbackrest(files, ground, "--type=full", "backup"),),
            prepare=partial(_new_stanza, files),
            listed=partial(_pgbackrest_listed, files),
            tls=True,
            dumps=False,
        ),
        Peer(
            key="barman",
            name="barman-cloud-backup (files)",
            how="`barman-cloud-backup --lz4 --jobs 2 --immediate-checkpoint`",
            needs=("barman-cloud-backup",),
            backup=_barman_backup,
            listed=_barman_listed,
            dumps=False,
        ),
    ]


def _pgbackrest(files: _Server, ground: Ground, *argv: str) -> Command:
    """As the server's account: the server writes to the same repository."""
    argv = (ground.programs.path("pgbackrest"), f"--config={files.settings}", f"--stanza={_STANZA}", *argv)
    return ground.command(*argv, env={"PGPASSWORD": ground.database.password}, user=files.account)


def _new_stanza(files: _Server, ground: Ground) -> None:
    """Make the bucket its repository, and let the server's log go there from now on."""
    settings = {
        "repo1-type": "s3",
        "repo1-path": "/",
        "repo1-s3-bucket": ground.bucket,
        "repo1-s3-endpoint": "127.0.0.1",
        "repo1-storage-port": ground.s3.port,
        "repo1-storage-verify-tls": "n",  # it finds no addresses in certificates, only names
        "repo1-s3-uri-style": "path",
        "repo1-s3-region": "us-east-1",
        "repo1-s3-key": ground.s3.access_key,
        "repo1-s3-key-secret": ground.s3.secret_key.get_secret_value(),
        "repo1-retention-full": 2,
        "repo1-bundle": "y",
        "process-max": os.cpu_count(),
        "compress-type": "zst",
        "compress-level": 3,
        "start-fast": "y",
        "log-level-console": "warn",
        "log-level-file": "off",
        "lock-path": files.folder / "locks",
        "spool-path": files.folder / "spool",
    }
    stanza = {
        "pg1-path": files.server.folder / "data",
        "pg1-socket-path": files.server.folder,
        "pg1-port": files.server.port,
        "pg1-user": ground.database.user,
    }
    lines = ["[global]", *(f"{name}={value}" for name, value in settings.items())]
    lines += [f"[{_STANZA}]", *(f"{name}={value}" for name, value in stanza.items())]
    write_private(files.settings, "\n".join((*lines, "")).encode(), files.account)
    answer(_pgbackrest(files, ground, "stanza-create"), cwd=ground.scratch)
    program = ground.programs.path("pgbackrest")
    archive = f"{program} --config={files.settings} --stanza={_STANZA} archive-push %p"
    with psycopg.connect(files.server.address(), autocommit=True) as connection:
        connection.execute(f"ALTER SYSTEM SET archive_command = '{archive}'".encode())
        connection.execute("SELECT pg_reload_conf()")


def _pgbackrest_listed(files: _Server, ground: Ground) -> list[str]:
    stanzas = json.loads(answer(_pgbackrest(files, ground, "info", "--output=json"), cwd=ground.scratch))
    return [str(each["label"]) for stanza in stanzas for each in stanza["backup"] if not each.get("error")]


def _barman(ground: Ground, program: str, *argv: str) -> Command:
    path = Path(ground.programs.path("barman-cloud-backup")).with_name(program)
    cloud = ("--cloud-provider", "aws-s3", "--endpoint-url", ground.s3.endpoint, "--addressing-style", "path")
    return ground.command(
        str(path), *cloud, *argv, f"s3://{ground.bucket}", _STANZA, env={**ground.keys, **ground.database.env}
    )


def _barman_backup(ground: Ground) -> Pipe:
    options = ("--lz4", "--jobs", "2", "--immediate-checkpoint")
    return (_barman(ground, "barman-cloud-backup", *options, "--dbname", ground.database.name),)


def _barman_listed(ground: Ground) -> list[str]:
    said = json.loads(answer(_barman(ground, "barman-cloud-backup-list", "--format", "json"), cwd=ground.scratch))
    return [str(each["backup_id"]) for each in said["backups_list"] if each.get("end_time")]
