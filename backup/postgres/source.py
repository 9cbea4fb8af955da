"""The database that is backed up, as the Source port has it: facts, checks, snapshot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from backup.domain.checks import Check
from backup.domain.lanes import choose_jobs
from backup.domain.manifest import Database
from backup.postgres.address import Address
from backup.postgres.checks import check_source
from backup.postgres.clients import Client
from backup.postgres.connection import connect
from backup.postgres.session import trust_catalog_only
from backup.postgres.snapshot import HeldSnapshot, hold_snapshot, read_database


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresSource:
    """A database at an address, read through the installed clients.

    Attributes:
        clients: None where rows alone are wanted, for which it takes no program.
        filtered: whether a setting leaves parts of the database out; then what cannot be read is only a warning.
        globals: whether the definitions of roles are wanted.
        jobs: lanes of a dump; None for as many as fit the database.
        cores: that this process may use.
    """

    address: Address
    clients: tuple[Client, ...] | None
    connect_timeout: int = 10
    filtered: bool = False
    globals: bool = True
    jobs: int | None = 1
    cores: int = 1

    def checks(self) -> Iterator[Check]:
        """All that can keep a backup from being made."""
        return check_source(
            self.address,
            clients=self.clients,
            connect_timeout=self.connect_timeout,
            filtered=self.filtered,
            with_roles=self.globals,
            jobs=lambda size: choose_jobs(self.jobs, database_bytes=size, cores=self.cores),
        )

    def database(self) -> Database:
        """What the server says of the database."""
        with connect(self.address.direct(), connect_timeout=self.connect_timeout) as connection:
            trust_catalog_only(connection)
            return read_database(connection)

    def snapshot(self, target: str) -> AbstractContextManager[HeldSnapshot]:
        """Take the lock of `target`, and a snapshot."""
        return hold_snapshot(self.address.direct(), target, connect_timeout=self.connect_timeout)
