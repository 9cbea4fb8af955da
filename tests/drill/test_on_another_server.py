"""`pgproof drill --on`: a scratch database on a server that is there already, dropped whatever happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from backup.errors import ConfigurationError, DatabaseUnreachable, ProofMismatch, RestoreFailed, UsageError
from tests.drill.conftest import Drilling, drilling_of
from tests.fixtures.postgres import NewDatabase, NewRole, Role, Server
from tests.support.command import wait_until
from tests.support.services import missing


@pytest.fixture
def old(system_server: Server, new_database: NewDatabase, tmp_path: Path, folder: Path) -> Drilling:
    """A database on the oldest server."""
    return drilling_of(system_server, new_database(system_server), tmp_path, folder)


def _both(first: Server, second: Server) -> str:
    return f"{first.bin_dir},{second.bin_dir}"


def _scratch_databases(server: Server, drilling: Drilling) -> list[str]:
    return [name for name in server.databases() if name.startswith(f"{drilling.database}_")]


def test_a_backup_of_an_old_server_is_proven_on_a_new_one(old: Drilling, pg18: Server) -> None:
    old.run(
        "CREATE TABLE t AS SELECT n, n::float8 / 3 AS f, 'v' || n AS v FROM generate_series(1, 100) AS n;"
        "ALTER TABLE t ADD PRIMARY KEY (n); CREATE INDEX ON t (f); CREATE VIEW v AS SELECT f FROM t WHERE n > 3;"
        "CREATE SEQUENCE s; SELECT nextval('s'); SELECT lo_from_bytea(0, 'x')"
    )
    old.back_up()
    ended = old.drilled("--on", pg18.socket_url(), PGPROOF_PG_BIN=_both(old.server, pg18))
    assert ended.code == 0, ended
    assert ended.result["server_version"].startswith("18.")
    assert ended.result["differences"] == []
    assert _scratch_databases(pg18, old) == []


def test_a_new_backup_is_refused_on_an_old_server(drilling: Drilling, system_server: Server) -> None:
    if system_server.major >= drilling.server.major:
        missing("the oldest server of this machine is not old enough")
    ended = drilling.drilled("--on", system_server.socket_url())
    assert ended.code == ConfigurationError.exit_code, ended
    assert f"the backup is of PostgreSQL {drilling.server.major}" in ended.error["message"]
    assert drilling.stored_drills() == []
    assert _scratch_databases(system_server, drilling) == []


def test_two_drills_at_once_on_one_server_do_not_meet(drilling: Drilling) -> None:
    arguments = ("drill", "latest", "--on", drilling.server.socket_url(), "--json")
    with drilling.pgproof.start(*arguments) as first:
        second = drilling.pgproof(*arguments)
        ended = first.finish()
    assert (ended.code, second.code) == (0, 0), (ended, second)
    assert _scratch_databases(drilling.server, drilling) == []


@pytest.mark.parametrize("sql", ["SELECT true", "SELECT false", "SELECT pg_terminate_backend(pg_backend_pid())"])
def test_the_scratch_database_is_dropped_whatever_was_found(drilling: Drilling, sql: str) -> None:
    ended = drilling.drilled("--on", drilling.server.socket_url(), "--check", sql)
    assert ended.code == (0 if sql == "SELECT true" else ProofMismatch.exit_code), ended
    assert _scratch_databases(drilling.server, drilling) == []


def test_a_load_that_fails_leaves_no_database(own: Drilling) -> None:
    own.run(
        "CREATE FUNCTION good(int) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT true';"
        "CREATE TABLE t (id int CHECK (good(id))); INSERT INTO t VALUES (1);"
        "CREATE OR REPLACE FUNCTION good(int) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT $1 / 0 = 1'"
    )
    own.back_up()
    ended = own.drilled("--on", own.server.socket_url())
    assert ended.code == RestoreFailed.exit_code, ended
    assert own.last_result()["verdict"] == "failed"
    assert _scratch_databases(own.server, own) == []


def test_a_database_with_a_subscription_is_dropped_too(own: Drilling) -> None:
    own.run(
        "CREATE SUBSCRIPTION waits CONNECTION 'host=127.0.0.1 port=1 dbname=none' PUBLICATION one"
        " WITH (connect = false, slot_name = NONE)"
    )
    own.back_up()
    ended = own.drilled("--on", own.server.socket_url())
    assert ended.code == 0, ended
    assert _scratch_databases(own.server, own) == []


def test_a_database_that_others_look_into_is_dropped_too(drilling: Drilling) -> None:
    server = drilling.server
    arguments = ("drill", "latest", "--on", server.socket_url(), "--check", "SELECT pg_sleep(2) IS NOT NULL", "--json")
    with drilling.pgproof.start(*arguments) as running:
        running.wait_for(lambda: [n for n in _scratch_databases(server, drilling) if "__restoring_" not in n])
        (name,) = _scratch_databases(server, drilling)
        with server.connect(name):
            ended = running.finish()
    assert ended.code == 0, ended
    wait_until(lambda: _scratch_databases(server, drilling) == [])


def test_an_extension_that_the_server_lacks_is_named_and_stored_as_failed(old: Drilling, pg18: Server) -> None:
    old.run("CREATE EXTENSION pgcrypto")
    old.back_up()
    ended = old.drilled("--on", pg18.socket_url(), PGPROOF_PG_BIN=_both(old.server, pg18))
    assert ended.code == RestoreFailed.exit_code, ended
    assert "does not have the extension pgcrypto" in ended.error["message"]
    assert "extension pgcrypto" in old.last_result()["text"]
    assert _scratch_databases(pg18, old) == []


def test_owners_and_grants_of_roles_that_the_server_lacks_are_left_out(
    old: Drilling, pg18: Server, new_role: NewRole
) -> None:
    owner = new_role(old.server).name
    old.run(f"CREATE TABLE t AS SELECT 1 AS id; ALTER TABLE t OWNER TO {owner}; GRANT SELECT ON t TO {owner}")
    old.back_up()
    ended = old.drilled("--on", pg18.socket_url(), PGPROOF_PG_BIN=_both(old.server, pg18))
    assert ended.code == 0, ended
    with pg18.connect() as connection:
        assert connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [owner]).fetchone() is None


def test_a_role_that_may_only_create_databases_is_enough(drilling: Drilling, new_role: NewRole) -> None:
    role: Role = new_role(drilling.server, options="CREATEDB")
    url = drilling.server.url("postgres", user=role.name, password=role.password)
    ended = drilling.drilled(PGPROOF_DRILL_ON=url)
    assert ended.code == 0, ended
    assert _scratch_databases(drilling.server, drilling) == []


@pytest.mark.parametrize("way", ["variable", "file"])
def test_the_address_is_never_shown(drilling: Drilling, tmp_path: Path, way: str) -> None:
    secret = "hidden-4711"
    url = f"postgresql://somebody:{secret}@127.0.0.1:1/postgres"
    (tmp_path / "on").write_text(f"{url}\n")
    name, value = ("PGPROOF_DRILL_ON", url) if way == "variable" else ("PGPROOF_DRILL_ON_FILE", str(tmp_path / "on"))
    ended = drilling.drilled("--verbose", **{name: value})
    assert ended.code == DatabaseUnreachable.exit_code, ended
    for told in (ended.stdout, ended.stderr):
        assert secret not in told
    assert drilling.stored_drills() == []


def test_two_ways_to_name_the_server_are_refused(drilling: Drilling, tmp_path: Path) -> None:
    (tmp_path / "on").write_text("postgresql://127.0.0.1:1/postgres")
    ended = drilling.drilled("--on", "postgresql://127.0.0.1:1/x", "--on-file", str(tmp_path / "on"))
    assert ended.code == UsageError.exit_code, ended
    missing = drilling.drilled("--on-file", str(tmp_path / "none"))
    assert missing.code == ConfigurationError.exit_code, missing
