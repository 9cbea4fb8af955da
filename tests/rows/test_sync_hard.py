"""Syncs in which something stands in the way there, or values could quietly become others."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fixtures.pgbouncer import NewPooler
from tests.fixtures.postgres import NewDatabase, Server
from tests.rows.conftest import shop_on
from tests.rows.test_sync import Pair, bare, pair  # noqa: F401 -- fixtures


def settings_of(pair: Pair, name: str, **values: str) -> None:  # noqa: F811
    for setting, value in values.items():
        with (pair.shop if name == pair.shop.name else pair).connect() as connection:
            connection.execute(f"ALTER DATABASE {name} SET {setting} = '{value}'".encode())


def test_times_and_intervals_are_the_same_whatever_the_databases_are_set_to(bare: Pair) -> None:  # noqa: F811
    bare.here("""CREATE TABLE t (id int PRIMARY KEY, at timestamptz, d date, i interval, a text[], b bytea);
        INSERT INTO t VALUES (1, '2026-03-04 05:06:07.123456+00', '2026-03-04', '-1 day -1 hour', ARRAY[NULL, 'NULL'],
            '\\x0001ff')""")
    settings_of(
        bare,
        bare.shop.name,
        timezone="Asia/Kolkata",
        datestyle="Postgres, DMY",
        intervalstyle="sql_standard",
        bytea_output="escape",
    )
    settings_of(bare, bare.name, timezone="America/New_York", datestyle="SQL, DMY", array_nulls="off")
    assert bare.sync() == {"t": (1, 0, 0, 0)}
    same = "SELECT at AT TIME ZONE 'UTC', d, extract(epoch FROM i), a[1] IS NULL, b FROM t"
    assert bare.there(same) == bare.here(same)
    assert bare.sync() == {"t": (0, 0, 1, 0)}
    (row,) = bare.shop.export()["data"]["t"]
    assert (row["at"], row["i"], row["b"]) == ("2026-03-04T05:06:07.123456+00:00", "-1 days -01:00:00", "\\x0001ff")


@pytest.mark.parametrize("change", ["DETACH PARTITION log_1", None])
def test_a_partition_that_goes_after_the_snapshot_fails_the_run(bare: Pair, change: str | None) -> None:  # noqa: F811
    bare.here("""CREATE TABLE a_slow AS SELECT n FROM generate_series(1, 20) n; ALTER TABLE a_slow ADD PRIMARY KEY (n);
        CREATE TABLE log (n int PRIMARY KEY) PARTITION BY RANGE (n);
        CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM (0) TO (10);
        CREATE TABLE log_2 PARTITION OF log FOR VALUES FROM (10) TO (20);
        INSERT INTO log SELECT generate_series(1, 19)""")
    tables = {"a_slow": {"where": "pg_sleep(0.1) IS NOT NULL"}, "log": {}}
    with bare.configured(tables=tables).run.start("sync", "--json") as running:
        running.wait_for(lambda: running.processes("psql"))
        bare.here(f"ALTER TABLE log {change}" if change else "DROP TABLE log_1")
        ended = running.finish()
    assert (ended.code, ended.error["code"]) == (5, "tables_rewritten"), ended
    assert bare.there("SELECT to_regclass('log')") == [(None,)]


def test_rows_inside_rows_are_found_by_the_equality_of_their_key(
    system_server: Server, new_database: NewDatabase, tmp_path: Path
) -> None:
    shop = shop_on(system_server, new_database(system_server), tmp_path)
    shop.sql("""CREATE EXTENSION citext; CREATE TABLE u (name citext PRIMARY KEY);
        CREATE TABLE o (id int PRIMARY KEY, u citext REFERENCES u); INSERT INTO u VALUES ('Ann');
        INSERT INTO o VALUES (1, 'ANN'), (2, 'Ann')""")
    (user,) = shop.export(tables={"u": {"include": {"o": {"limit": 5}}}})["data"]["u"]
    assert user == {"name": "Ann", "o": [{"id": 1, "u": "ANN"}, {"id": 2, "u": "Ann"}]}
    orders = shop.export(tables={"o": {"include": {"u": {}}, "columns": ["id"]}})["data"]["o"]
    assert orders == [{"id": 1, "u": {"name": "Ann"}}, {"id": 2, "u": {"name": "Ann"}}]


@pytest.mark.parametrize(
    ("here", "there"),
    [
        ("CREATE DOMAIN money AS numeric", "CREATE DOMAIN money AS numeric(10, 1)"),
        ("CREATE TYPE money AS (street text, city text)", "CREATE TYPE money AS (city text, street text)"),
        ("CREATE TYPE money AS (street text, city text)", "CREATE TYPE money AS (street text)"),
    ],
    ids=["domain", "swapped", "added"],
)
def test_a_type_of_the_same_name_that_is_another_is_refused(bare: Pair, here: str, there: str) -> None:  # noqa: F811
    here, there = here.replace("money", "public.kind"), there.replace("money", "public.kind")
    bare.here(f"{here}; CREATE TABLE t (id int PRIMARY KEY, k public.kind)")
    bare.there(f"{there}; CREATE TABLE t (id int PRIMARY KEY, k public.kind)")
    ended = bare.refused()
    assert "the second database has another type public.kind" in ended.stderr


def test_a_row_from_the_future_does_not_keep_the_others_out(bare: Pair) -> None:  # noqa: F811
    bare.here("""CREATE TABLE t (id int PRIMARY KEY, at timestamptz); INSERT INTO t VALUES (1, '2099-01-01')""")
    only = bare.configured(tables={"t": {"since_column": "at"}})
    only.sync()
    bare.here("INSERT INTO t VALUES (2, now())")
    assert only.sync() == {"t": (1, 0, 1, 0)}


def test_only_this_table_there_says_what_is_newest(bare: Pair) -> None:  # noqa: F811
    bare.here("CREATE TABLE t (id int PRIMARY KEY, at date); INSERT INTO t VALUES (1, '2020-01-01')")
    bare.there("""CREATE TABLE t (id int PRIMARY KEY, at date); CREATE TABLE child () INHERITS (t);
        INSERT INTO child VALUES (9, '2026-01-01')""")
    assert bare.configured(tables={"t": {"since_column": "at"}}).sync() == {"t": (1, 0, 0, 0)}


def test_a_child_that_moved_away_from_a_parent_that_is_gone(bare: Pair) -> None:  # noqa: F811
    tables = (
        """CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (id int PRIMARY KEY, p int REFERENCES parent)"""
    )
    bare.here(f"{tables}; INSERT INTO parent VALUES (1), (2), (3); INSERT INTO child VALUES (1, 1), (2, 2)")
    bare.there(tables)
    bare.sync()
    bare.here("UPDATE child SET p = 2 WHERE id = 1; DELETE FROM parent WHERE id = 1")
    assert bare.sync("--delete") == {"child": (0, 1, 1, 0), "parent": (0, 0, 2, 1)}


def test_a_child_that_moved_keeps_what_only_the_second_database_has(bare: Pair) -> None:  # noqa: F811
    bare.here("""CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (id int PRIMARY KEY, p int);
        INSERT INTO parent VALUES (1), (2), (3); INSERT INTO child VALUES (1, 1)""")
    bare.there("""CREATE TABLE parent (id int PRIMARY KEY);
        CREATE TABLE child (id int PRIMARY KEY, p int REFERENCES parent ON DELETE CASCADE, note text)""")
    bare.sync()
    bare.there("UPDATE child SET note = 'theirs'")
    bare.here("UPDATE child SET p = 2; DELETE FROM parent WHERE id = 1")
    assert bare.sync("--delete") == {"child": (0, 1, 0, 0), "parent": (0, 0, 2, 1)}
    assert bare.there("SELECT * FROM child") == [(1, 2, "theirs")]


def test_a_table_of_theirs_that_would_lose_rows_is_named(bare: Pair) -> None:  # noqa: F811
    bare.here("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2), (3)")
    bare.sync()
    bare.there("CREATE TABLE mine (t int REFERENCES t ON DELETE CASCADE); INSERT INTO mine VALUES (1)")
    bare.here("DELETE FROM t WHERE id = 1")
    ended = bare.refused("--delete")
    assert "--delete would change rows of public.mine there" in ended.stderr
    assert bare.sync() == {"t": (0, 0, 2, 0)}


def test_a_key_that_is_generated_there_is_refused(bare: Pair) -> None:  # noqa: F811
    bare.here("CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (2, 1)")
    bare.there("CREATE TABLE t (id int GENERATED ALWAYS AS (n * 2) STORED PRIMARY KEY, n int)")
    assert "id of its key is generated there" in bare.refused().stderr


def test_an_identity_that_is_always_generated_there_is_left_to_it(bare: Pair) -> None:  # noqa: F811
    bare.here("CREATE TABLE t (id int PRIMARY KEY, n int, x int); INSERT INTO t VALUES (1, 7, 1)")
    bare.there("CREATE TABLE t (id int PRIMARY KEY, n int GENERATED ALWAYS AS IDENTITY, x int)")
    bare.sync()
    bare.here("UPDATE t SET x = 2")
    assert bare.sync() == {"t": (0, 1, 0, 0)}
    assert bare.there("SELECT n, x FROM t") == [(7, 2)]


def test_a_trigger_there_finds_its_tables(bare: Pair) -> None:  # noqa: F811
    bare.here("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)")
    bare.there("""CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE told (id int);
        CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO told VALUES (NEW.id); RETURN NEW; END $$;
        CREATE TRIGGER tell AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION tell()""")
    bare.sync()
    assert bare.there("SELECT * FROM told") == [(1,)]


def test_one_sync_at_a_time(bare: Pair) -> None:  # noqa: F811
    bare.here("CREATE TABLE a_slow AS SELECT n FROM generate_series(1, 30) n; ALTER TABLE a_slow ADD PRIMARY KEY (n)")
    slow = bare.configured(tables={"a_slow": {"where": "pg_sleep(0.1) IS NOT NULL"}})
    with slow.run.start("sync") as running:
        running.wait_for(lambda: running.processes("psql"))
        ended = bare.run("sync", "--json")
        assert (ended.code, ended.error["code"]) == (10, "lock_held"), ended
        assert running.finish().code == 0


def test_a_pooler_that_shares_sessions_is_refused_on_either_side(pair: Pair, new_pooler: NewPooler) -> None:  # noqa: F811
    pooled = new_pooler(pair.shop.server, mode="transaction").url(pair.shop.name)
    for changes in ({"PGPROOF_DATABASE_URL": pooled}, {"PGPROOF_SYNC_URL": pooled}):
        ended = pair.run("sync", "--json", **changes)
        assert (ended.code, "shares sessions" in ended.error["message"]) == (3, True), ended
    assert pair.run("export", PGPROOF_DATABASE_URL=pooled).code == 3


def test_delete_all_without_delete_is_refused(pair: Pair) -> None:  # noqa: F811
    assert pair.run("sync", "--delete-all").code == 2
