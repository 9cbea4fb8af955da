"""A database whose users made functions that fit our queries better than PostgreSQL's own (CVE-2018-1058)."""

from __future__ import annotations

import pytest

from backup.postgres.restore_job import RestoreOptions
from backup.stores.directory import DirectoryStore
from tests.fixtures.postgres import NewDatabase, Server
from tests.support.pgproof import (
    backed_up,
    clients_of,
    make_restorer,
    make_source,
    restored,
    restored_in_place,
    rows,
    run,
)

_TRAPS = """
CREATE FUNCTION hashtextextended(text, int) RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RAISE 'trap'; END $$;
CREATE FUNCTION quote_ident(name) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'trap'; END $$;
CREATE FUNCTION starts_with(name, text) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE 'trap'; END $$;
CREATE FUNCTION has_table_privilege(text, text) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE 'trap'; END $$;
CREATE FUNCTION pg_has_role(oid, text) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE 'trap'; END $$;
CREATE FUNCTION current_setting(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'trap'; END $$;
CREATE FUNCTION current_database() RETURNS name LANGUAGE plpgsql AS $$ BEGIN RAISE 'trap'; END $$;
CREATE FUNCTION pg_is_in_recovery() RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE 'trap'; END $$;
CREATE FUNCTION pg_export_snapshot() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'trap'; END $$;
CREATE FUNCTION set_config(text, text, bool) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'trap'; END $$;
CREATE FUNCTION trap(name, name) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE 'trap'; END $$;
CREATE OPERATOR = (LEFTARG = name, RIGHTARG = name, FUNCTION = trap);
CREATE TABLE t AS SELECT 1 AS a;
"""


@pytest.fixture(params=["usual path", "catalogue last"])
def hostile(request: pytest.FixtureRequest, pg18: Server, new_database: NewDatabase) -> str:
    name = new_database(pg18)
    run(pg18, name, _TRAPS)
    if request.param == "catalogue last":
        with pg18.connect() as connection:
            connection.execute(f"ALTER DATABASE {name} SET search_path = public, pg_catalog".encode())
    return name


def test_functions_of_its_users_are_never_called_by_checks_and_backup(
    pg18: Server, hostile: str, store: DirectoryStore
) -> None:
    source = make_source(pg18, hostile)
    assert {each.name for each in source.checks() if each.verdict != "ok"} == set()
    assert source.database().name == hostile
    assert backed_up(pg18, hostile, store).database.name == hostile


def test_functions_of_its_users_are_never_called_by_restores(pg18: Server, hostile: str, store: DirectoryStore) -> None:
    backup = backed_up(pg18, hostile, store)
    run(pg18, hostile, "INSERT INTO t VALUES (2)")
    restored_in_place(backup, store, make_restorer(pg18, hostile))
    assert rows(pg18, hostile, "SELECT a FROM t") == [(1,)]
    options = RestoreOptions(maintenance_database=hostile)
    restorer = make_restorer(pg18, clients=clients_of(pg18), options=options)
    restored(backup, store, restorer, f"{hostile}_again", jobs=2)
    assert rows(pg18, f"{hostile}_again", "SELECT a FROM t") == [(1,)]
