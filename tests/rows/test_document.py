from __future__ import annotations

import json
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.fixtures.postgres import NewDatabase, NewRole, Server
from tests.rows.conftest import Shop, shop_on
from tests.support.command import Finished, wait_until
from tests.support.sink import load_roles, load_sink

Tables = Mapping[str, Sequence[Mapping[str, object]]]

OPTIONS = ("--no-safety-backup", "--json")


def written(shop: Shop, tables: Tables, **changes: object) -> str:
    """A document in the home of the shop."""
    stats = {name: len(rows) for name, rows in tables.items()}
    document = {"success": True, "timestamp": "2026-11-22T08:00:00Z", "stats": stats, "data": tables, **changes}
    (shop.run.home / "some.json").write_text(json.dumps(document))
    return "some.json"


def restored(shop: Shop, file: str, *arguments: str) -> dict[str, tuple[int, int, int, int]]:
    """Read, inserted, updated, unchanged by table."""
    ended = shop.run("restore", "--document", file, "--confirm", shop.name, *OPTIONS, *arguments)
    assert ended.code == 0, ended.stderr
    assert ended.result["database"] == shop.name
    return {
        each["table"]: (each["read"], each["inserted"], each["updated"], each["unchanged"])
        for each in ended.result["tables"]
    }


def refused(shop: Shop, file: str, *arguments: str, code: int = 8) -> Finished:
    """How it ends, with everything as it was."""
    before = contents(shop)
    ended = shop.run("restore", "--document", file, "--confirm", shop.name, "--no-safety-backup", *arguments)
    assert ended.code == code, ended.stderr
    assert contents(shop) == before
    return ended


def contents(shop: Shop) -> Mapping[str, list[tuple[Any, ...]]]:
    tables = shop.sql("""SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
        WHERE schemaname !~ '^pg_' AND schemaname <> 'information_schema'""")
    with shop.connect() as connection:
        return {
            name: connection.execute(f"SELECT t.*::text FROM {name} AS t ORDER BY 1".encode()).fetchall()
            for (name,) in tables
        }


def exported(shop: Shop, *tables: str) -> str:
    arguments = [f"--table={each}" for each in tables]
    ended = shop.run("export", "--output", "out.json", *arguments, PGPROOF_ROWS_SECRETS="none")
    assert ended.code == 0, ended.stderr
    return "out.json"


def test_what_was_exported_comes_back_as_it_was(shop: Shop) -> None:
    before = contents(shop)
    file = exported(shop)
    shop.sql("TRUNCATE users CASCADE")
    assert restored(shop, file) == {
        "profiles": (7, 7, 0, 0),
        "transactions": (40, 40, 0, 0),
        "users": (5, 5, 0, 0),
        "wallets": (5, 5, 0, 0),
    }
    assert contents(shop) == before


def test_a_pretty_printed_document_comes_back_too(shop: Shop) -> None:
    before = contents(shop)
    file = shop.run.home / exported(shop)
    document = json.loads(file.read_text(), parse_float=Decimal)
    file.write_text(json.dumps(dict(reversed(document.items())), indent=4, default=float))
    shop.sql("TRUNCATE users CASCADE")
    restored(shop, file.name)
    assert contents(shop) == before


def test_an_upsert_brings_back_what_was_changed_and_leaves_what_is_newer(shop: Shop) -> None:
    file = exported(shop)
    shop.sql("""UPDATE users SET name = 'changed' WHERE id < 3; DELETE FROM profiles WHERE id = 1;
        INSERT INTO users VALUES (6, 'six', 'Six')""")
    assert restored(shop, file, "--upsert") == {
        "profiles": (7, 1, 0, 6),
        "transactions": (40, 0, 0, 40),
        "users": (5, 0, 2, 3),
        "wallets": (5, 0, 0, 5),
    }
    assert shop.sql("SELECT name FROM users ORDER BY id") == [*((f"User {n}",) for n in range(1, 6)), ("Six",)]


def test_only_the_tables_that_are_chosen_come_back(shop: Shop) -> None:
    file = exported(shop)
    shop.sql("DELETE FROM wallets; DELETE FROM profiles")
    assert restored(shop, file, "--table", "public.wallets") == {"wallets": (5, 5, 0, 0)}
    ended = refused(shop, file, "--table", "profile", code=9)
    assert ended.complaint == "the document has no table profile; did you mean profiles?"


def test_rows_that_are_there_already_are_named_and_nothing_is_changed(shop: Shop) -> None:
    ended = refused(shop, exported(shop, "wallets"))
    assert ended.complaint == "wallets: 5 rows do not fit"
    assert "row 1 (user_id 1): duplicate key value violates unique constraint" in ended.stderr
    assert "--upsert" in ended.hint


def test_a_failure_in_a_later_table_leaves_the_earlier_ones_as_they_were(shop: Shop) -> None:
    tables: Tables = {"users": [{"id": 8, "email": "8"}], "wallets": [{"user_id": 8, "balance": 1}, {"user_id": 9}]}
    ended = refused(shop, written(shop, tables))
    assert ended.complaint == "wallets: a row does not fit"
    assert 'row 2 (user_id 9): insert or update on table "wallets" violates foreign key' in ended.stderr


def test_rows_with_other_keys_get_the_defaults_of_their_columns(empty: Shop) -> None:
    empty.sql("CREATE TABLE t (id serial PRIMARY KEY, a text DEFAULT 'a', b int DEFAULT 7)")
    rows: list[dict[str, object]] = [{"id": 5}, {"id": 6, "a": None}, {}, {"a": "x", "b": 1}]
    file = written(empty, {"t": rows})
    assert restored(empty, file) == {"t": (4, 4, 0, 0)}
    assert empty.sql("SELECT id, a, b FROM t ORDER BY id") == [(1, "a", 7), (2, "x", 1), (5, "a", 7), (6, None, 7)]
    assert empty.sql("INSERT INTO t DEFAULT VALUES RETURNING id") == [(7,)]
    ended = refused(empty, written(empty, {"t": [{"id": 8}, {"id": 9, "a": "x"}, {"id": 9, "a": "y"}]}))
    assert "row 3 (id 9): duplicate key" in ended.stderr


def test_every_problem_is_told_at_once_with_the_nearest_names(shop: Shop) -> None:
    shop.sql("CREATE SCHEMA audit; CREATE TABLE audit.log (id int)")
    tables: Tables = {
        "user": [{"id": 1}],
        "users": [{"id": 1, "e_mail": "x"}],
        "rich": [{"user_id": 1}],
        "audit.log": [{"id": 1}],
    }
    ended = refused(shop, written(shop, tables), code=3)
    for line in (
        "there is no table user in the database; did you mean users?",
        "users has no column e_mail; did you mean email?",
        "users: email must not be null, has no default, and is not in the rows",
        "public.rich is a view",
    ):
        assert line in ended.stderr
    assert "audit" not in ended.stderr


def test_rows_of_an_include_are_refused_and_that_is_said(shop: Shop) -> None:
    configured = shop.configured({"tables": {"users": {"include": {"profiles": {}}}}})
    ended = refused(shop, exported(configured), code=3)
    assert ended.complaint == "users has no column profiles"
    assert "rows of an include, which an export nests inside others, are not restored" in ended.hint


def test_tables_of_other_schemas_and_with_odd_names_come_back(empty: Shop) -> None:
    empty.sql("""CREATE SCHEMA "the.shop"; CREATE TABLE "the.shop"."T ""x" (id int, "Ä ""b" text);
        CREATE SCHEMA audit; CREATE TABLE audit.log (id int); INSERT INTO audit.log VALUES (1);
        INSERT INTO "the.shop"."T ""x" VALUES (1, 'x')""")
    file = exported(empty)
    before = contents(empty)
    empty.sql('TRUNCATE audit.log, "the.shop"."T ""x"')
    assert restored(empty, file) == {'"the.shop"."T ""x"': (1, 1, 0, 0), "audit.log": (1, 1, 0, 0)}
    assert contents(empty) == before


def test_values_of_every_type_come_back_as_they_were(
    any_server: Server, new_database: NewDatabase, tmp_path: Path
) -> None:
    name = new_database(any_server)
    with any_server.connect(name) as connection:
        load_roles(connection)
        load_sink(connection, ("types",))
    shop = shop_on(any_server, name, tmp_path)
    tables = [table for table, rows in contents(shop).items() if rows]
    before = {table: comparable(shop, table) for table in tables}
    file = exported(shop, "types.*")
    with shop.connect() as connection:
        connection.execute(f"TRUNCATE {', '.join(tables)} CASCADE".encode())
    restored(shop, file)
    for table in tables:
        assert comparable(shop, table) == before[table]
    assert all(each[1:] == (0, 0, each[0]) for each in restored(shop, file, "--upsert", *keyed(shop)).values())


def test_hstore_comes_back(system_server: Server, new_database: NewDatabase, tmp_path: Path) -> None:
    shop = shop_on(system_server, new_database(system_server), tmp_path)
    shop.sql("""CREATE SCHEMA "my ext"; CREATE EXTENSION hstore SCHEMA "my ext"; CREATE DOMAIN h AS "my ext".hstore;
        CREATE TABLE t (id int PRIMARY KEY, h "my ext".hstore, d h);
        INSERT INTO t VALUES (1, '"a b"=>"1,", c=>NULL', 'x=>"{}"'), (2, '', NULL), (3, NULL, '')""")
    before = contents(shop)
    file = exported(shop)
    shop.sql("TRUNCATE t")
    restored(shop, file)
    assert contents(shop) == before
    assert restored(shop, file, "--upsert") == {"t": (3, 0, 0, 3)}


def comparable(shop: Shop, table: str) -> list[str]:
    with shop.connect() as connection:
        rows = connection.execute(f"SELECT row_to_json(t.*)::text FROM {table} AS t".encode())
        return sorted(line.replace("\n", " ") for (line,) in rows)  # which is what an export makes of json


def keyed(shop: Shop) -> list[str]:
    found = shop.sql("""SELECT format('--table=%s.%s', n.nspname, c.relname) FROM pg_index i
        JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE i.indisprimary AND NOT c.relispartition AND n.nspname = 'types'""")
    return [name for (name,) in found]


def test_numbers_keep_every_digit_and_times_every_microsecond(empty: Shop) -> None:
    empty.sql("""CREATE TABLE t (id int PRIMARY KEY, n numeric, f float8, r real, z float8, at timestamptz, b bytea,
            a numeric[], d daterange, j json, jb jsonb);
        INSERT INTO t VALUES
        (1, repeat('9', 130)::numeric + 0.10, 'NaN', '-Infinity', '-0', '2026-01-01 00:00:00.000001Z', '\\xdeadbeef',
            '{1.10,NaN,null}', '[2026-01-01,infinity)', E'{"a":\\n 1.10, "a": "\\u00e9"}', '{"b": 1.10}'),
        (2, 'NaN', 'Infinity', 1.17549435e-38, 5e-324, 'infinity', '', '{}', 'empty', 'null', 'null')""")
    before = empty.sql("SELECT t.*::text FROM t ORDER BY id")
    file = exported(empty)
    empty.sql("TRUNCATE t")
    restored(empty, file)
    (first, second) = empty.sql("SELECT t.*::text FROM t ORDER BY id")
    assert first[0] == before[0][0].replace("\n", " ")
    assert second[0] == before[1][0].replace(",null,null)", ",,)")  # null of JSON comes back as NULL


def test_a_document_that_is_cut_changes_nothing(shop: Shop) -> None:
    file = shop.run.home / exported(shop)
    data = file.read_bytes()
    shop.sql("TRUNCATE users CASCADE")
    for size in (0, 1, len(data) // 3, len(data) // 2, len(data) - 3):
        file.write_bytes(data[:size])
        ended = refused(shop, file.name, code=7)
        assert f"was cut: it ends at byte {size}" in ended.complaint


def test_the_database_must_be_confirmed_and_only_what_is_of_documents_may_be_said(shop: Shop) -> None:
    file = exported(shop)
    ended = shop.run("restore", "--document", file, "--upsert")
    assert (ended.code, ended.complaint) == (
        2,
        f"this would write the rows of the document to the database {shop.name}, but there is no --confirm",
    )
    for arguments, said in (
        (["latest"], "--document and BACKUP exclude each other"),
        (["--into", "x", "--replace"], "--document and --into, --replace exclude each other"),
        (["--in-place"], "--document and --in-place exclude each other"),
        (["--request", "tmp"], "--request says what is restored, and so does --document"),
    ):
        ended = shop.run("restore", "--document", file, *arguments)
        assert (ended.code, ended.complaint) == (2, said)
    assert shop.run("restore", "--document", "none.json").code == 2
    ended = shop.run("restore", "latest", "--upsert")
    assert (ended.code, ended.complaint) == (2, "--upsert goes with --in-place or --document, and says nothing without")


def test_a_safety_backup_is_made_first(shop: Shop) -> None:
    file = exported(shop)
    shop.sql("UPDATE users SET name = 'changed'")
    with_store = shop.run.changed(PGPROOF_STORE=str(shop.run.home / "store"))
    arguments = ("restore", "--document", file, "--confirm", shop.name, "--upsert")
    ended = shop.run(*arguments)
    assert ended.code == 3
    assert shop.sql("SELECT DISTINCT name FROM users") == [("changed",)]
    assert with_store(*arguments).code == 0
    (backup,) = with_store("list", "--json").result["backups"]
    shown = with_store("show", backup["id"], "--json").result
    assert (shown["purpose"], shown["labels"]) == ("safety", {"before-restoring": "document"})
    for option in ("--upsert", "--disable-triggers"):
        ended = with_store("restore", backup["id"], "--in-place", "--confirm", shop.name, option)
        assert ended.code == 2
        assert "it is a dump of pg_dump" in ended.complaint


def test_how_it_ended_is_announced(shop: Shop) -> None:
    file = exported(shop, "wallets")
    outcome = shop.run.home / "outcome"
    told = Shop(shop.server, shop.name, shop.run.changed(PGPROOF_TERMINATION_LOG=str(outcome)))
    restored(told, file, "--upsert")
    text = f"out.json restored into {shop.name}: 5 rows read, 0 inserted, 0 updated, 5 unchanged"
    assert text in outcome.read_text()
    refused(told, file)
    assert "wallets: 5 rows do not fit" in outcome.read_text()


def test_a_dry_run_checks_everything_and_changes_nothing(shop: Shop) -> None:
    shop.sql("ALTER TABLE users ADD COLUMN up bigint CONSTRAINT up REFERENCES users")
    shop.sql("CREATE SEQUENCE s OWNED BY users.id")
    file = exported(shop)
    shop.sql("TRUNCATE users CASCADE")
    ended = shop.run("restore", "--document", file, "--dry-run")
    assert ended.code == 0, ended.stderr
    assert "insert rows, table by table, in one transaction: users, profiles, transactions, wallets" in ended.stdout
    assert "let foreign keys wait that go in a circle, until the rows are there: up of users" in ended.stdout
    assert "set sequences past the data: public.s" in ended.stdout
    assert shop.sql("SELECT count(*) FROM users") == [(0,)]
    shop.sql("ALTER TABLE users DROP COLUMN name")
    assert shop.run("restore", "--document", file, "--dry-run").code == 3


def test_rows_come_into_another_database_if_that_is_said(shop: Shop, pg17: Server, new_database: NewDatabase) -> None:
    name = new_database(pg17)
    other = Shop(pg17, name, shop.run)
    other.sql("CREATE TABLE wallets (user_id bigint, balance numeric)")
    file = exported(shop, "wallets")
    arguments = ("--target-url", pg17.url(name), "--confirm", name)
    ended = shop.run("restore", "--document", file, *arguments)
    assert (ended.code, "no safety backup can be made" in ended.complaint) == (2, True)
    ended = shop.run("restore", "--document", file, *arguments, "--no-safety-backup")
    assert ended.code == 0, ended.stderr
    assert ended.stdout.splitlines()[1].split() == ["wallets", "5", "5", "0", "0"]
    assert other.sql("SELECT * FROM wallets ORDER BY 1") == shop.sql("SELECT * FROM wallets ORDER BY 1")


def test_triggers_do_not_fire_where_that_is_said(shop: Shop) -> None:
    shop.sql("""CREATE TABLE told (id bigint);
        CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO told VALUES (new.user_id); RETURN new; END $$;
        CREATE TRIGGER tell AFTER INSERT ON wallets FOR EACH ROW EXECUTE FUNCTION tell()""")
    file = exported(shop, "wallets")
    shop.sql("TRUNCATE wallets")
    restored(shop, file, "--disable-triggers")
    assert shop.sql("SELECT count(*), (SELECT tgenabled FROM pg_trigger WHERE tgname = 'tell') FROM told") == [(0, "O")]
    shop.sql("TRUNCATE wallets")
    restored(shop, file)
    assert shop.sql("SELECT count(*) FROM told") == [(5,)]


def test_a_role_that_may_not_write_is_told_the_grants(shop: Shop, new_role: NewRole) -> None:
    file = exported(shop, "wallets")
    role = new_role(shop.server)
    url = shop.server.url(shop.name, user=role.name, password=role.password)
    limited = Shop(shop.server, shop.name, shop.run.changed(PGPROOF_DATABASE_URL=url))
    before = contents(shop)
    ended = limited.run("restore", "--document", file, "--confirm", shop.name, "--no-safety-backup", "--upsert")
    assert ended.code == 14
    assert f"GRANT INSERT, SELECT, UPDATE ON public.wallets TO {role.name};" in ended.hint
    assert contents(shop) == before


def slow(shop: Shop) -> str:
    """A document whose second table takes long."""
    shop.sql("""CREATE TABLE slow (id int PRIMARY KEY, user_id bigint REFERENCES users);
        CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_sleep(0.1); RETURN new; END $$;
        CREATE TRIGGER wait BEFORE INSERT ON slow FOR EACH ROW EXECUTE FUNCTION wait()""")
    rows = [{"id": n, "user_id": 8} for n in range(1000)]
    return written(shop, {"slow": rows, "users": [{"id": 8, "email": "8"}]})


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_whatever_ends_it_in_the_middle_nothing_is_half_done(shop: Shop, end: signal.Signals) -> None:
    file = slow(shop)
    before = contents(shop)
    sleeping = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
    arguments = ("restore", "--document", file, "--confirm", shop.name, "--no-safety-backup")
    with shop.run.start(*arguments) as running:
        running.wait_for(lambda: shop.sql(sleeping))
        running.signal(end)
        ended = running.finish()
    assert ended.code == (-end if end is signal.SIGKILL else 128 + end)
    shop.sql("""SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'pgproof'""")
    wait_until(lambda: not shop.sql(sleeping))
    assert contents(shop) == before


def test_memory_does_not_grow_with_the_document(empty: Shop) -> None:
    """Slow for 200 MB of JSON; a tenth of it would hide in what Python takes by itself."""
    empty.sql("CREATE TABLE large (n int PRIMARY KEY, x text)")
    line = '{{"n": {}, "x": "' + "x" * 970 + '"}}'
    with (empty.run.home / "large.json").open("w") as file:
        file.write('{"data": {"large": [\n')
        file.write(",\n".join(line.format(n) for n in range(200_000)))
        file.write(']}, "stats": {"large": 200000}, "success": true}')
    peak = 0
    arguments = ("restore", "--document", "large.json", "--confirm", empty.name, "--no-safety-backup")
    with empty.run.start(*arguments) as running:
        while running.is_running():
            with suppress(psutil.Error):
                peak = max(peak, psutil.Process(running.pid).memory_info().rss)
            time.sleep(0.02)
        ended = running.finish()
    assert ended.code == 0, ended.stderr
    assert empty.sql("SELECT count(*) FROM large") == [(200_000,)]
    assert 40 << 20 < peak < 128 << 20
