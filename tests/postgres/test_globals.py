"""The dump of roles and tablespaces: by a role that may enter no database but its own, not permitted, or broken."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from backup.domain.manifest import Role as PartRole
from backup.postgres.address import Address
from backup.postgres.clients import find_clients
from backup.postgres.dump import DumpOptions, PgDumpEngine
from backup.postgres.scratch import EMBEDDED, packaged_bin_dir
from backup.postgres.snapshot import hold_snapshot
from backup.stream.readers import READ_SIZE
from tests.fixtures.postgres import NewDatabase, NewRole, Server
from tests.support.command import Command

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


@pytest.fixture
def pgproof(pg18: Server, new_database: NewDatabase, tmp_path: Path) -> Command:
    """The command, with programs of which a test may change pg_dumpall."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("pg_dump", "pg_dumpall", "pg_restore"):
        (programs / name).symlink_to(pg18.bin_dir / name)
    environ = {
        "PGPROOF_DATABASE_URL": pg18.url(new_database(pg18)),
        "PGPROOF_TARGET": "it",
        "PGPROOF_STORE": str(tmp_path / "store"),
        "PGPROOF_PG_BIN": str(programs),
        "PATH": "/usr/bin:/bin",
    }
    return Command(home=tmp_path, environ=environ)


@pytest.mark.parametrize("end", ["kill -9 $$", "echo 'pg_dumpall: error: server closed the connection' >&2; exit 1"])
def test_a_pg_dumpall_that_does_not_end_well_ends_the_backup(pgproof: Command, end: str) -> None:
    program = pgproof.home / "programs" / "pg_dumpall"
    program.unlink()
    program.write_text(f"#!/bin/sh\necho 'CREATE ROLE half;'\n{end}\n")
    program.chmod(0o755)
    ended = pgproof("backup", "--json")
    assert ended.code == 5, ended
    assert ended.error["code"] == "dump_failed"
    assert "pg_dumpall" in ended.complaint
    assert pgproof("list", "--json").code == 9


def test_without_pg_dumpall_the_backup_is_made_with_a_warning(pgproof: Command) -> None:
    (pgproof.home / "programs" / "pg_dumpall").unlink()
    ended = pgproof("backup", "--json")
    assert ended.code == 0, ended
    (warning,) = ended.result["warnings"]
    assert warning.startswith("no globals: there is no ")


def test_a_role_that_may_not_read_passwords_makes_the_backup_with_a_warning(
    pgproof: Command, pg18: Server, new_database: NewDatabase, new_role: NewRole
) -> None:
    role = new_role(pg18)
    url = pg18.url(new_database(pg18), user=role.name, password=role.password)
    ended = pgproof("backup", "--json", PGPROOF_DATABASE_URL=url, PGPROOF_GLOBALS="passwords")
    assert ended.code == 0, ended
    assert ended.result["warnings"] == ["no globals: pg_dumpall may not read everything"]
