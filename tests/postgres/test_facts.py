"""Fingerprints are equal for what is equal: on any server, in any session, wherever on the disk rows lie."""

from __future__ import annotations

from typing import LiteralString

import pytest
from psycopg import sql

from backup.domain.proof import CONTENT, ROWS, Fact
from backup.stores.directory import DirectoryStore
from tests.fixtures.postgres import NewDatabase, Server
from tests.support.pgproof import column
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
