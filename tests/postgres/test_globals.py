"""The dump of roles and tablespaces, by a role that may enter no database but its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from backup.domain.manifest import Role as PartRole
from backup.postgres.address import Address
from backup.postgres.clients import find_clients
from backup.postgres.dump import DumpOptions, PgDumpEngine
from backup.postgres.scratch import EMBEDDED, packaged_bin_dir
from backup.postgres.snapshot import hold_snapshot
from backup.stream.readers import READ_SIZE
from tests.fixtures.postgres import NewDatabase, NewRole, Server

ODD = "we=ird 'd\"b"


@contextmanager
def closed_entrances(server: Server) -> Iterator[None]:
    with server.connect() as connection:
        connection.execute("REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC")
        try:
            yield
        finally:
            connection.execute("GRANT CONNECT ON DATABASE postgres, template1 TO PUBLIC")


def test_roles_are_dumped_by_a_role_that_may_enter_only_its_own_database(
    any_server: Server, new_database: NewDatabase, new_role: NewRole
) -> None:
    role = new_role(any_server)
    db = new_database(any_server, name=ODD)
    engine = PgDumpEngine(
        clients=find_clients([packaged_bin_dir(EMBEDDED)], {}), options=DumpOptions(globals="roles"), environ={}
    )
    address = Address.parse(any_server.conninfo(db, user=role.name, password=role.password))
    with closed_entrances(any_server), hold_snapshot(address, "test", connect_timeout=5) as snapshot:
        (part,) = (each for each in engine.parts(snapshot) if each.role is PartRole.GLOBALS)
        with part.open() as reader:
            dumped = b"".join(iter(lambda: reader.read(READ_SIZE), b"")).decode()
    assert f"CREATE ROLE {role.name};" in dumped
    assert "PASSWORD" not in dumped
