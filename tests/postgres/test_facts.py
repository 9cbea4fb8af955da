"""Fingerprints: equal for what is equal, on any server, session and disk; different for what differs in any bit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import LiteralString

import psycopg
import pytest
from psycopg import sql

from backup.domain.proof import CONTENT, ROWS, Fact
from backup.stores.directory import DirectoryStore
from tests.fixtures.postgres import NewDatabase, Server
from tests.support.pgproof import column, rows, run
from tests.support.proofs import apart, contents, fill, held_against, proof_of, proven_backup, real, take
from tests.support.sink import load_sink


@pytest.fixture
def sink(pg18: Server, new_database: NewDatabase) -> str:
    """A database with every type."""
    name = new_database(pg18)
    with pg18.connect(name) as connection:
        load_sink(connection, ("types",))
    return name


def test_every_type_of_15_is_proven_in_18(
    system_server: Server, pg18: Server, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(system_server)
    with system_server.connect(name) as connection, pg18.connect() as other:
        load_sink(connection, ("types",))
        load_sink(other, ())
    backup = proven_backup(system_server, name, store)
    into = f"{new_database(pg18)}_again"
    compared = held_against(backup, store, pg18, into)
    assert real(compared) == []
    assert compared.unproven == {}
    assert compared.mode == "full"
    proof = proof_of(backup, store)
    tables = column(system_server, name, "SELECT count(*) FROM pg_tables WHERE schemaname = 'types'")
    assert [len(contents(proof)), compared.tables] == tables * 2
    assert contents(proof) == contents(take(pg18, into))


@pytest.mark.parametrize(
    "settings",
    [
        {"timezone": "Asia/Kathmandu", "datestyle": "SQL, DMY"},
        {"intervalstyle": "iso_8601", "extra_float_digits": "-15"},
        {"bytea_output": "escape", "lc_monetary": "C.utf8", "xmloption": "document"},
        {"search_path": "types, public", "quote_all_identifiers": "on", "row_security": "on"},
        {
            "lc_numeric": "C.utf8",
            "standard_conforming_strings": "off",
            "client_encoding": "LATIN1",
            "array_nulls": "off",
        },
        {"max_parallel_workers_per_gather": "4", "jit": "on", "enable_seqscan": "off", "work_mem": "64kB"},
    ],
    ids=" ".join,
)
def test_fingerprints_do_not_depend_on_how_a_database_is_set(pg18: Server, sink: str, settings: dict[str, str]) -> None:
    before = take(pg18, sink)
    with pg18.connect() as connection:
        for name, value in settings.items():
            connection.execute(
                sql.SQL("ALTER DATABASE {} SET {} = {}").format(
                    sql.Identifier(sink),
                    sql.Identifier(name),
                    sql.SQL(value if name == "search_path" else f"'{value}'"),
                )
            )
    after = take(pg18, sink)
    assert contents(after) == contents(before)
    assert {each.kind for each in apart(before, after)} <= {"database setting"}


@pytest.mark.parametrize(
    "statement",
    [
        "CLUSTER t USING t_note",
        "VACUUM FULL t",
        "UPDATE t SET note = note",
        "WITH gone AS (DELETE FROM t WHERE id % 2 = 0 RETURNING *) INSERT INTO t SELECT * FROM gone ORDER BY id DESC",
        "REINDEX TABLE t",
        "ALTER TABLE t SET (fillfactor = 50); VACUUM FULL t; ALTER TABLE t RESET (fillfactor)",
        "ALTER TABLE t ADD passing text DEFAULT 'x'; ALTER TABLE t DROP passing",
    ],
)
def test_fingerprints_do_not_depend_on_where_rows_lie(
    pg18: Server, new_database: NewDatabase, statement: LiteralString
) -> None:
    name = new_database(pg18)
    fill(
        pg18,
        name,
        "CREATE TABLE t (id int PRIMARY KEY, note text); CREATE INDEX t_note ON t (note);"
        " INSERT INTO t SELECT n, md5(n::text) FROM generate_series(1, 5000) n",
    )
    before = take(pg18, name)
    fill(pg18, name, *statement.split("; "))
    assert contents(take(pg18, name)) == contents(before)


@pytest.mark.parametrize(
    "definition",
    [
        "t (t int, x text)",
        "x (x int, t text)",
        "x (x int)",
        '"X ""y""" ("X ""y""" int, "x.*" text)',
        '"select" ("from" int, "null" text)',
        "pg_x (x int[], y int[])",
    ],
)
def test_columns_may_be_called_as_they_like(pg18: Server, new_database: NewDatabase, definition: LiteralString) -> None:
    name = new_database(pg18)
    table = sql.SQL(definition.partition(" (")[0])
    with pg18.connect(name) as connection:
        connection.execute(sql.SQL("CREATE TABLE {}").format(sql.SQL(definition)))
        connection.execute(sql.SQL("INSERT INTO {} VALUES (DEFAULT), (DEFAULT)").format(table))
        one = take(pg18, name)
        connection.execute(sql.SQL("UPDATE {} SET {} = DEFAULT").format(table, sql.SQL(column_of(definition))))
        assert contents(take(pg18, name)) == contents(one)
        filling = "'{7}'" if "[]" in definition else "7"
        connection.execute(
            sql.SQL("UPDATE {} SET {} = {}").format(table, sql.SQL(column_of(definition)), sql.SQL(filling))
        )
    assert len(contents(one)) == 1
    assert contents(take(pg18, name)) != contents(one)


def column_of(definition: LiteralString) -> LiteralString:
    """The first column of a definition; its name has no space that is not quoted twice."""
    inner = definition.partition(" (")[2]
    return inner[: inner.index(" int")]


def test_rows_without_columns_are_counted_and_have_a_fingerprint(pg18: Server, new_database: NewDatabase) -> None:
    name = new_database(pg18)
    fill(pg18, name, "CREATE TABLE bare ()", "INSERT INTO bare DEFAULT VALUES", "CREATE TABLE nobody ()")
    one = take(pg18, name)
    assert one.facts[Fact(ROWS, "public.bare")] == 1
    assert one.facts[Fact(CONTENT, "public.nobody")] == "0"
    fill(pg18, name, "INSERT INTO bare DEFAULT VALUES")
    two = take(pg18, name)
    assert two.facts[Fact(ROWS, "public.bare")] == 2
    assert contents(two)["public.bare"] != contents(one)["public.bare"]


def test_children_whose_parent_got_a_column_later_are_proven_though_their_columns_stand_in_another_order(
    pg18: Server, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(pg18)
    fill(
        pg18,
        name,
        "CREATE TABLE parent (a int); CREATE TABLE child (b text) INHERITS (parent);"
        ' CREATE TABLE grandchild ("C" text) INHERITS (child); ALTER TABLE parent ADD late text DEFAULT $$l$$;'
        " INSERT INTO child VALUES (1, 'b', 'late'); INSERT INTO grandchild VALUES (2, 'b', 'c', 'late')",
        "CREATE TABLE joined (z int, late text, a int); ALTER TABLE joined INHERIT parent;"
        " INSERT INTO joined VALUES (3, 'l', 4)",
        "CREATE TABLE sales (id int, note text) PARTITION BY RANGE (id); CREATE TABLE sales_1 (note text, id int);"
        " INSERT INTO sales_1 VALUES ('n', 1); ALTER TABLE sales ATTACH PARTITION sales_1 FOR VALUES FROM (0) TO (9)",
    )
    backup = proven_backup(pg18, name, store)
    compared = held_against(backup, store, pg18, f"{name}_again")
    order = "SELECT attname FROM pg_attribute WHERE attrelid = 'child'::regclass AND attnum > 0 ORDER BY attnum"
    assert column(pg18, name, order) == ["a", "b", "late"]
    assert column(pg18, f"{name}_again", order) == ["a", "late", "b"]
    assert real(compared) == []
    assert compared.unproven == {}
    fill(pg18, f"{name}_again", "UPDATE ONLY child SET b = 'late', late = 'b'")
    assert [each.name for each in apart(proof_of(backup, store), take(pg18, f"{name}_again"))] == ["public.child"]


@pytest.fixture(params=["pg18", "system_server"])
def one_row(request: pytest.FixtureRequest, new_database: NewDatabase) -> Iterator[psycopg.Connection]:
    """A connection to an empty database."""
    server: Server = request.getfixturevalue(request.param)
    with server.connect(new_database(server)) as connection:
        yield connection


TOLD_APART: list[tuple[LiteralString, LiteralString, LiteralString]] = [
    ("float8", "'-0'", "'0'"),
    ("real", "'-0'", "'0'"),
    ("float8", "0.1", "0.1::float8 + 1e-17::float8 * 2"),
    ("numeric", "1.0", "1.00"),
    ("numeric", "'NaN'", "null"),
    ("text", "''", "null"),
    ("text", "'null'", "null"),
    ("text", "'a'", "'a '"),
    ("text", "E'a\\n'", "'a'"),
    ("char(3)", "''", "null"),
    ("text[]", "'{}'", "null"),
    ("text[]", "'{NULL}'", "'{\"NULL\"}'"),
    ("int[]", "'{1}'", "'[0:0]={1}'"),
    ("json", "'{\"a\":1}'", "'{\"a\": 1}'"),
    ("json", '\'{"a":1,"a":2}\'', "'{\"a\":2}'"),
    ("jsonb", "'1.0'", "'1.00'"),
    ("jsonb", "'null'", "null"),
    ("money", "0.01::numeric::money", "0.02::numeric::money"),
    ("bit(3)", "B'001'", "B'010'"),
    ("varbit", "B'0'", "B'00'"),
    ("bytea", "''", "'\\x00'"),
    ("interval", "'1 day'", "'24 hours'"),
    ("interval", "'1 mon'", "'30 days'"),
    ("timetz", "'12:00+00'", "'13:00+01'"),
    ("timestamptz", "'2026-01-01 00:00:00.000001+00'", "'2026-01-01 00:00:00+00'"),
    ("point", "'(0,0)'", "'(-0,0)'"),
    ("inet", "'1.2.3.4'", "'1.2.3.4/31'"),
    ("mood", "'sad'", "'glad'"),
    ("oid", "1", "2"),
]


@pytest.mark.parametrize(("kind", "one", "other"), TOLD_APART)
def test_what_looks_equal_and_is_not_is_told_apart(
    pg18: Server, new_database: NewDatabase, kind: LiteralString, one: LiteralString, other: LiteralString
) -> None:
    name = new_database(pg18)
    found = []
    fill(pg18, name, "CREATE TYPE mood AS ENUM ('sad', 'glad')")
    with pg18.connect(name) as connection:
        connection.execute(sql.SQL("CREATE TABLE t (v {})").format(sql.SQL(kind)))
        for value in (one, other, one):
            connection.execute("TRUNCATE t")
            connection.execute(sql.SQL("INSERT INTO t VALUES ({})").format(sql.SQL(value)))
            found.append(contents(take(pg18, name))["public.t"])
    assert found[0] == found[2]
    assert found[0] != found[1]


def test_xml_is_told_apart_by_its_text(system_server: Server, new_database: NewDatabase) -> None:
    name = new_database(system_server)
    fill(system_server, name, "CREATE TABLE t (x xml)", "INSERT INTO t VALUES ('<a/>'), ('text <b>and</b> text')")
    before = take(system_server, name)
    assert before.unproven == {}
    fill(system_server, name, "UPDATE t SET x = '<a></a>' WHERE x::text = '<a/>'")
    assert [each.name for each in apart(before, take(system_server, name))] == ["public.t"]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE t SET note = note || ' ' WHERE id = 777",
        "UPDATE t SET note = (SELECT o.note FROM t AS o WHERE o.id = 3 - t.id) WHERE id IN (1, 2)",
        "UPDATE t SET a = b, b = a WHERE id = 5",
        "UPDATE t SET a = null WHERE id = 5",
        "DELETE FROM t WHERE id = 999",
        "INSERT INTO t SELECT * FROM t WHERE id = 10",
        "WITH gone AS (DELETE FROM t WHERE id = 1) INSERT INTO t SELECT * FROM t WHERE id = 2",
        "DELETE FROM t",
    ],
    ids=["changed", "swapped in rows", "swapped in columns", "null", "lost", "doubled", "one for another", "emptied"],
)
def test_a_single_change_to_a_table_is_noticed_and_named(
    pg18: Server, new_database: NewDatabase, statement: LiteralString
) -> None:
    name = new_database(pg18)
    fill(
        pg18,
        name,
        "CREATE TABLE t (id int, a int, b int, note text); CREATE TABLE other AS SELECT 1 AS id;"
        " INSERT INTO t SELECT n, n, n + 1, 'note ' || n FROM generate_series(1, 1000) n",
    )
    before = take(pg18, name)
    run(pg18, name, statement)
    found = apart(before, take(pg18, name))
    assert {each.name for each in found} == {"public.t"}
    assert CONTENT in {each.kind for each in found}


def test_of_two_hundred_thousand_single_changes_no_two_give_the_same_sum(
    pg18: Server, new_database: NewDatabase
) -> None:
    # Each line is a table of three rows, of which one differs from the others' by a bit, a character or a null.
    name = new_database(pg18)
    fill(
        pg18,
        name,
        "CREATE TYPE trial AS (id int, a text, b float8)",
        "CREATE TABLE trials OF trial; INSERT INTO trials VALUES (1, 'x', 1), (1, 'xx', 2)",
        """CREATE TABLE sums AS
        SELECT v, hashtextextended(ROW(v, 'a', 0.5)::trial::text COLLATE "C", 0)::numeric AS one,
               hashtextextended(ROW(1, chr(32 + v % 60000) || v, 0.5)::trial::text COLLATE "C", 0)::numeric AS two,
               hashtextextended(ROW(1, null, v::float8 / 3)::trial::text COLLATE "C", 0)::numeric AS three,
               hashtextextended(ROW(1, repeat('x', v % 500), v)::trial::text COLLATE "C", 0)::numeric AS four
        FROM generate_series(1, 50000) AS v""",
    )
    ((count, different),) = rows(
        pg18,
        name,
        "SELECT count(*), count(DISTINCT s) FROM sums, LATERAL (VALUES (one), (two), (three), (four)) AS x (s)",
    )
    assert (count, different) == (200_000, 200_000)
    assert contents(take(pg18, name))["public.trials"] == str(
        column(pg18, name, "SELECT sum(four) FROM sums WHERE v IN (1, 2)")[0]
    )
    ((pairs, sums),) = rows(
        pg18,
        name,
        "SELECT count(*), count(DISTINCT a.one + b.two) FROM sums AS a, sums AS b WHERE a.v <= 447 AND b.v <= 447",
    )
    assert (pairs, sums) == (447 * 447, 447 * 447)
