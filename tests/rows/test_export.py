from __future__ import annotations

import json
import re
import signal
import stat
import time
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import psutil
import pytest
from psycopg import sql

from tests.fixtures.postgres import NewDatabase, NewRole, Server
from tests.rows.conftest import Shop, shop_on
from tests.support.command import wait_until
from tests.support.sink import load_roles, load_sink

FAR = {"PGPROOF_DATABASE_URL": "postgresql://x@127.0.0.1:1/x"}


def test_without_a_choice_every_readable_table_is_written_and_secrets_are_named_but_not_in_it(shop: Shop) -> None:
    ended = shop.run("export")
    document = json.loads(ended.stdout)
    assert list(document) == ["timestamp", "left_out", "data", "stats", "success"]
    assert document["stats"] == {"profiles": 7, "transactions": 40, "users": 5, "wallets": 5}
    assert document["left_out"] == {"profiles": ["reset_token"], "users": ["password_hash", "API_Key"]}
    assert document["data"]["users"][0] == {"id": 1, "email": "u1@example.com", "name": "User 1"}
    assert "password_hash, API_Key" in ended.stderr


def test_a_limit_takes_the_first_rows_of_the_order(shop: Shop) -> None:
    limited = {"limit": 3, "order_by": "created_at desc, id", "where": "amount < 30 -- a comment", "columns": ["id"]}
    document = shop.export(tables={"transactions": limited})
    assert document["data"] == {"transactions": [{"id": 29}, {"id": 28}, {"id": 27}]}


def test_names_and_patterns_choose_and_what_the_file_says_of_a_table_holds(shop: Shop) -> None:
    tables = {"users": {"exclude": ["email"]}, "wallets": {}}
    assert list(shop.export("prof*,wallets").get("data", {})) == ["profiles", "wallets"]
    document = shop.export("users", tables=tables)
    assert document["data"]["users"][4] == {"id": 5, "name": "User 5"}
    assert document["left_out"] == {"users": ["email", "password_hash", "API_Key"]}


def test_a_name_goes_before_a_pattern(shop: Shop) -> None:
    document = shop.export(tables={"users": {"columns": ["id"]}, "*": {"exclude": ["user_id", "*_at"]}})
    assert document["data"]["users"][0] == {"id": 1}
    assert document["data"]["transactions"][0] == {"id": 1, "amount": 1.5}


def test_a_secret_that_is_asked_for_by_name_comes_and_that_is_recorded(shop: Shop) -> None:
    document = shop.export(tables={"users": {"columns": ["id", "password_hash"]}})
    assert document["data"]["users"][0] == {"id": 1, "password_hash": "c4ca4238a0b923820dcc509a6f75849b"}
    assert document["asked_for"] == {"users": ["password_hash"]}


def test_what_looks_like_a_secret_can_be_set(shop: Shop) -> None:
    document = shop.export("users", secrets=["em*"])
    assert document["left_out"] == {"users": ["email"]}


def test_rows_of_other_tables_are_nested_by_their_foreign_key(shop: Shop) -> None:
    include = {"profiles": {"limit": 2, "columns": ["id", "bio"]}, "wallets": {"columns": ["balance"]}}
    document = shop.export(tables={"users": {"columns": ["name"], "include": include, "where": "users.id in (2, 4)"}})
    assert document["data"]["users"] == [
        {
            "name": "User 2",
            "profiles": [{"id": 1, "bio": "bio 1"}, {"id": 4, "bio": "bio 4"}],
            "wallets": [{"balance": 2000.00000002}],
        },
        {"name": "User 4", "profiles": [], "wallets": [{"balance": 4000.00000004}]},
    ]
    one = shop.export(tables={"wallets": {"include": {"users": {"include": {"profiles": {}}}}, "where": "user_id = 1"}})
    user = one["data"]["wallets"][0]["users"]
    assert [each["bio"] for each in user["profiles"]] == ["bio 3", "bio 6"]
    assert "password_hash" not in user
    assert one["left_out"] == {"profiles": ["reset_token"], "users": ["password_hash", "API_Key"]}


def test_rows_of_the_same_table_are_nested_by_a_key_on_itself(empty: Shop) -> None:
    empty.sql("""CREATE TABLE staff (id int PRIMARY KEY, boss int REFERENCES staff);
        INSERT INTO staff VALUES (1, null), (2, 1), (3, 1)""")
    document = empty.export(tables={"staff": {"include": {"staff": {"order_by": "staff.id desc"}}}})
    assert document["data"]["staff"][0]["staff"] == [{"id": 3, "boss": 1}, {"id": 2, "boss": 1}]


def test_every_problem_is_told_at_once(shop: Shop) -> None:
    ended = shop.refused(
        tables={
            "user": {},
            "wallets": {"limit": 3, "exclude": ["balanse"]},
            "rich": {},
            "transactions": {"where": "amount >", "order_by": "id"},
            "profiles": {"include": {"transactions": {}}},
        }
    )
    assert ended.code == 3
    for line in (
        "there is no table user; did you mean users?",
        "wallets has no column balanse; did you mean balance?",
        "wallets: a limit needs order_by, else which rows come is left to chance",
        "public.rich is a view",
        "transactions: syntax error at ",
        "transactions cannot be included in profiles: no foreign key of one is on the other",
    ):
        assert line in ended.stderr


def test_a_mistake_in_the_file_is_told_with_its_place(shop: Shop) -> None:
    ended = shop.refused(tables={"users": {"limit": "many"}, "wallets": {"colums": []}})
    assert ended.code == 3
    assert re.search(r"rows.tables \(\S+pgproof.yaml\): users.limit: must be a whole number", ended.stderr)
    assert re.search(r"rows.tables \(\S+pgproof.yaml\): wallets.colums: is not a setting", ended.stderr)


@pytest.mark.parametrize("where", ["true; DROP TABLE wallets", "(SELECT true FROM nextval('public.s'))"])
def test_the_users_sql_changes_nothing(shop: Shop, where: str) -> None:
    shop.sql("CREATE SEQUENCE public.s")
    ended = shop.configured({"tables": {"wallets": {"where": where}}}).run("export")
    assert ended.code in {3, 5}
    assert shop.sql("SELECT count(*), (SELECT is_called FROM s) FROM wallets") == [(5, False)]


def as_role(shop: Shop, new_role: NewRole) -> tuple[Shop, str]:
    role = new_role(shop.server)
    url = shop.server.url(shop.name, user=role.name, password=role.password)
    return Shop(shop.server, shop.name, shop.run.changed(PGPROOF_DATABASE_URL=url)), role.name


def test_tables_without_rights_are_named_with_the_grants(shop: Shop, new_role: NewRole) -> None:
    limited, role = as_role(shop, new_role)
    shop.sql('CREATE SCHEMA "the shop"; CREATE TABLE "the shop".t (id int)')
    ended = limited.refused(tables={"users": {}, '"the shop".t': {}})
    assert ended.code == 14
    assert f"GRANT SELECT ON public.users TO {role};" in ended.hint
    assert f'GRANT USAGE ON SCHEMA "the shop" TO {role};' in ended.hint
    for line in ended.hint.splitlines():
        with shop.connect() as connection:
            connection.execute(line.encode())
    assert limited.configured({"tables": {"users": {"columns": ["id"]}}}).run("export").code == 0


def test_columns_that_a_role_may_read_are_enough(shop: Shop, new_role: NewRole) -> None:
    limited, role = as_role(shop, new_role)
    with shop.connect() as connection:
        connection.execute(f"GRANT SELECT (id, name) ON users TO {role}".encode())
        connection.execute(f"GRANT SELECT ON wallets TO {role}".encode())
    assert limited.export(tables={"users": {"columns": ["name"]}})["stats"] == {"users": 5}
    ended = limited.run("export")
    assert json.loads(ended.stdout)["stats"] == {"wallets": 5}
    assert "profiles, transactions, users" in ended.stderr
    assert limited.refused(tables={"users": {"columns": ["name", "email"]}}).code == 14


def test_rows_that_a_policy_hides_are_never_missing_in_silence(shop: Shop, new_role: NewRole) -> None:
    limited, role = as_role(shop, new_role)
    with shop.connect() as connection:
        connection.execute(f"GRANT SELECT ON wallets TO {role}".encode())
        connection.execute("ALTER TABLE wallets ENABLE ROW LEVEL SECURITY")
        connection.execute(f"CREATE POLICY p ON wallets TO {role} USING (balance < 2000)".encode())
    ended = limited.run("export")
    assert (ended.code, ended.stdout) == (14, "")
    assert f"row-level security hides rows of public.wallets from {role}" in ended.complaint


def test_partitions_are_read_through_their_table_alone(empty: Shop) -> None:
    empty.sql("""CREATE TABLE log (id int, day date) PARTITION BY RANGE (id);
        CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM (0) TO (10);
        CREATE TABLE log_2 PARTITION OF log FOR VALUES FROM (10) TO (20)""")
    empty.sql("INSERT INTO log SELECT n FROM generate_series(1, 15) n")
    empty.sql("CREATE TABLE mother (id int); CREATE TABLE child () INHERITS (mother)")
    empty.sql("INSERT INTO mother VALUES (1); INSERT INTO child VALUES (2), (3)")
    assert empty.export()["stats"] == {"child": 2, "log": 15, "mother": 1}
    assert empty.export("log_2")["stats"] == {"log_2": 6}


def test_names_and_lines_of_any_kind_come_through(empty: Shop) -> None:
    name = """%s {} \\ ' "t". :x"""
    with empty.connect() as connection:
        connection.execute(
            sql.SQL(
                """CREATE SCHEMA odd;
                CREATE TYPE note AS (body json, at int);
                CREATE DOMAIN doc AS json;
                CREATE TABLE odd.{table} (r int, pgproof_row json, {column} doc, notes note[], js json[]);
                INSERT INTO odd.{table} VALUES
                    (1, E'{{"a":\\n\\r\\n "x\\\\n\\\\u0001"}}', E'[1,\\n2]',
                     ARRAY[ROW(E'[\\n]', 1)::note], ARRAY[E'{{\\n}}'::json]),
                    (2, null, null, null, null);"""
            ).format(table=sql.Identifier(name), column=sql.Identifier("new\nline"))
        )
    document = empty.export()
    full = {
        "r": 1,
        "pgproof_row": {"a": "x\n\u0001"},
        "new\nline": [1, 2],
        "notes": [{"body": [], "at": 1}],
        "js": [{}],
    }
    quoted = name.replace('"', '""')
    assert document["data"] == {f'odd."{quoted}"': [full, dict.fromkeys(full) | {"r": 2}]}


def test_values_of_every_type_are_as_postgresql_writes_them(
    any_server: Server, new_database: NewDatabase, tmp_path: Path
) -> None:
    name = new_database(any_server)
    with any_server.connect(name) as connection:
        load_roles(connection)
        load_sink(connection, ("types",))
        connection.execute("SET timezone = 'UTC'; SET extra_float_digits = 1; SET datestyle = ISO")
        tables = [
            table
            for (table,) in connection.execute(
                """SELECT relname FROM pg_class WHERE relnamespace = 'types'::regnamespace AND relkind IN ('r', 'p')
               AND NOT relispartition"""
            )
        ]
        expected = {
            table: [
                json.loads(row, parse_float=Decimal, parse_int=Decimal)
                for (row,) in connection.execute(
                    f'SELECT row_to_json(t.*)::text FROM types."{table}" t ORDER BY 1'.encode()
                )
            ]
            for table in tables
        }
    ended = shop_on(any_server, name, tmp_path).run("export", "--table", "types.*", PGPROOF_ROWS_SECRETS="none")
    assert ended.code == 0, ended.stderr
    document = json.loads(ended.stdout, parse_float=Decimal, parse_int=Decimal)
    assert document["stats"].keys() == {f"types.{table}" for table in tables}
    for table in tables:
        found = sorted(document["data"][f"types.{table}"], key=repr)
        assert repr(found) == repr(sorted(expected[table], key=repr))


def test_a_file_is_readable_by_its_owner_alone_and_the_result_is_told(shop: Shop) -> None:
    ended = shop.run("export", "--output", "out.json", "--json")
    file = shop.run.home / "out.json"
    assert ended.code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert ended.result["bytes"] == file.stat().st_size
    assert ended.result["stats"] == json.loads(file.read_text())["stats"]
    assert ended.result["left_out"]["users"] == ["password_hash", "API_Key"]
    assert shop.run("export", "-o", "out.json").stdout.splitlines()[-1].split() == ["wallets", "5"]


def failing(shop: Shop) -> Shop:
    """With a row in the middle of a table that cannot be written."""
    shop.sql("""CREATE TABLE large AS SELECT n, repeat(md5(n::text), 100) AS text FROM generate_series(1, 20000) n;
        CREATE FUNCTION public.check_row(n int) RETURNS boolean LANGUAGE plpgsql AS
        $$ BEGIN IF n > 15000 THEN RAISE 'enough'; END IF; RETURN true; END $$""")
    return shop.configured({"tables": {"large": {"where": "public.check_row(n)"}}})


def test_a_failure_in_mid_stream_leaves_no_file_and_no_valid_document(shop: Shop) -> None:
    broken = failing(shop)
    old = shop.run.home / "out.json"
    old.write_text("what was there")
    ended = broken.run("export", "--output", "out.json")
    assert ended.code == 5
    assert "enough" in ended.stderr
    assert old.read_text() == "what was there"
    assert {path.name for path in shop.run.home.iterdir()} == {"out.json", "pgproof.yaml", "tmp"}
    cut = broken.run("export")
    assert cut.code == 5
    assert len(cut.stdout) > 1_000_000
    with pytest.raises(ValueError, match="Expecting"):
        json.loads(cut.stdout)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_no_file_and_no_process(shop: Shop, end: signal.Signals) -> None:
    shop.sql("CREATE TABLE slow AS SELECT n FROM generate_series(1, 1000) n")
    tables = {"slow": {"where": "pg_sleep(0.1) IS NOT NULL"}}
    with shop.configured({"tables": tables}).run.start("export", "--output", "out.json") as running:
        running.wait_for(lambda: running.processes("psql"))
        running.signal(end)
        ended = running.finish()
    assert (ended.code, ended.left) == (128 + end, ())
    assert {path.name for path in shop.run.home.iterdir()} == {"pgproof.yaml", "tmp"}
    wait_until(lambda: shop.sql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(0.1)%'") == [(1,)])


def test_all_tables_are_as_they_were_in_one_moment(shop: Shop) -> None:
    shop.sql("""CREATE TABLE a_first AS SELECT n FROM generate_series(1, 30) n""")
    tables = {"a_first": {"where": "pg_sleep(0.05) IS NOT NULL"}, "wallets": {}}
    with shop.configured({"tables": tables}).run.start("export") as running:
        running.wait_for(lambda: running.processes("psql"))
        shop.sql(
            "INSERT INTO users VALUES (6, 'six'); UPDATE wallets SET balance = 0; INSERT INTO wallets VALUES (6, 0)"
        )
        document = json.loads(running.finish().stdout)
    assert [each["balance"] for each in document["data"]["wallets"]] == [1000.00000001 * n for n in range(1, 6)]


def test_a_table_that_is_emptied_in_the_moment_of_the_snapshot_is_never_exported_empty(shop: Shop) -> None:
    with shop.connect() as other, shop.run.start("export", "--output", "out.json") as running:
        with other.transaction():
            other.execute("TRUNCATE wallets")
            running.wait_for(lambda: shop.sql("SELECT 1 FROM pg_locks WHERE NOT granted"))
        ended = running.finish()
    assert ended.code == 5
    assert "public.wallets: truncated, rewritten or replaced since the snapshot was taken" in ended.complaint
    assert not (shop.run.home / "out.json").exists()


def test_a_change_of_a_table_that_waits_its_turn_keeps_nobody_waiting_for_ever(shop: Shop) -> None:
    tables = {"transactions": {"where": "pg_sleep(0.05) IS NOT NULL"}, "wallets": {}}
    with shop.configured({"tables": tables}).run.start("export") as running:
        running.wait_for(lambda: running.processes("psql"))
        shop.sql("ALTER TABLE wallets ADD COLUMN more int")
        ended = running.finish()
    assert ended.code == 0, ended.stderr
    assert "more" not in json.loads(ended.stdout)["data"]["wallets"][0]


def test_a_lock_is_waited_for_as_long_as_is_said(shop: Shop) -> None:
    with shop.connect() as other, other.transaction():
        other.execute("LOCK TABLE wallets")
        ended = shop.run("export", PGPROOF_LOCK_WAIT_TIMEOUT="1")
    assert ended.code == 5
    assert ended.complaint == "wallets: waited too long for a lock"


def test_no_password_is_on_any_command_line(shop: Shop) -> None:
    shop.sql("CREATE TABLE slow AS SELECT n FROM generate_series(1, 30) n")
    with shop.configured({"tables": {"slow": {"where": "pg_sleep(0.1) IS NOT NULL"}}}).run.start("export") as running:
        running.wait_for(lambda: running.processes("psql"))
        words = [word for process in running.processes() for word in process.cmdline()]
        assert shop.server.password not in " ".join(words)
        assert running.finish().code == 0


def test_a_document_on_stdout_and_a_result_on_stdout_exclude_each_other(shop: Shop) -> None:
    assert shop.run("export", "--json").error["code"] == "usage_error"


def test_an_unreachable_server_is_told_before_anything_is_written(shop: Shop) -> None:
    ended = shop.run("export", "--output", "out.json", **FAR)
    assert ended.code == 4
    assert not (shop.run.home / "out.json").exists()


def test_a_full_disk_leaves_no_file(shop: Shop) -> None:
    shop.sql("CREATE TABLE large AS SELECT repeat('x', 1000) FROM generate_series(1, 9000)")
    ended = shop.run.behind("prlimit", f"--fsize={1 << 20}")("export", "--output", "out.json")
    assert (ended.code, ended.complaint) == (5, "out.json cannot be written")
    assert {path.name for path in shop.run.home.iterdir()} == {"tmp"}


def test_a_place_where_no_file_can_be_is_told(shop: Shop) -> None:
    assert shop.run("export", "--output", "nowhere/out.json").code == 2
    assert shop.run("export", "--output", "tmp").code == 2


def test_a_document_that_nobody_reads_to_its_end_is_no_success(shop: Shop) -> None:
    shop.sql("CREATE TABLE large AS SELECT repeat('x', 1000) FROM generate_series(1, 9000)")
    ended = shop.run.behind("sh", "-c", '"$@" > /dev/full', "sh")("export")
    assert (ended.code, ended.complaint) == (5, "the document cannot be written")


def test_memory_does_not_grow_with_the_table(shop: Shop) -> None:
    """Slow for 300 MB of JSON; a tenth of it would hide in what Python takes by itself."""
    shop.sql("CREATE TABLE large AS SELECT n, repeat(md5(n::text), 30) AS x FROM generate_series(1, 300000) n")
    peak = 0
    with shop.run.start("export", "--table", "large", "--output", "out.json") as running:
        while running.is_running():
            with suppress(psutil.Error):
                whole = [psutil.Process(running.pid), *running.processes("psql")]
                peak = max(peak, sum(each.memory_info().rss for each in whole))
            time.sleep(0.02)
        assert running.finish().code == 0
    assert (shop.run.home / "out.json").stat().st_size > 290_000_000
    assert 40 << 20 < peak < 128 << 20


def test_a_device_is_not_replaced_by_a_file(shop: Shop) -> None:
    ended = shop.run("export", "--output", "/dev/null")
    assert (ended.code, ended.complaint) == (2, "/dev/null is no file")
    assert not Path("/dev/null").is_file()


@pytest.mark.parametrize("short", [1, 40, 99])
def test_a_disk_that_is_full_just_before_the_end_leaves_what_was_there(shop: Shop, short: int) -> None:
    whole = shop.run("export", "--output", "out.json", "--json").result["bytes"]
    before = (shop.run.home / "out.json").read_bytes()
    ended = shop.run.behind("prlimit", f"--fsize={whole - short}")("export", "--output", "out.json")
    assert (ended.code, ended.complaint) == (5, "out.json cannot be written")
    assert (shop.run.home / "out.json").read_bytes() == before


def test_a_name_that_cannot_be_a_file_is_refused(shop: Shop) -> None:
    ended = shop.run("export", "--output", "x" * 300, "--json")
    assert ended.error["code"] in {"usage_error", "dump_failed"}, ended
