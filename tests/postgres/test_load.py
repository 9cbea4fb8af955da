"""A load: what the server says meanwhile, what its sessions are set to, and a connection that is lost beside it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg import sql

from backup.errors import ConfigurationError, Interrupted, RestoreFailed, UsageError
from backup.postgres.archive import HEAD_LIMIT, temporary_files
from backup.postgres.connection import connect
from backup.postgres.restore_job import RestoreOptions
from backup.postgres.rights import apply_together
from backup.signals import interruptible
from backup.stores.directory import DirectoryStore
from tests.fixtures.postgres import NewDatabase, Server
from tests.postgres.test_restore_new import fill, meanwhile
from tests.support.pgproof import (
    address_of,
    backed_up,
    clients_of,
    column,
    make_restorer,
    restored,
    restored_in_place,
    rows,
    run,
)

_TALKATIVE = """
CREATE FUNCTION talk(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
    $$ BEGIN RAISE WARNING E'fetch error: none\nerror: all well' USING HINT = 'error: no'; RETURN $1; END $$;
CREATE TABLE t AS SELECT 1 AS a;
CREATE INDEX ON t (talk(a));
CREATE MATERIALIZED VIEW m AS SELECT talk(a) FROM t;
"""


@pytest.mark.parametrize("server", ["pg18", "system_server"])
def test_a_warning_that_speaks_of_an_error_does_not_end_a_restore(
    request: pytest.FixtureRequest, pg18: Server, new_database: NewDatabase, store: DirectoryStore, server: str
) -> None:
    place: Server = request.getfixturevalue(server)
    name = new_database(place)
    run(place, name, _TALKATIVE)
    backup = backed_up(place, name, store, clients=clients_of(pg18))
    restored(backup, store, make_restorer(place, clients=clients_of(pg18)), f"{name}_again", jobs=2)
    assert rows(place, f"{name}_again", "SELECT talk FROM m") == [(1,)]


def test_the_settings_of_a_load_reach_the_server(
    pg18: Server, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(pg18)
    run(
        pg18,
        name,
        "CREATE MATERIALIZED VIEW seen AS SELECT current_setting('synchronous_commit') AS commits,"
        " current_setting('maintenance_work_mem') AS memory",
    )
    settings = {"synchronous_commit": "local", "maintenance_work_mem": "123MB"}
    restorer = make_restorer(pg18, options=RestoreOptions(settings=settings))
    restored(backed_up(pg18, name, store), store, restorer, f"{name}_again")
    assert rows(pg18, f"{name}_again", "SELECT * FROM seen") == [("local", "123MB")]


def test_a_restore_ends_well_though_its_idle_connection_is_ended(
    pg18: Server, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(pg18)
    fill(pg18, name)
    backup = backed_up(pg18, name, store)
    ended: list[bool] = []

    def end() -> bool:
        with pg18.connect() as connection:
            found = connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'pgproof'"
                " AND datname = 'postgres' AND EXISTS (SELECT FROM pg_stat_activity"
                " WHERE application_name = 'pg_restore' AND datname ~ '__restoring_')"
            )
            ended.extend(done for (done,) in found)
        return bool(ended)

    with meanwhile(end):
        restored(backup, store, make_restorer(pg18), f"{name}_again")
    assert ended == [True]
    assert rows(pg18, f"{name}_again", "SELECT count(*) FROM t") == [(50000,)]


def test_a_name_that_postgresql_would_cut_is_refused(
    pg18: Server, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(pg18)
    backup = backed_up(pg18, name, store)
    with pytest.raises(UsageError, match="a name of 64 bytes is too long") as caught:
        restored(backup, store, make_restorer(pg18), "é" * 32)
    assert "63 bytes" in (caught.value.hint or "")


def test_a_secret_that_pg_restore_cannot_be_told_is_refused_before_anything_is_made(
    pg18: Server, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(pg18)
    backup = backed_up(pg18, name, store)
    restorer = make_restorer(pg18)
    told = type(restorer)(
        address=restorer.address.with_keywords(sslpassword="hidden"),
        clients=restorer.clients,
        environ={},
        options=RestoreOptions(),
    )
    with pytest.raises(ConfigurationError, match="sslpassword cannot be given to pg_dump"):
        restored(backup, store, told, f"{name}_again")


def test_no_place_for_temporary_files_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="temporary files cannot be written") as caught, temporary_files():
        Path(tmp_path, "missing", "head.pgc").write_bytes(b"")
    assert "TMPDIR" in (caught.value.hint or "")
    assert f"{HEAD_LIMIT >> 20} MiB" in (caught.value.hint or "")


@pytest.fixture
def database(pg18: Server, new_database: NewDatabase) -> str:
    name = new_database(pg18)
    run(pg18, name, "CREATE TABLE a (id int); CREATE TABLE b (id int)")
    return name


_COMMENTS = "SELECT description FROM pg_description WHERE objoid IN ('a'::regclass, 'b'::regclass) ORDER BY 1"


def test_what_is_applied_together_comes_but_for_what_is_refused(pg18: Server, database: str) -> None:
    with connect(address_of(pg18, database)) as connection:
        wanted = ["COMMENT ON TABLE a IS '1'", "COMMENT ON TABLE gone IS '2'", "COMMENT ON TABLE b IS '3'"]
        (note,) = apply_together(connection, wanted)
    assert note.startswith("not done: COMMENT ON TABLE gone IS '2' (")
    assert column(pg18, database, _COMMENTS) == ["1", "3"]


def test_what_is_applied_together_does_not_come_in_half(pg18: Server, database: str) -> None:
    with connect(address_of(pg18, database)) as connection:
        wanted = ["COMMENT ON TABLE a IS '1'", "SELECT pg_terminate_backend(pg_backend_pid())"]
        with pytest.raises(RestoreFailed, match="everything is back in place, but"):
            apply_together(connection, wanted)
    assert column(pg18, database, _COMMENTS) == []


def test_a_signal_waits_until_what_is_applied_together_has_come(pg18: Server, database: str) -> None:
    def wanted() -> Iterator[str]:
        yield "COMMENT ON TABLE a IS '1'"
        os.kill(os.getpid(), signal.SIGTERM)
        yield "COMMENT ON TABLE b IS '2'"

    with connect(address_of(pg18, database)) as connection, interruptible(), pytest.raises(Interrupted):
        apply_together(connection, wanted())
    assert column(pg18, database, _COMMENTS) == ["1", "2"]


def test_in_place_owners_and_grants_come_back_by_an_ordinary_member(
    pg18: Server, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(pg18)
    with pg18.connect(name) as connection:
        owner, other = (sql.Identifier(f"{name}_{each}") for each in ("owner", "other"))
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN; CREATE ROLE {}").format(owner, other))
        try:
            connection.execute(sql.SQL("GRANT {} TO {}").format(other, owner))
            connection.execute(
                sql.SQL("ALTER DATABASE {} OWNER TO {}; CREATE TABLE t (a int); CREATE TABLE u (a int)").format(
                    sql.Identifier(name), owner
                )
            )
            connection.execute(
                sql.SQL("ALTER TABLE t OWNER TO {0}; ALTER TABLE u OWNER TO {1}; GRANT SELECT ON t TO {1}").format(
                    owner, other
                )
            )
            backup = backed_up(pg18, name, store)
            restorer = make_restorer(pg18, name)
            ordinary = type(restorer)(
                address=restorer.address.with_keywords(options=f"-c role={name}_owner"),
                clients=restorer.clients,
                environ={},
                options=RestoreOptions(),
            )
            restored_in_place(backup, store, ordinary)
            held = "SELECT pg_get_userbyid(relowner), relacl::text FROM pg_class WHERE relname IN ('t', 'u') ORDER BY 1"
            found = rows(pg18, name, held)
            assert [who for who, _ in found] == [f"{name}_other", f"{name}_owner"]
            assert f"{name}_other=r/{name}_owner" in found[1][1]
        finally:
            connection.execute(sql.SQL("DROP TABLE IF EXISTS t, u").format())
            connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO postgres").format(sql.Identifier(name)))
            connection.execute(sql.SQL("DROP OWNED BY {0}, {1}; DROP ROLE {0}, {1}").format(owner, other))
