"""The parts of pgproof put together for tests as bootstrap does it, without settings.

Owns the short names by which tests back up, restore and fill databases. A restored database should be named after its
source with something behind, so that `new_database` drops it too.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, LiteralString

import psycopg

from backup.domain.manifest import Manifest
from backup.ports import RestoreChoice, RestoreReport, Store
from backup.postgres.address import Address
from backup.postgres.clients import Client, find_clients
from backup.postgres.dump import DumpOptions, PgDumpEngine
from backup.postgres.restore_job import RestoreOptions
from backup.postgres.restorer import PostgresRestorer
from backup.postgres.source import PostgresSource
from backup.stream.volumes import Encoding
from backup.workflow.back_up import BackUpChoice, back_up
from backup.workflow.copies import Copies
from backup.workflow.restore import restore
from tests.fixtures.postgres import Role, Server

ENVIRON: Mapping[str, str] = {}
"""Of the children: nothing of the machine's own PG* variables."""

PLAIN = Encoding(compression="none", level=0, threads=0, volume_size=1 << 40)
ZSTD = Encoding(compression="zstd", level=1, threads=2, volume_size=1 << 40)


def lanes(jobs: int, **more: Any) -> DumpOptions:  # noqa: ANN401 -- options of any kind
    """A dump in so many lanes, however small its tables are."""
    return DumpOptions(globals="off", jobs=jobs, large=1, **more)


def now() -> datetime:
    return datetime.now(UTC)


def clients_of(*servers: Server) -> tuple[Client, ...]:
    """The programs that came with these servers, and no others."""
    folders = [server.bin_dir for server in servers]
    return tuple(client for client in find_clients(folders, {}) if client.folder in folders)


def address_of(server: Server, database: str = "postgres", role: Role | None = None) -> Address:
    if role is None:
        return Address.parse(server.url(database))
    return Address.parse(server.url(database, user=role.name, password=role.password))


def make_source(
    server: Server, database: str, *, role: Role | None = None, clients: tuple[Client, ...] = (), jobs: int = 1
) -> PostgresSource:
    return PostgresSource(address=address_of(server, database, role), clients=clients or clients_of(server), jobs=jobs)


def make_engine(clients: tuple[Client, ...], options: DumpOptions | None = None) -> PgDumpEngine:
    return PgDumpEngine(clients=clients, options=options or DumpOptions(globals="off"), environ=ENVIRON)


def make_restorer(
    server: Server,
    database: str = "postgres",
    *,
    role: Role | None = None,
    clients: tuple[Client, ...] = (),
    options: RestoreOptions | None = None,
) -> PostgresRestorer:
    return PostgresRestorer(
        address=address_of(server, database, role),
        clients=clients or clients_of(server),
        environ=ENVIRON,
        options=options or RestoreOptions(),
    )


def backed_up(
    server: Server,
    database: str,
    store: Store,
    *,
    role: Role | None = None,
    clients: tuple[Client, ...] = (),
    encoding: Encoding = PLAIN,
    target: str = "it",
    dump: DumpOptions | None = None,
) -> Manifest:
    """A backup of the database, made by the clients of its own server if none are given."""
    clients = clients or clients_of(server)
    return back_up(
        make_source(server, database, role=role, clients=clients),
        make_engine(clients, dump),
        Copies(store),
        BackUpChoice(target=target, encoding=encoding),
        clock=now,
    )


def restored(
    backup: Manifest,
    store: Store,
    restorer: PostgresRestorer,
    into: str,
    *,
    tables: tuple[str, ...] = (),
    jobs: int = 1,
) -> RestoreReport:
    """The backup, restored into a new database."""
    return restore(backup, store, restorer, RestoreChoice(into=into, tables=tables, jobs=jobs))


def restored_in_place(backup: Manifest, store: Store, restorer: PostgresRestorer) -> RestoreReport:
    """The backup, restored into the restorer's own database."""
    return restore(backup, store, restorer, RestoreChoice(into="", in_place=True))


def run(server: Server, database: str, script: LiteralString, *, role: Role | None = None) -> None:
    """Carry out SQL statements in one transaction."""
    with psycopg.connect(address_of(server, database, role).conninfo()) as connection:
        connection.execute(script)


def rows(server: Server, database: str, query: LiteralString) -> list[tuple[Any, ...]]:
    """What a query of the superuser gives."""
    with server.connect(database) as connection:
        return connection.execute(query).fetchall()


def column(server: Server, database: str, query: LiteralString) -> list[Any]:
    """The first column of what a query gives."""
    return [row[0] for row in rows(server, database, query)]
