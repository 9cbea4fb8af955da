"""The servers that other tests rely on are what they say."""

from __future__ import annotations

from pathlib import Path

import psutil
import psycopg
import pytest

from tests.fixtures.pgbouncer import NewPooler, PoolMode, pooling
from tests.fixtures.postgres import NewDatabase, NewRole, Server


def test_every_server_has_its_major_and_wants_its_password(any_server: Server) -> None:
    with any_server.connect() as connection:
        assert connection.info.server_version // 10000 == any_server.major
    with psycopg.connect(any_server.socket_url()) as connection:
        assert connection.info.user == any_server.superuser
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(any_server.url(user=any_server.superuser, password="wrong"))


def test_the_tls_server_takes_tls(system_tls: Server, tmp_path: Path) -> None:
    assert system_tls.certificate is not None
    root = tmp_path / "root.crt"
    root.write_bytes(system_tls.certificate.authority)
    with psycopg.connect(system_tls.url(), sslmode="verify-full", sslrootcert=str(root)) as connection:
        found = connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()
    assert found == (True,)


def test_17_is_there_too(pg17: Server) -> None:
    assert pg17.major == 17


def test_a_new_role_owns_a_new_database(pg18: Server, new_database: NewDatabase, new_role: NewRole) -> None:
    role = new_role(pg18, options="CREATEDB")
    db = new_database(pg18)
    with pg18.connect() as connection:
        connection.execute(f"ALTER DATABASE {db} OWNER TO {role.name}")
    with psycopg.connect(pg18.url(db, user=role.name, password=role.password)) as connection:
        connection.execute("CREATE TABLE mine ()")
    assert db in pg18.databases()


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_a_pooler_stands_between(
    pg18: Server, new_pooler: NewPooler, new_database: NewDatabase, new_role: NewRole, mode: PoolMode
) -> None:
    db = new_database(pg18)
    role = new_role(pg18)
    pooler = new_pooler(pg18, mode=mode, roles=[role])
    with psycopg.connect(pooler.url(db, role=role), prepare_threshold=None) as connection:
        assert connection.execute("SELECT current_user, current_database()").fetchone() == (role.name, db)
    with psycopg.connect(pooler.url("pgbouncer"), autocommit=True) as connection:
        shown = {row[0]: row[1] for row in psycopg.ClientCursor(connection).execute("SHOW CONFIG")}
    assert shown["pool_mode"] == mode


def test_a_pooler_leaves_nothing(pg18: Server) -> None:
    with pooling(pg18) as pooler:
        process = psutil.Process(pooler.pid)
        folder = Path(process.cwd())
        assert process.uids().effective != 0
    assert not process.is_running()
    assert not folder.exists()
