"""Where pg_dump cannot do it, the rows are saved without it: a degraded backup, which is no complete one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fixtures.postgres import NewRole, Server
from tests.rows.conftest import Shop
from tests.rows.test_engine import Kept, kept_on
from tests.support.command import Command, Finished
from tests.support.receiver import receiving

BROKEN = '#!/bin/sh\n[ "$1" = --version ] && exec {real} --version\n{end}\n'


@pytest.fixture
def kept(shop: Shop) -> Kept:
    kept = kept_on(shop)
    run = kept.shop.run.changed(PGPROOF_NO_FALLBACK="0")
    return Kept(Shop(shop.server, shop.name, run))


def programs(server: Server, folder: Path, *, end: str) -> Path:
    """The real programs, of which pg_dump ends in another way."""
    folder.mkdir()
    for name in ("pg_restore", "pg_dumpall", "psql", "postgres", "initdb", "pg_ctl"):
        if (server.bin_dir / name).exists():
            (folder / name).symlink_to(server.bin_dir / name)
    dump = folder / "pg_dump"
    dump.write_text(BROKEN.format(real=server.bin_dir / "pg_dump", end=end))
    dump.chmod(0o755)
    return folder


@pytest.fixture
def breaking(kept: Kept, tmp_path: Path) -> Command:
    """pgproof with a pg_dump that breaks off behind its first bytes."""
    folder = programs(kept.shop.server, tmp_path / "programs", end="printf PGDMP; echo 'out of memory' >&2; exit 1")
    return kept.shop.run.changed(PGPROOF_PG_BIN=str(folder))


def degraded(ended: Finished, why: str) -> None:
    assert (ended.code, ended.error["code"], ended.error["retryable"]) == (13, "backup_degraded", False), ended
    assert ended.result["status"] == "degraded"
    assert ended.result["warnings"] == [f"degraded: {why}"]


def test_a_pg_dump_that_breaks_off_is_stood_in_for(kept: Kept, breaking: Command) -> None:
    degraded(breaking("backup", "--json"), "dump failed")
    (made,) = kept.shop.run("list", "--json").result["backups"]
    assert made["status"] == "degraded"
    assert not list(kept.shop.run.home.glob("store/*/*/dump*")), "what pg_dump had written is gone"
    into = f"{kept.shop.name}_again"
    ended = kept.shop.run("restore", made["id"], "--into", into, "--json")
    assert (ended.code, ended.result["proven"]) == (0, True), ended
    assert kept.rows(into, "SELECT count(password_hash) FROM users") == [(5,)]


@pytest.mark.parametrize(
    "end", ["exit 0", "printf PGDMP", "yes | head -c 100000", '{real} "$@" | head -c 3000', '{real} "$@" | head -c -1']
)
def test_a_pg_dump_that_gives_no_whole_archive_is_not_believed(kept: Kept, tmp_path: Path, end: str) -> None:
    server = kept.shop.server
    folder = programs(server, tmp_path / "programs", end=end.format(real=server.bin_dir / "pg_dump"))
    ended = kept.shop.run("backup", "--json", PGPROOF_PG_BIN=str(folder))
    degraded(ended, "dump failed")
    assert "ended with exit status 0, but what it gave is no whole archive" in ended.stderr
    ended = kept.shop.run("backup", "--json", "--no-fallback", PGPROOF_PG_BIN=str(folder))
    assert (ended.code, ended.error["code"]) == (5, "dump_failed"), ended


def test_a_pg_dump_older_than_the_server_is_stood_in_for(kept: Kept, system_server: Server) -> None:
    assert system_server.bin_dir != kept.shop.server.bin_dir
    ended = kept.shop.run("backup", "--json", PGPROOF_PG_BIN=None)
    degraded(ended, "client missing")
    assert "the server is PostgreSQL 18" in ended.stderr


def test_a_table_that_the_role_may_not_read_is_named_and_the_others_are_saved(kept: Kept, new_role: NewRole) -> None:
    role = new_role(kept.shop.server)
    kept.shop.sql(f"GRANT SELECT ON users, profiles, transactions TO {role.name}")
    url = kept.shop.server.url(kept.shop.name, user=role.name, password=role.password)
    ended = kept.shop.run("backup", "--json", PGPROOF_DATABASE_URL=url)
    degraded(ended, "access denied")
    assert "GRANT SELECT ON" in ended.stderr
    made = kept.shop.run("list", "--json").result["backups"][0]["id"]
    told = kept.shop.run("restore", made, "--into", f"{kept.shop.name}_again", "--json").result
    assert "tables that could not be read when it was made: wallets" in told["notes"]
    assert kept.rows(f"{kept.shop.name}_again", "SELECT count(*) FROM transactions") == [(40,)]


def test_a_sequence_that_the_role_may_not_read_goes_on_behind_the_rows(kept: Kept, new_role: NewRole) -> None:
    role = new_role(kept.shop.server)
    kept.shop.sql(f"""CREATE TABLE numbered (id serial PRIMARY KEY, x int); INSERT INTO numbered (x) VALUES (1), (2);
        GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role.name}""")
    url = kept.shop.server.url(kept.shop.name, user=role.name, password=role.password)
    degraded(kept.shop.run("backup", "--json", PGPROOF_DATABASE_URL=url), "access denied")
    made = kept.shop.run("list", "--json").result["backups"][0]["id"]
    into = f"{kept.shop.name}_again"
    told = kept.shop.run("restore", made, "--into", into, "--json").result["notes"]
    said = "where these sequences stood could not be read, they are set past the rows: public.numbered_id_seq"
    assert said in told
    assert kept.rows(into, "INSERT INTO numbered (x) VALUES (3) RETURNING id") == [(3,)]


def test_no_fallback_fails_as_it_is(kept: Kept, breaking: Command) -> None:
    for ended in (breaking("backup", "--no-fallback", "--json"), breaking("backup", "--json", PGPROOF_NO_FALLBACK="1")):
        assert (ended.code, ended.error["code"]) == (5, "dump_failed"), ended
    assert not list(kept.shop.run.home.glob("store/*/*/manifest.json"))


def test_a_database_that_does_not_answer_is_told_as_that(kept: Kept) -> None:
    url = f"postgresql://{kept.shop.server.superuser}@127.0.0.1:1/{kept.shop.name}"
    ended = kept.shop.run("backup", "--json", PGPROOF_DATABASE_URL=url)
    assert (ended.code, ended.error["code"]) == (4, "database_unreachable"), ended


def test_a_store_that_refuses_is_no_reason_for_it(kept: Kept) -> None:
    ended = kept.shop.run.behind("prlimit", "--fsize=2000")("backup", "--json", "--compression", "none")
    assert (ended.code, ended.error["code"]) == (6, "store_unreachable"), ended
    assert "saved without it" not in ended.stderr


def test_tables_that_were_rewritten_meanwhile_are_for_the_next_run(kept: Kept, tmp_path: Path) -> None:
    server = kept.shop.server
    programs_of = server.bin_dir
    truncating = (
        f"{programs_of}/psql -Xqc 'TRUNCATE wallets' '{server.url(kept.shop.name)}'; exec {programs_of}/pg_dump \"$@\""
    )
    folder = programs(server, tmp_path / "programs", end=truncating)
    ended = kept.shop.run("backup", "--json", PGPROOF_PG_BIN=str(folder))
    assert (ended.code, ended.error["code"], ended.error["retryable"]) == (5, "tables_rewritten", True), ended


def test_it_is_not_meant_by_latest_and_nothing_is_pruned_after_it(kept: Kept, breaking: Command) -> None:
    whole = kept.shop.run("backup", "--json").result["id"]
    degraded(breaking("backup", "--json", "--retention", "keep-within=1h"), "dump failed")
    assert kept.shop.run("show", "latest", "--json").result["id"] == whole
    ended = breaking("backup", "--json", PGPROOF_RETENTION="keep-last=1,keep-within=1s")
    degraded(ended, "dump failed")
    assert len(kept.shop.run("list", "--json").result["backups"]) == 3
    assert kept.shop.run("check", "--max-age", "1s").code == 16


def test_where_there_is_no_other_its_id_is_told(kept: Kept, breaking: Command) -> None:
    degraded(breaking("backup", "--json"), "dump failed")
    made = kept.shop.run("list", "--json").result["backups"][0]["id"]
    ended = kept.shop.run("restore", "latest")
    assert ended.code == 9, ended
    assert f"no complete backup of {kept.shop.run.environ['PGPROOF_TARGET']} in " in ended.complaint
    assert f"{made} (degraded) is meant by its id alone" in ended.hint
    ended = kept.shop.run("restore", "2026-01-01T00:00Z")
    assert (ended.code, ended.hint.strip()) == (9, "pgproof list shows what there is"), ended


def test_whoever_listens_is_told_why(breaking: Command) -> None:
    with receiving() as receiver:
        breaking("backup", PGPROOF_WEBHOOK_URL=receiver.url())
        (message,) = receiver.messages
    assert message.json["type"] == "backup.degraded"
    assert message.json["data"]["backup"]["status"] == "degraded"
    assert message.json["data"]["text"].endswith("only the rows and no dump: pg_dump failed with exit status 1")
    assert any("out of memory" in line for line in message.json["data"]["log"])


def test_where_the_rows_cannot_be_saved_either_the_dump_is_what_failed(kept: Kept, breaking: Command) -> None:
    kept.shop.sql("CREATE TABLE a_slow (n int CHECK (n > 0))")
    with kept.shop.connect() as connection, connection.transaction():
        connection.execute("LOCK TABLE a_slow IN ACCESS EXCLUSIVE MODE")
        ended = breaking("backup", "--json", "--lock-wait-timeout", "1")
    assert (ended.code, ended.error["code"]) == (5, "dump_failed"), ended
    assert "out of memory" in str(ended.error["detail"])
    assert "nor could the rows be saved" in ended.stderr


_TAKES_THE_LOCK = """
for each in "$@"; do case "$each" in --dbname=*) url="${each#--dbname=}";; esac; done
setsid PSQL -X -d "$url" -c "SELECT pg_advisory_lock((classid::bigint << 32) | objid::bigint) FROM pg_locks
  WHERE locktype = 'advisory' AND granted" -c "SELECT pg_sleep(8)" >/dev/null 2>&1 &
until PSQL -X -A -t -d "$url" -c "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())" | grep -q 1; do sleep 0.1; done
printf PGDMP; echo 'out of memory' >&2; exit 1"""


def test_where_another_run_takes_the_lock_meanwhile_the_dump_is_what_failed(kept: Kept, tmp_path: Path) -> None:
    server = kept.shop.server
    end = _TAKES_THE_LOCK.replace("PSQL", str(server.bin_dir / "psql"))
    folder = programs(server, tmp_path / "programs", end=end)
    ended = kept.shop.run("backup", "--json", PGPROOF_PG_BIN=str(folder))
    assert (ended.code, ended.error["code"]) == (5, "dump_failed"), ended
    assert "nor could the rows be saved" in ended.stderr
    assert "another run of shop is under way" in ended.stderr
    assert len(list(kept.shop.run.home.glob("store/*/*/failed.json"))) == 1


def test_tables_that_are_damaged_are_named_and_the_others_are_saved(kept: Kept) -> None:
    kept.shop.sql("""CREATE TYPE mood AS ENUM ('a', 'b'); CREATE TABLE broken (id int PRIMARY KEY, mood mood);
        INSERT INTO broken VALUES (1, 'a'), (2, 'b'); DELETE FROM pg_enum WHERE enumlabel = 'b';
        CREATE TABLE gone AS SELECT 1 AS n""")
    kept.shop.sql("CHECKPOINT")
    ((file,),) = kept.shop.sql("SELECT current_setting('data_directory') || '/' || pg_relation_filepath('gone')")
    Path(file).unlink()
    ended = kept.shop.run("backup", "--json")
    assert (ended.code, ended.error["code"]) == (13, "backup_degraded"), ended
    assert ended.result["warnings"] == ["degraded: dump failed", "no data: a table could not be read"]
    assert "a table cannot be read, and is left out" in ended.stderr
    assert "invalid internal value for enum" in ended.stderr
    made = kept.shop.run("list", "--json").result["backups"][0]["id"]
    into = f"{kept.shop.name}_again"
    told = kept.shop.run("restore", made, "--into", into, "--json")
    assert (told.code, told.result["proven"]) == (0, True), told
    assert "tables that could not be read when it was made: broken, gone" in told.result["notes"]
    query = "SELECT (SELECT count(*) FROM transactions), (SELECT count(*) FROM broken)"
    assert kept.rows(into, query) == [(40, 0)]


def test_what_settings_leave_out_of_a_dump_is_left_out_too(kept: Kept, breaking: Command) -> None:
    kept.shop.sql("CREATE SCHEMA cache; CREATE TABLE cache.pages AS SELECT 1 AS n")
    options = ("--exclude-schema", "cache", "--exclude-table", "wallets", "--exclude-table-data", "profiles")
    degraded(breaking("backup", "--json", *options), "dump failed")
    made = kept.shop.run("list", "--json").result["backups"][0]
    assert made["filtered"] is True
    into = f"{kept.shop.name}_again"
    assert kept.shop.run("restore", made["id"], "--into", into).code == 0
    query = "SELECT to_regclass('cache.pages'), to_regclass('wallets'), (SELECT count(*) FROM profiles)"
    assert kept.rows(into, query) == [(None, None, 0)]
