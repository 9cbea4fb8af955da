"""A small database with one of everything, backed up and restored once, and copies of what was restored.

Owns that database and its roles. A copy is as the restored one: what CREATE DATABASE does not copy is set again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from psycopg import sql

from backup.domain.comparison import Difference, Scope, compare
from backup.domain.proof import Proof
from backup.errors import IntegrityFailed
from backup.ports import RestoreChoice, Store
from backup.postgres.prover import ProofOptions
from backup.postgres.restorer import PostgresRestorer
from backup.workflow.back_up import BackUpChoice, back_up
from backup.workflow.catalog import Catalog
from backup.workflow.copies import Copies
from backup.workflow.restore import restore, scope_of
from tests.fixtures.postgres import Connection, Server
from tests.support.pgproof import PLAIN, clients_of, make_engine, make_restorer, make_source, now

ROLES = ("specimen_owner", "specimen_reader")
SOURCE, RESTORED, COPY = "specimen", "specimen_restored", "specimen_copy"
_PROPERTIES = """
DO $$
BEGIN
    EXECUTE format('ALTER DATABASE %I SET work_mem = %L', current_database(), '7MB');
    EXECUTE format('ALTER ROLE specimen_reader IN DATABASE %I SET lock_timeout = %L', current_database(), '5s');
    EXECUTE format('COMMENT ON DATABASE %I IS %L', current_database(), 'one of everything');
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO specimen_reader', current_database());
    EXECUTE format('ALTER DATABASE %I OWNER TO specimen_owner', current_database());
END
$$
"""
_SUBSCRIPTION = """
CREATE SUBSCRIPTION waiting CONNECTION 'host=127.0.0.1 port=1 password=hidden' PUBLICATION one
    WITH (connect = false, slot_name = NONE)
"""


def load_specimen(connection: Connection) -> None:
    """Fill an empty database."""
    connection.execute((Path(__file__).parent / "specimen.sql").read_bytes())
    _set_properties(connection)


def _set_properties(connection: Connection) -> None:
    """What is said of the database itself, and what belongs to all databases: no copy has it."""
    connection.execute(_PROPERTIES)
    connection.execute(_SUBSCRIPTION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """The restored specimen, and what its backup's snapshot held."""

    server: Server
    restorer: PostgresRestorer
    expected: Proof
    scope: Scope

    def differences(self, change: str = "", *, database: str = "") -> tuple[Difference, ...]:
        """What a comparison finds when a copy was changed first, or in a database as it stands."""
        if database:
            return self._compared(database)
        with self._copy() as copy:
            with self.server.connect(copy) as connection:
                connection.execute("SET search_path = shop, public")
                connection.execute(change.replace("COPY_DATABASE", copy).encode())
            return self._compared(copy)

    def _compared(self, database: str) -> tuple[Difference, ...]:
        found = self.restorer.look(database, "full", within=60)
        compared = compare(self.expected, found, self.scope)
        if compared.unproven:
            raise AssertionError(f"not everything was found out: {compared.unproven}")
        return compared.differences

    @contextmanager
    def _copy(self) -> Iterator[str]:
        _create(self.server, COPY, template=RESTORED)
        try:
            with self.server.connect(COPY) as connection:
                _set_properties(connection)
            yield COPY
        finally:
            _drop(self.server, COPY)


@contextmanager
def restored_specimen(server: Server, store: Store) -> Iterator[Restored]:
    """Back the specimen up with its proof, restore it, and give the restored one. Nothing of it stays on the server."""
    try:
        with server.connect() as connection:
            for role in ROLES:
                connection.execute(f"CREATE ROLE {role}".encode())
        _create(server, SOURCE)
        with server.connect(SOURCE) as connection:
            load_specimen(connection)
        engine = replace(make_engine(clients_of(server)), proof=ProofOptions(mode="full", seconds=60))
        choice = BackUpChoice(target="specimen", encoding=PLAIN)
        backup = back_up(make_source(server, SOURCE), engine, Copies(store), choice, clock=now)
        restorer = make_restorer(server)
        report = restore(backup, store, restorer, RestoreChoice(into=RESTORED))
        expected = Catalog(store).proof_of(backup)
        if expected is None:
            raise IntegrityFailed("the backup has no proof")
        yield Restored(server=server, restorer=restorer, expected=expected, scope=scope_of(expected, report))
    finally:
        for database in (COPY, RESTORED, SOURCE):
            _drop(server, database)
        with server.connect() as connection:
            for role in ROLES:
                connection.execute(f"DROP ROLE IF EXISTS {role}".encode())


def _create(server: Server, name: str, *, template: str = "template0") -> None:
    with server.connect() as connection:
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))


def _drop(server: Server, name: str) -> None:
    if name not in server.databases():
        return
    with server.connect(name) as connection:
        for (found,) in connection.execute(
            "SELECT subname FROM pg_subscription AS s JOIN pg_database AS d ON d.oid = subdbid"
            " WHERE datname = current_database()"
        ).fetchall():
            connection.execute(sql.SQL("DROP SUBSCRIPTION {}").format(sql.Identifier(found)))
    with server.connect() as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
