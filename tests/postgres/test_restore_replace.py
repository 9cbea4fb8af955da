"""`pgproof restore --replace`: what is restored takes the name, the old database is kept, a line swaps them back."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from backup.domain.manifest import Manifest, Role
from backup.stores.directory import DirectoryStore
from backup.stream.readers import BytesReader
from tests.docs.pages import require
from tests.fixtures.postgres import NewDatabase, NewRole, Server
from tests.support.compare import difference, facts
from tests.support.live import TARGET, Live, names, orders
from tests.support.pgproof import rows, run

_SETTLED = """
ALTER DATABASE {name} SET work_mem = '7MB';
ALTER DATABASE {name} SET search_path = "$user", "Odd, one", public;
ALTER DATABASE {name} SET "app.token" = 'it''s a \\ secret-0123456789';
ALTER ROLE {role} IN DATABASE {name} SET statement_timeout = '9s';
ALTER ROLE {role} IN DATABASE {name} SET temp_tablespaces = '';
COMMENT ON DATABASE {name} IS 'ours, it''s';
REVOKE CONNECT, TEMPORARY ON DATABASE {name} FROM PUBLIC;
GRANT CONNECT ON DATABASE {name} TO {role} WITH GRANT OPTION;
GRANT CREATE ON DATABASE {name} TO {other};
ALTER DATABASE {name} CONNECTION LIMIT 33;
ALTER DATABASE {name} OWNER TO {other};
SET ROLE {role};
GRANT CONNECT ON DATABASE {name} TO {other};
RESET ROLE;
"""
"""What the database has beside its contents, written after the backup was made."""


@pytest.fixture
def live(pg18: Server, new_role: NewRole, new_database: NewDatabase, tmp_path: Path) -> Live:
    """A database with three orders, and two roles for it."""
    return Live.made(pg18, new_database(pg18), tmp_path, [new_role(pg18), new_role(pg18)])


def test_rows_are_as_backed_up_and_the_old_database_is_kept_and_usable(live: Live) -> None:
    backup = live.backed_up()
    live.break_it()
    result = live.replaced(backup)
    assert (result["database"], result["proven"]) == (live.name, True)
    assert orders(live.server, live.name) == [1, 2, 3]
    assert result["replaced"].startswith(f"{live.name}_replaced_2")
    assert result["replaced"] == result["replaced"].lower()
    assert orders(live.server, result["replaced"]) == [1]
    run(live.server, result["replaced"], "INSERT INTO orders VALUES (9)")
    assert names(live) == sorted([live.name, result["replaced"]])
    assert result["drop"] == f'DROP DATABASE "{result["replaced"]}";'


def test_what_it_is_called_and_how_to_go_back_is_told_to_people(live: Live) -> None:
    backup = live.backed_up()
    done = live.pgproof("restore", backup, "--replace", "--confirm", live.name)
    assert done.code == 0, done
    (kept,) = [name for name in names(live) if name != live.name]
    assert f"it is {live.name} now; what had that name is kept as {kept}\n" in done.stdout
    assert "to swap back: psql " in done.stdout
    assert f'when you are sure: DROP DATABASE "{kept}";' in done.stdout
    assert live.server.password not in done.stdout + done.stderr


@pytest.mark.parametrize("name", ['it_"s Größe / 2', "d" * 63, "é" * 31 + "x"])
def test_the_line_that_it_prints_swaps_back(pg18: Server, new_database: NewDatabase, tmp_path: Path, name: str) -> None:
    require("psql")
    live = Live.made(pg18, new_database(pg18, name=name), tmp_path)
    backup = live.backed_up()
    live.break_it()
    result = live.replaced(backup)
    assert len(result["replaced"].encode()) <= 63
    assert (orders(pg18, name), orders(pg18, result["replaced"])) == ([1, 2, 3], [1])
    try:
        done = subprocess.run(
            ["bash", "-c", result["swap_back"]],
            env={"PATH": os.environ["PATH"], "PGPASSWORD": pg18.password},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert orders(pg18, name) == [1]
        (again,) = [each for each in pg18.databases() if "_replacing_" in each]
        assert orders(pg18, again) == [1, 2, 3]
    finally:
        live.drop_others()


@pytest.mark.parametrize("place", ["pg18", "system_server"])
def test_it_has_the_settings_grants_comment_and_owner_of_the_old_one(
    request: pytest.FixtureRequest, new_role: NewRole, new_database: NewDatabase, tmp_path: Path, place: str
) -> None:
    server: Server = request.getfixturevalue(place)
    live = Live.made(server, new_database(server), tmp_path, [new_role(server), new_role(server)])
    backup = live.backed_up()
    script = _SETTLED.format(name=f'"{live.name}"', role=live.role(), other=live.role())
    with live.server.connect() as connection:
        connection.execute(script.encode())
    before = _beside_its_contents(live.server, live.name)
    assert len(before) > 8
    done = live.pgproof("restore", backup, "--replace", "--confirm", live.name, "--json", "-v")
    assert done.code == 0, done
    assert _beside_its_contents(live.server, live.name) == before
    assert _beside_its_contents(live.server, done.result["replaced"]) == before
    assert "secret-0123456789" not in done.stdout + done.stderr
    with live.server.connect(live.name) as connection:
        said = connection.execute("SHOW search_path").fetchone(), connection.execute("SHOW app.token").fetchone()
    assert said == (('"$user", "Odd, one", public',), ("it's a \\ secret-0123456789",))


def _beside_its_contents(server: Server, name: str) -> list[tuple[object, ...]]:
    query = """
        SELECT pg_get_userbyid(datdba)::text, datconnlimit::text, datallowconn::text || datistemplate,
            shobj_description(oid, 'pg_database')
        FROM pg_database WHERE datname = %(name)s
        UNION ALL SELECT 'acl', pg_get_userbyid(a.grantor)::text, pg_get_userbyid(a.grantee)::text,
            privilege_type || is_grantable
        FROM pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a WHERE datname = %(name)s
        UNION ALL SELECT 'setting', setrole::text, o, '' FROM pg_db_role_setting s, pg_database d, unnest(setconfig) o
        WHERE d.oid = s.setdatabase AND datname = %(name)s ORDER BY 1, 2, 3, 4"""
    with server.connect() as connection:
        return connection.execute(query, {"name": name}).fetchall()


def test_all_else_in_it_is_as_backed_up(live: Live) -> None:
    backup = live.backed_up()
    with live.server.connect(live.name) as connection:
        before = facts(connection)
    live.break_it()
    live.replaced(backup)
    with live.server.connect(live.name) as connection:
        assert difference(before, facts(connection)) == []


def test_a_closed_database_stays_closed_under_both_names(live: Live) -> None:
    backup = live.backed_up()
    with live.server.connect() as connection:
        connection.execute(f'ALTER DATABASE "{live.name}" ALLOW_CONNECTIONS false'.encode())
    result = live.replaced(backup, "--no-safety-backup")
    for name in (live.name, result["replaced"]):
        with pytest.raises(psycopg.OperationalError, match="not currently accepting connections"):
            live.server.connect(name)


def test_what_is_there_is_backed_up_first_unless_that_is_not_wanted(live: Live) -> None:
    backup = live.backed_up()
    live.break_it()
    dropped = live.replaced(backup)["replaced"]
    (safety,) = {*live.ids()} - {backup}
    live.replaced(backup, "--no-safety-backup")
    assert len(live.ids()) == 2
    with live.server.connect() as connection:
        connection.execute(f'DROP DATABASE "{dropped}"'.encode())
    restored = live.pgproof("restore", safety, "--into", f"{live.name}_safe")
    assert restored.code == 0, restored
    assert orders(live.server, f"{live.name}_safe") == [1]


def test_what_differs_from_its_proof_is_not_swapped_and_stays_to_be_looked_at(live: Live, tmp_path: Path) -> None:
    older = live.backed_up()
    live.break_it()
    newer = live.backed_up()
    _give_the_proof_of(older, newer, tmp_path / "store")
    done = live.pgproof("restore", newer, "--replace", "--confirm", live.name, "--json")
    assert done.code == 7, done
    assert "rows public.orders: expected 3, found 1" in done.error["detail"]
    (stays,) = [name for name in names(live) if name != live.name]
    assert stays in done.error["message"]
    assert "stays, to be looked at or dropped" in done.stderr
    assert (orders(live.server, stays), orders(live.server, live.name)) == ([1], [1])


def _give_the_proof_of(backup: str, other: str, folder: Path) -> None:
    """Let a backup have the proof of another one: of rows that its dump does not have."""
    store = DirectoryStore(folder)
    found = {}
    for each in (backup, other):
        key = f"{TARGET}/{each}/manifest.json"
        found[each] = Manifest.from_json((folder / key).read_bytes(), where=key)
    (proof,) = found[backup].parts_of(Role.PROOF)
    for volume in proof.volumes:
        shutil.copy(folder / TARGET / backup / volume.name, folder / TARGET / other / volume.name)
    rest = tuple(part for part in found[other].parts if part.role is not Role.PROOF)
    changed = replace(found[other], parts=(*rest, proof))
    store.put(f"{TARGET}/{other}/manifest.json", BytesReader(changed.to_json()))


def test_a_backup_without_a_proof_is_swapped_only_where_that_is_said(live: Live) -> None:
    backup = live.backed_up(PGPROOF_PROOF="off")
    live.break_it()
    asked = ("restore", backup, "--replace", "--confirm", live.name, "--json")
    refused = live.pgproof(*asked)
    assert (refused.code, "--no-proof" in refused.error["hint"]) == (7, True)
    assert (names(live), live.ids(), orders(live.server, live.name)) == ([live.name], [backup], [1])
    done = live.pgproof(*asked[:-1], "--no-proof")
    assert "\nnot compared\n" in done.stdout
    assert orders(live.server, live.name) == [1, 2, 3]


def test_a_dry_run_says_what_would_be_done_and_changes_nothing(live: Live) -> None:
    backup = live.backed_up()
    plan = live.pgproof("restore", backup, "--replace", "--dry-run", "--json").result
    assert plan["database"] == live.name
    assert any("keep that one under another name" in step for step in plan["steps"])
    assert (names(live), live.ids()) == ([live.name], [backup])


def test_it_wants_the_name_of_the_database_that_is_replaced(live: Live) -> None:
    backup = live.backed_up()
    for wrong in ([], ["--confirm", "other"]):
        done = live.pgproof("restore", backup, "--replace", *wrong, "--json")
        assert (done.code, done.error["hint"]) == (2, f"--confirm {live.name}, if that is what you want")
    assert (names(live), live.ids()) == ([live.name], [backup])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--replace", "--into", "x"], "--into and --replace exclude each other"),
        (["--replace", "--in-place"], "--in-place and --replace exclude each other"),
        (["--replace", "--table", "orders"], "--table and --replace exclude each other"),
        (["--disconnect"], "--disconnect goes with --replace"),
        (["--in-place", "--disconnect"], "--disconnect goes with --replace"),
        (["--confirm", "x"], "--confirm goes with --in-place or --replace"),
    ],
)
def test_what_cannot_be_together_is_refused(live: Live, arguments: list[str], says: str) -> None:
    done = live.pgproof("restore", "latest", *arguments, "--json")
    assert (done.code, says in done.error["message"]) == (2, True)


def test_a_database_that_is_not_there_is_told_to_be_restored_as_a_new_one(live: Live) -> None:
    backup = live.backed_up()
    with live.server.connect() as connection:
        connection.execute(f'DROP DATABASE "{live.name}"'.encode())
    done = live.pgproof("restore", backup, "--replace", "--confirm", live.name, "--json")
    assert (done.code, f"--into {live.name}" in done.error["hint"]) == (4, True)


def test_the_maintenance_database_itself_may_be_replaced(live: Live) -> None:
    backup = live.backed_up()
    live.break_it()
    result = live.replaced(backup, PGPROOF_MAINTENANCE_DB=live.name)
    assert (orders(live.server, live.name), orders(live.server, result["replaced"])) == ([1, 2, 3], [1])
    assert rows(live.server, "template1", "SELECT 1") == [(1,)]
