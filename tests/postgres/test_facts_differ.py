"""Fingerprints differ for what differs: in any type, in any row, by however little; and how sure that is."""

from __future__ import annotations

from typing import LiteralString

import pytest
from psycopg import sql

from backup.domain.proof import CONTENT
from tests.fixtures.postgres import NewDatabase, Server
from tests.support.pgproof import column, rows, run
from tests.support.proofs import apart, contents, fill, take

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


def test_a_cast_of_the_user_s_own_to_text_hides_no_change(pg18: Server, new_database: NewDatabase) -> None:
    name = new_database(pg18)
    fill(
        pg18,
        name,
        "CREATE TABLE t (a int)",
        "INSERT INTO t VALUES (1)",
        "CREATE FUNCTION always(t) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'the same' $$",
        "CREATE CAST (t AS text) WITH FUNCTION always(t)",
    )
    before = take(pg18, name)
    fill(pg18, name, "UPDATE t SET a = 2")
    assert [each.kind for each in apart(before, take(pg18, name))] == ["content"]
