from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.postgres import Connection, NewDatabase, NewRole, Server
from tests.rows.conftest import Shop, shop_on
from tests.support.command import Command, Finished, wait_until
from tests.support.sink import load_roles, load_sink

FIGURES = ("inserted", "updated", "unchanged", "deleted")


@dataclass(frozen=True, slots=True)
class Pair:
    """A shop and an empty second database on another server."""

    shop: Shop
    server: Server
    name: str

    @property
    def run(self) -> Command:
        return self.shop.run.changed(PGPROOF_SYNC_URL=self.server.url(self.name))

    def connect(self) -> Connection:
        return self.server.connect(self.name)

    def here(self, statement: str) -> list[tuple[Any, ...]]:
        return asked(self.shop.connect(), statement)

    def there(self, statement: str) -> list[tuple[Any, ...]]:
        return asked(self.connect(), statement)

    def configured(self, **rows: object) -> Pair:
        return Pair(self.shop.configured(rows), self.server, self.name)

    def sync(self, *arguments: str) -> dict[str, tuple[int, ...]]:
        """How many rows of each table were inserted, updated, unchanged, deleted."""
        ended = self.run("sync", "--json", *arguments)
        assert ended.code == 0, ended.stderr
        result = ended.result
        tables = {each["table"]: tuple(each[name] for name in FIGURES) for each in result["tables"]}
        assert result["changed"] == any(figures[0] or figures[1] or figures[3] for figures in tables.values())
        return tables

    def refused(self, *arguments: str, code: int = 3) -> Finished:
        """How it ends, with nothing changed there."""
        before = contents(self)
        ended = self.run("sync", *arguments)
        assert ended.code == code, ended.stderr
        assert contents(self) == before
        return ended


def asked(connection: Connection, statement: str) -> list[tuple[Any, ...]]:
    with connection:
        found = connection.execute(statement.encode())
        return found.fetchall() if found.description else []


def contents(pair: Pair) -> Mapping[str, list[tuple[Any, ...]]]:
    tables = pair.there("""SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
        WHERE schemaname !~ '^pg_' AND schemaname <> 'information_schema'""")
    return {name: pair.there(f"SELECT t.*::text FROM {name} AS t ORDER BY 1") for (name,) in tables}


@pytest.fixture
def pair(shop: Shop, pg17: Server, new_database: NewDatabase) -> Pair:
    return Pair(shop, pg17, new_database(pg17))


@pytest.fixture
def bare(empty: Shop, pg17: Server, new_database: NewDatabase) -> Pair:
    return Pair(empty, pg17, new_database(pg17))


def test_missing_tables_are_made_and_a_second_sync_changes_nothing_and_says_so(pair: Pair) -> None:
    assert pair.sync() == {
        "profiles": (7, 0, 0, 0),
        "transactions": (40, 0, 0, 0),
        "users": (5, 0, 0, 0),
        "wallets": (5, 0, 0, 0),
    }
    columns = "SELECT id, email, name FROM users ORDER BY id"
    assert pair.there(columns) == pair.here(columns)
    assert pair.there("SELECT * FROM users LIMIT 0") == []
    assert pair.there("SELECT column_name FROM information_schema.columns WHERE table_name = 'users'") == [
        ("id",),
        ("email",),
        ("name",),
    ]
    assert pair.there("SELECT * FROM transactions ORDER BY id") == pair.here("SELECT * FROM transactions ORDER BY id")
    xmin = pair.there("SELECT DISTINCT xmin::text FROM transactions")
    again = pair.run("sync")
    assert "nothing has changed" in again.stdout
    assert pair.there("SELECT DISTINCT xmin::text FROM transactions") == xmin


def test_what_is_new_is_inserted_what_differs_is_updated_and_nothing_is_deleted(pair: Pair) -> None:
    pair.sync("--table", "users,transactions")
    pair.here("""UPDATE users SET name = 'Anna' WHERE id = 2; UPDATE users SET password_hash = 'x' WHERE id = 3;
        INSERT INTO users VALUES (6, 'six'); DELETE FROM transactions WHERE id > 30;
        UPDATE transactions SET amount = 3.50 WHERE id = 3""")
    assert pair.sync("--table", "users,transactions") == {"users": (1, 1, 4, 0), "transactions": (0, 1, 29, 0)}
    assert pair.there("SELECT name FROM users WHERE id = 2") == [("Anna",)]
    assert pair.there("SELECT amount::text FROM transactions WHERE id = 3") == [("3.50",)]
    assert pair.there("SELECT count(*) FROM transactions") == [(40,)]


def test_with_delete_rows_that_are_gone_go_there_too(pair: Pair) -> None:
    pair.sync()
    pair.here("DELETE FROM transactions WHERE id > 30; DELETE FROM wallets WHERE user_id = 1")
    assert pair.sync("--delete") == {
        "profiles": (0, 0, 7, 0),
        "transactions": (0, 0, 30, 10),
        "users": (0, 0, 5, 0),
        "wallets": (0, 0, 4, 1),
    }


def test_more_than_half_of_a_table_is_deleted_only_when_that_is_said(pair: Pair) -> None:
    pair.sync()
    pair.here("DELETE FROM transactions WHERE id > 15; UPDATE wallets SET balance = 1")
    ended = pair.refused("--delete", code=8)
    assert "transactions: 25 of 40 rows there would be deleted, more than half" in ended.complaint
    assert pair.sync("--delete", "--delete-all")["transactions"] == (0, 0, 15, 25)


def test_a_value_that_a_row_gives_up_can_be_taken_by_a_new_one(pair: Pair) -> None:
    pair.there("CREATE TABLE users (id bigint PRIMARY KEY, email text UNIQUE, name text)")
    pair.sync("--table", "users")
    pair.here("DELETE FROM profiles; DELETE FROM transactions; DELETE FROM wallets; DELETE FROM users WHERE id = 1")
    pair.here("INSERT INTO users VALUES (9, 'u1@example.com')")
    assert pair.sync("--table", "users", "--delete") == {"users": (1, 0, 4, 1)}


def test_since_column_reads_only_what_changed(pair: Pair) -> None:
    only = pair.configured(tables={"transactions": {"since_column": "created_at"}})
    assert only.sync() == {"transactions": (40, 0, 0, 0)}
    pair.here("""INSERT INTO transactions VALUES (41, 1, 1, '2026-02-01'), (42, 1, 1, NULL);
        UPDATE transactions SET amount = 7, created_at = '2026-02-02' WHERE id = 5""")
    assert only.sync() == {"transactions": (2, 1, 40 - 1, 0)}
    pair.here("INSERT INTO transactions VALUES (43, 1, 1, '2026-02-01T23:30Z'), (44, 1, 1, '2026-02-01T22:00Z')")
    assert only.sync() == {"transactions": (1, 0, 2, 0)}
    columns = pair.configured(tables={"transactions": {"columns": ["id"], "since_column": "created_at"}})
    assert "since_column created_at is not among its columns" in columns.refused().stderr


class TestDrift:
    def test_a_column_that_is_new_here_is_added_there(self, pair: Pair) -> None:
        pair.sync("--table", "wallets")
        pair.here("ALTER TABLE wallets ADD note varchar(7) DEFAULT 'x'")
        assert pair.sync("--table", "wallets") == {"wallets": (0, 5, 0, 0)}
        assert pair.there("SELECT * FROM wallets ORDER BY 1") == pair.here("SELECT * FROM wallets ORDER BY 1")

    def test_a_column_that_was_renamed_or_dropped_here_keeps_what_it_has_there_and_that_is_said(
        self, pair: Pair
    ) -> None:
        pair.sync("--table", "users")
        pair.here("ALTER TABLE users RENAME name TO full_name")
        ended = pair.run("sync", "--table", "users")
        assert "they keep what they have: name" in ended.stderr
        assert "new are full_name" in ended.stderr
        assert pair.there("SELECT DISTINCT name = full_name FROM users") == [(True,)]

    def test_a_column_that_must_not_be_null_there_and_is_gone_here_is_refused(self, pair: Pair) -> None:
        pair.sync("--table", "users")
        pair.here("ALTER TABLE users DROP email")
        ended = pair.refused("--table", "users")
        assert "users: email must not be null there, and is not there any more here" in ended.complaint
        pair.there(ended.hint)
        assert pair.sync("--table", "users") == {"users": (0, 0, 5, 0)}

    def test_another_type_is_refused_with_the_statement_that_mends_it(self, pair: Pair) -> None:
        pair.sync("--table", "users,transactions")
        pair.here("ALTER TABLE transactions ALTER amount TYPE float8; ALTER TABLE users ALTER name TYPE varchar(50)")
        ended = pair.refused("--table", "users,transactions")
        assert "transactions: amount is double precision here and numeric there" in ended.stderr
        assert "users: name is character varying(50) here and text there" in ended.stderr
        for statement in ended.hint.splitlines():
            pair.there(statement)
        assert pair.sync("--table", "users,transactions") == {"users": (0, 0, 5, 0), "transactions": (0, 0, 40, 0)}


class TestKeys:
    def test_a_unique_index_will_do(self, bare: Pair) -> None:
        bare.here("""CREATE TABLE t (a int NOT NULL, b text NOT NULL, c text);
            CREATE UNIQUE INDEX ON t (b, a); INSERT INTO t VALUES (1, 'x', 'y'), (2, 'x', 'z')""")
        assert bare.sync() == {"t": (2, 0, 0, 0)}
        bare.here("UPDATE t SET c = NULL WHERE a = 1")
        assert bare.sync() == {"t": (0, 1, 1, 0)}

    def test_without_any_it_is_refused_by_name(self, bare: Pair) -> None:
        bare.here("CREATE TABLE t (a int UNIQUE); CREATE TABLE u (a int PRIMARY KEY, my_token text UNIQUE)")
        assert "t has no primary key and no unique index on columns that are never null" in bare.refused().complaint
        bare.there("CREATE TABLE u (a int, b int)")
        ended = bare.refused("--table", "u")
        assert "u there has no primary key or unique index on a, never null" in ended.complaint
        bare.there(ended.hint)
        assert bare.sync("--table", "u") == {"u": (0, 0, 0, 0)}

    def test_a_key_that_is_left_out_is_refused(self, bare: Pair) -> None:
        bare.here("CREATE TABLE visits (session_id int PRIMARY KEY, n int)")
        assert "visits: session_id of its key is left out" in bare.refused().complaint

    def test_a_table_that_is_nothing_but_its_key(self, bare: Pair) -> None:
        bare.here("CREATE TABLE m (a int, b int, PRIMARY KEY (a, b)); INSERT INTO m VALUES (1, 2), (1, 3)")
        assert bare.sync() == {"m": (2, 0, 0, 0)}
        assert bare.sync() == {"m": (0, 0, 2, 0)}

    def test_foreign_keys_there_decide_the_order(self, pair: Pair) -> None:
        pair.there("""CREATE TABLE users (id bigint PRIMARY KEY, email text, name text);
            CREATE TABLE profiles (id int PRIMARY KEY, user_id bigint REFERENCES users, bio text)""")
        assert pair.sync("--table", "profiles,users") == {"profiles": (7, 0, 0, 0), "users": (5, 0, 0, 0)}
        pair.here("DELETE FROM profiles WHERE user_id = 2")
        pair.here("DELETE FROM wallets WHERE user_id = 2; DELETE FROM transactions WHERE user_id = 2")
        pair.here("DELETE FROM users WHERE id = 2")
        assert pair.sync("--table", "profiles,users", "--delete") == {"profiles": (0, 0, 4, 3), "users": (0, 0, 4, 1)}

    def test_circles_of_foreign_keys_must_be_deferrable(self, bare: Pair) -> None:
        tables = """CREATE TABLE a (id int PRIMARY KEY, b int); CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a);
            ALTER TABLE a ADD CONSTRAINT to_b FOREIGN KEY (b) REFERENCES b"""
        bare.here(f"{tables} DEFERRABLE; INSERT INTO a VALUES (1); INSERT INTO b VALUES (1, 1); UPDATE a SET b = 1")
        bare.there(tables)
        assert "foreign keys go in a circle there" in bare.refused().complaint
        bare.there("ALTER TABLE a ALTER CONSTRAINT to_b DEFERRABLE")
        assert bare.sync() == {"a": (1, 0, 0, 0), "b": (1, 0, 0, 0)}


def test_partitioned_tables_and_generated_columns_and_identities(bare: Pair) -> None:
    bare.here("""CREATE TABLE log (id int, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
        CREATE TABLE log_1 PARTITION OF log DEFAULT;
        INSERT INTO log SELECT n, '2026-01-01' FROM generate_series(1, 10) n;
        CREATE TABLE g (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n int,
            twice int GENERATED ALWAYS AS (n * 2) STORED);
        INSERT INTO g (n) VALUES (1), (2)""")
    assert bare.sync() == {"log": (10, 0, 0, 0), "g": (2, 0, 0, 0)}
    bare.there("""DROP TABLE log, g; CREATE TABLE log (id int, day date, PRIMARY KEY (id, day)) PARTITION BY HASH (id);
        CREATE TABLE log_0 PARTITION OF log FOR VALUES WITH (MODULUS 2, REMAINDER 0);
        CREATE TABLE log_1 PARTITION OF log FOR VALUES WITH (MODULUS 2, REMAINDER 1);
        CREATE TABLE g (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n int,
            twice int GENERATED ALWAYS AS (n + n) STORED)""")
    assert bare.sync() == {"log": (10, 0, 0, 0), "g": (2, 0, 0, 0)}
    bare.here("DELETE FROM log WHERE id = 3; UPDATE g SET n = 5 WHERE id = 1")
    assert bare.sync("--delete") == {"log": (0, 0, 9, 1), "g": (0, 1, 1, 0)}
    assert bare.there("SELECT * FROM g ORDER BY 1") == [(1, 5, 10), (2, 2, 4)]


@pytest.mark.parametrize("second", ["pg17", "system_server", "pg18"])
def test_values_of_every_type_are_equal_there_and_stay_so(
    bare: Pair, second: str, request: pytest.FixtureRequest, new_database: NewDatabase
) -> None:
    server: Server = request.getfixturevalue(second)
    pair = Pair(bare.shop, server, new_database(server))
    with bare.shop.connect() as connection:
        load_roles(connection)
        load_sink(connection, ("types",))
    tables = [
        name
        for (name,) in bare.here(
            """SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
            WHERE nspname = 'types' AND relkind IN ('r', 'p') AND NOT relispartition
            AND EXISTS (SELECT FROM pg_index WHERE indrelid = c.oid AND indisprimary)"""
        )
    ]
    assert len(tables) > 8
    pair.there("CREATE SCHEMA types; CREATE TABLE types.numbers (id int PRIMARY KEY)")
    first = pair.sync("--table", ",".join(tables))
    assert all(figures[1:] == (0, 0, 0) for figures in first.values())
    assert all(figures[:2] == (0, 0) for figures in pair.sync("--table", ",".join(tables)).values())
    for table in tables:
        query = f"SELECT md5(string_agg(t.*::text, '|' ORDER BY id)), count(*) FROM {table} AS t"
        settings = "SET extra_float_digits = 1; SET timezone = 'UTC';"
        with bare.shop.connect() as left, pair.connect() as right:
            for each in (left, right):
                each.execute(settings.encode())
            assert left.execute(query.encode()).fetchall() == right.execute(query.encode()).fetchall(), table


def test_labels_that_an_enum_there_does_not_know_are_refused(bare: Pair) -> None:
    bare.here(
        "CREATE TYPE mood AS ENUM ('ok'); CREATE TABLE t (id int PRIMARY KEY, m mood); INSERT INTO t VALUES (1, 'ok')"
    )
    assert bare.sync() == {"t": (1, 0, 0, 0)}
    bare.here("ALTER TYPE mood ADD VALUE 'it''s'")
    ended = bare.refused()
    assert "public.mood there does not know it's" in ended.complaint
    bare.there(ended.hint)
    assert bare.sync() == {"t": (0, 0, 1, 0)}


def test_a_second_database_that_is_the_first_one_is_refused(shop: Shop, new_role: NewRole) -> None:
    role = new_role(shop.server)
    address = shop.server.url(shop.name, user=role.name, password=role.password).replace("127.0.0.1", "localhost")
    ended = shop.run("sync", PGPROOF_SYNC_URL=address)
    assert (ended.code, ended.complaint) == (3, "the second database is the first one")
    assert "PGPROOF_SYNC_URL" in shop.run("sync").hint


def test_another_database_of_the_same_server_is_a_second_one(shop: Shop, new_database: NewDatabase) -> None:
    assert Pair(shop, shop.server, new_database(shop.server)).sync("--table", "wallets") == {"wallets": (5, 0, 0, 0)}


def slow(pair: Pair, seconds: float = 0.1) -> Pair:
    """With a table that takes its time, after one that does not."""
    pair.here("CREATE TABLE z_slow AS SELECT n FROM generate_series(1, 30) n; ALTER TABLE z_slow ADD PRIMARY KEY (n)")
    tables = {"wallets": {}, "z_slow": {"where": f"pg_sleep({seconds}) IS NOT NULL"}}
    return pair.configured(tables=tables)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_a_sync_that_is_cut_leaves_nothing_half_done(pair: Pair, end: signal.Signals) -> None:
    pair.sync("--table", "wallets")
    pair.here("UPDATE wallets SET balance = 0")
    cut = slow(pair)
    before = contents(pair)
    with cut.run.start("sync") as running:
        running.wait_for(lambda: pair.here("SELECT 1 FROM pg_stat_activity WHERE query LIKE 'COPY%pg_sleep%'"))
        running.signal(end)
        running.finish()
        wait_until(lambda: not running.processes())
    wait_until(lambda: pair.there("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()") == [(1,)])
    assert contents(pair) == before
    assert cut.sync() == {"wallets": (0, 5, 0, 0), "z_slow": (30, 0, 0, 0)}


def test_a_source_that_fails_in_the_middle_leaves_nothing_half_done(pair: Pair) -> None:
    cut = slow(pair)
    with cut.run.start("sync") as running:
        running.wait_for(lambda: pair.here("SELECT 1 FROM pg_stat_activity WHERE query LIKE 'COPY%pg_sleep%'"))
        pair.here("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'COPY%pg_sleep%'")
        ended = running.finish()
    assert ended.code == 5
    assert contents(pair) == {}


def test_a_writer_on_the_source_is_seen_as_a_whole_or_not_at_all(pair: Pair) -> None:
    busy = slow(pair, 0.05)
    with busy.run.start("sync", "--json") as running:
        running.wait_for(lambda: pair.here("SELECT 1 FROM pg_stat_activity WHERE query LIKE 'COPY%pg_sleep%'"))
        pair.here("UPDATE wallets SET balance = 0; INSERT INTO z_slow VALUES (31)")
        ended = running.finish()
    assert {each["table"]: each["read"] for each in ended.result["tables"]} == {"wallets": 5, "z_slow": 30}
    assert busy.sync() == {"wallets": (0, 5, 0, 0), "z_slow": (1, 0, 30, 0)}


def test_what_the_second_database_refuses_is_told_with_the_table(pair: Pair, new_role: NewRole) -> None:
    pair.there("CREATE TABLE wallets (user_id bigint PRIMARY KEY, balance numeric(20,8) CHECK (balance < 3000))")
    ended = pair.refused("--table", "wallets", code=8)
    assert "wallets: the second database does not take the rows" in ended.complaint
    role = new_role(pair.server)
    url = pair.server.url(pair.name, user=role.name, password=role.password)
    assert pair.run("sync", "--table", "wallets", PGPROOF_SYNC_URL=url).code == 14


def test_a_table_there_that_is_locked_is_waited_for_as_long_as_is_said(pair: Pair) -> None:
    pair.sync("--table", "wallets")
    with pair.connect() as other, other.transaction():
        other.execute("LOCK TABLE wallets IN SHARE MODE")
        ended = pair.run("sync", "--table", "wallets", PGPROOF_LOCK_WAIT_TIMEOUT="1")
    assert ended.code == 8
    assert "wallets: the second database does not take the rows: canceling statement due to lock" in ended.complaint


def test_keys_of_a_type_with_an_equality_of_its_own(
    system_server: Server, new_database: NewDatabase, tmp_path: Path
) -> None:
    first, second = new_database(system_server), new_database(system_server)
    pair = Pair(shop_on(system_server, first, tmp_path), system_server, second)
    pair.here(
        "CREATE EXTENSION citext; CREATE TABLE t (name citext PRIMARY KEY, n int); INSERT INTO t VALUES ('Ann', 1)"
    )
    ended = pair.refused()
    assert "the second database has no type public.citext, of the extension citext" in ended.complaint
    pair.there(ended.hint)
    assert pair.sync() == {"t": (1, 0, 0, 0)}
    pair.here("UPDATE t SET name = 'ANN', n = 2")
    assert pair.sync("--delete") == {"t": (0, 1, 0, 0)}
    assert pair.sync("--delete") == {"t": (0, 0, 1, 0)}
    assert pair.there("SELECT name::text, n FROM t") == [("ANN", 2)]
