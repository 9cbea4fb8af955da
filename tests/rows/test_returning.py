from __future__ import annotations

import pytest

from backup.errors import ConfigurationError, RestoreFailed
from backup.postgres.rows import lines as lines_module
from tests.fixtures.postgres import NewDatabase, Server
from tests.support.returning import Base, Row, numbered


def test_rows_are_inserted_beside_those_that_are_there(base: Base) -> None:
    base.sql("CREATE TABLE t (id int PRIMARY KEY, x text DEFAULT 'none'); INSERT INTO t VALUES (1, 'one')")
    assert base.bring(("t", [{"id": 2, "x": None}, {"id": 3, "x": "three"}])) == {"t": (2, 2, 0, 0)}
    assert base.sql("SELECT * FROM t ORDER BY id") == [(1, "one"), (2, None), (3, "three")]
    assert base.bring(("t", numbered([4]))) == {"t": (1, 1, 0, 0)}
    assert base.sql("SELECT x FROM t WHERE id = 4") == [("none",)]


def test_many_batches_come_whole_and_in_their_order(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines_module, "BATCH", 1000)
    base.sql("CREATE TABLE t (id int, came serial, x text)")
    rows = [{"id": n, "x": "x" * (n % 700)} for n in range(3000)]
    assert base.put("t", rows) == 3000
    assert base.sql("SELECT count(*), sum(length(x)), bool_and(came = id + 1) FROM t") == [
        (3000, sum(n % 700 for n in range(3000)), True)
    ]


def test_no_rows_are_no_failure(base: Base) -> None:
    base.sql("CREATE TABLE t (id serial PRIMARY KEY)")
    assert base.bring(("t", [])) == {"t": (0, 0, 0, 0)}
    assert base.bring(("t", []), upsert=True) == {"t": (0, 0, 0, 0)}
    assert base.sql("SELECT nextval('t_id_seq')") == [(1,)]


def test_an_upsert_touches_only_rows_that_differ(base: Base) -> None:
    base.sql("""CREATE TABLE t (id int PRIMARY KEY, x numeric, g int GENERATED ALWAYS AS (id * 2) STORED);
        INSERT INTO t VALUES (1, 1.0), (2, 2), (3, 3)""")
    before = base.sql("SELECT xmin::text FROM t WHERE id = 2")
    rows = [{"id": 1, "x": 9, "g": 0}, {"id": 2, "x": 2, "g": 0}, {"id": 4, "x": 4, "g": 0}]
    assert base.bring(("t", rows), upsert=True) == {"t": (3, 1, 1, 1)}
    assert base.sql("SELECT id, x::text, g FROM t ORDER BY id") == [
        (1, "9", 2),
        (2, "2", 4),
        (3, "3", 6),
        (4, "4", 8),
    ]
    assert base.sql("SELECT xmin::text FROM t WHERE id = 2") == before
    assert base.bring(("t", rows), upsert=True) == {"t": (3, 0, 0, 3)}


def test_an_upsert_leaves_columns_alone_that_do_not_come(base: Base) -> None:
    base.sql("CREATE TABLE t (id int PRIMARY KEY, x int, y int); INSERT INTO t VALUES (1, 1, 1)")
    assert base.bring(("t", [{"id": 1, "x": 2}, {"id": 2, "x": 2}]), upsert=True) == {"t": (2, 1, 1, 0)}
    assert base.sql("SELECT * FROM t ORDER BY id") == [(1, 2, 1), (2, 2, None)]


def test_an_upsert_goes_by_a_unique_index_where_there_is_no_primary_key(base: Base) -> None:
    base.sql("CREATE TABLE t (a text NOT NULL UNIQUE, x int); INSERT INTO t VALUES ('a', 1)")
    assert base.bring(("t", [{"a": "a", "x": 2}, {"a": "b", "x": 2}]), upsert=True) == {"t": (2, 1, 1, 0)}
    base.sql("CREATE TABLE u (a text UNIQUE, x int)")
    error = base.refused(("u", [{"a": "a", "x": 2}]), upsert=True, kind=ConfigurationError)
    assert error.message.startswith("u has no primary key and no unique index on columns that are never null")
    error = base.refused(("t", [{"x": 2}]), upsert=True, kind=ConfigurationError)
    assert "t: a of its key is not in the rows" in (error.detail or "")


def test_an_upsert_does_not_go_by_a_key_without_overlaps(pg18: Server, new_database: NewDatabase) -> None:
    name = new_database(pg18)
    base = Base(pg18, name, pg18.url(name))
    base.sql("""CREATE EXTENSION btree_gist;
        CREATE TABLE t (id int, at daterange, x int, PRIMARY KEY (id, at WITHOUT OVERLAPS))""")
    row = {"id": 1, "at": "[2026-01-01,2026-02-01)", "x": 1}
    error = base.refused(("t", [row]), upsert=True, kind=ConfigurationError)
    assert error.message.startswith("t has no primary key and no unique index")
    base.sql("ALTER TABLE t ADD COLUMN n int UNIQUE NOT NULL DEFAULT 7")
    assert base.bring(("t", [{**row, "n": 7}]), upsert=True) == {"t": (1, 1, 0, 0)}
    assert base.bring(("t", [{**row, "n": 7, "x": 2}]), upsert=True) == {"t": (1, 0, 1, 0)}


def test_a_column_that_no_table_can_have_is_told(base: Base) -> None:
    base.sql("CREATE TABLE t (id int)")
    error = base.refused(("t", [{"id": 1, "a\0": 1}]), kind=ConfigurationError)
    assert error.message == "t has no column a\0"


def test_rows_with_the_same_key_are_named_by_an_upsert(base: Base) -> None:
    base.sql("CREATE TABLE t (id int PRIMARY KEY, x int)")
    error = base.refused(("t", [{"id": 7, "x": 1}, {"id": 8, "x": 1}, {"id": 7, "x": 2}]), upsert=True)
    assert (error.message, error.detail) == ("t: rows have the same key", "rows 1, 3 (id 7)")


def test_rows_that_are_there_already_are_named_and_upsert_is_said(base: Base) -> None:
    base.sql(
        "CREATE TABLE t (a int, b text, PRIMARY KEY (a, b)); INSERT INTO t SELECT n, 'x' FROM generate_series(1, 5) n"
    )
    rows = [{"a": n, "b": "x"} for n in (9, 3, 8, 5, 7)]
    error = base.refused(("t", rows))
    assert error.exit_code == 8
    assert error.message == "t: 2 rows do not fit"
    said = 'duplicate key value violates unique constraint "t_pkey" (Key (a, b)=({}, x) already exists.)'
    assert error.detail == f"row 2 (a 3, b x): {said.format(3)}\nrow 4 (a 5, b x): {said.format(5)}"
    assert "--upsert" in (error.hint or "")


@pytest.mark.parametrize(
    ("column", "bad", "said"),
    [
        ("x int", "many", 'invalid input syntax for type integer: "many"'),
        ("x int", 2**31, 'value "2147483648" is out of range for type integer'),
        ("x varchar(3)", "four", "value too long for type character varying(3)"),
        ("x int NOT NULL", None, 'null value in column "x" of relation "t" violates not-null constraint'),
        ("x int CHECK (x > 0)", -1, 'new row for relation "t" violates check constraint "t_x_check"'),
        ("x int UNIQUE", 1, 'duplicate key value violates unique constraint "t_x_key" (Key (x)=(1) already exists.)'),
        (
            "x int REFERENCES other",
            77,
            'insert or update on table "t" violates foreign key constraint "t_x_fkey" (Key (x)=(77) is not present',
        ),
        ("x mood", "angry", 'invalid input value for enum mood: "angry"'),
        ("x word", "two words", 'value for domain word violates check constraint "word_check"'),
        ("x date", "2026-02-30", 'date/time field value out of range: "2026-02-30"'),
        ("x int[]", {"a": 1}, "expected JSON array"),
        ("x inet", "nowhere", 'invalid input syntax for type inet: "nowhere"'),
    ],
)
@pytest.mark.parametrize("upsert", [False, True])
def test_rows_that_do_not_fit_are_named(base: Base, column: str, bad: object, said: str, *, upsert: bool) -> None:
    base.sql(f"""CREATE TYPE mood AS ENUM ('glad', '1'); CREATE DOMAIN word AS text CHECK (value !~ ' ');
        CREATE TABLE other (id int PRIMARY KEY); INSERT INTO other SELECT generate_series(1, 5);
        CREATE TABLE t (id int PRIMARY KEY, {column})""")
    good = {"date": "2026-01-01", "int[]": [1], "inet": "::1", "mood": "glad"}.get(column.partition(" ")[2])
    rows: list[Row] = [{"id": n, "x": good or (n if n < 1000 and "other" not in column else 1)} for n in range(10, 200)]
    if "UNIQUE" in column:
        base.sql("INSERT INTO t VALUES (1, 1)")
    for place in (50, 51, 150):
        rows[place]["x"] = bad
    error = base.refused(("t", rows), upsert=upsert)
    assert error.message == "t: 3 rows do not fit"
    assert [line.partition(": ")[0] for line in (error.detail or "").splitlines() if line.startswith("row ")] == [
        "row 51 (id 60)",
        "row 52 (id 61)",
        "row 151 (id 160)",
    ]
    assert (error.detail or "").partition(": ")[2].startswith(said)


def test_only_so_many_rows_are_named_and_none_with_all_that_it_holds(base: Base) -> None:
    base.sql("CREATE TABLE t (id int PRIMARY KEY, secret text, x int NOT NULL)")
    error = base.refused(("t", [{"id": n, "secret": "hush", "x": None} for n in range(500)]))
    assert error.message == "t: 10 rows or more do not fit"
    assert len((error.detail or "").splitlines()) == 10
    assert "hush" not in (error.detail or "")


def test_a_line_that_is_no_object_is_named_by_its_number(base: Base) -> None:
    base.sql("CREATE TABLE t (id int)")
    with pytest.raises(RestoreFailed) as caught:
        base.put("t", [{"id": 1}, [1], {"id": 2}], first=41)  # type: ignore[list-item]
    assert (caught.value.detail or "").startswith("row 42: cannot call populate_composite on an array")


def test_what_a_trigger_raises_is_told_with_the_row(base: Base) -> None:
    base.sql("""CREATE TABLE t (id int);
        CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN IF new.id = 3 THEN RAISE 'not three' USING ERRCODE = 'ZZ001'; END IF; RETURN new; END $$;
        CREATE TRIGGER no BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION no()""")
    assert base.refused(("t", numbered(range(5)))).detail == "row 4: not three"


@pytest.mark.parametrize("upsert", [False, True])
def test_names_of_any_kind_are_taken(base: Base, *, upsert: bool) -> None:
    base.sql("""CREATE SCHEMA "s {0} 100%%s"; CREATE TYPE "s {0} 100%%s"."t {} %(x)s" AS ENUM ('x');
        CREATE TABLE "s {0} 100%%s"."a ""{x}" ("i %s {}" serial PRIMARY KEY, "x %" "s {0} 100%%s"."t {} %(x)s",
            "line" int CONSTRAINT "up {} %s" REFERENCES "s {0} 100%%s"."a ""{x}");
        CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
        CREATE TRIGGER "t {} %s" BEFORE INSERT ON "s {0} 100%%s"."a ""{x}" FOR EACH ROW EXECUTE FUNCTION f()""")
    name = """"s {0} 100%%s"."a ""{x}\""""
    before = base.states()
    rows = [{"i %s {}": 1, "x %": "x", "line": 2}, {"i %s {}": 2, "x %": "x", "line": 1}]
    assert base.bring((name, rows), upsert=upsert, disable_triggers=True) == {
        's {0} 100%%s.a "{x}': (2, 2, 0, 0),
    }
    assert base.states() == before
    error = base.refused((name, [{**rows[0], "x %": "y"}]), upsert=upsert)
    assert "row 1 (i %s {} 1): invalid input value" in (error.detail or "")


def test_an_upsert_leaves_identities_alone_that_are_always_generated(base: Base) -> None:
    base.sql("CREATE TABLE t (k text PRIMARY KEY, n int GENERATED ALWAYS AS IDENTITY, x int)")
    assert base.bring(("t", [{"k": "a", "n": 7, "x": 1}]), upsert=True) == {"t": (1, 1, 0, 0)}
    assert base.bring(("t", [{"k": "a", "n": 8, "x": 2}]), upsert=True) == {"t": (1, 0, 1, 0)}
    assert base.sql("SELECT * FROM t") == [("a", 7, 2)]


def test_a_row_that_the_encoding_of_the_server_cannot_hold_is_named(pg18: Server, new_database: NewDatabase) -> None:
    name = new_database(pg18, options="ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    base = Base(pg18, name, pg18.url(name))
    base.sql("CREATE TABLE t (id int, x text)")
    assert base.put("t", [{"id": 1, "x": "\u00e9"}], ascii_only=False) == 1
    with pytest.raises(RestoreFailed, match="t: row 2 does not fit: character with byte sequence"):
        base.put("t", [{"id": 1, "x": "\u00e9"}, {"id": 2, "x": "\u4e2d"}], ascii_only=False)
    error = base.refused(("t", [{"id": 1, "x": "\u4e2d"}]))
    assert error.message == "t: a row does not fit"


def test_values_as_text_come_by_the_form_of_their_type(base: Base) -> None:
    base.sql("""CREATE TYPE pair AS (a int, j json); CREATE DOMAIN doc AS jsonb CHECK (value IS NOT NULL);
        CREATE TABLE t (id int PRIMARY KEY, j json, d doc, a int[], p pair, js json[], v int2vector, b bytea,
            c char(4), f float8, n numeric, x varchar(3))""")
    row = {
        "id": 1,
        "j": '{"a":  "\\u0000", "a": 2}',
        "d": "[1]",
        "a": "[0:1]={1,2}",
        "p": '(1,"{""a"":  1}")',
        "js": '{"{\\"a\\":  1}",NULL}',
        "v": "3 4",
        "b": "\\xff00",
        "c": "x   ",
        "f": "-0",
        "n": "NaN",
        "x": "abc",
    }
    assert base.put("t", [row], as_text=frozenset(row)) == 1
    columns = ", ".join(f"{name}::text" for name in row if name not in {"id", "c"})
    assert base.sql(f"SELECT {columns} FROM t") == [tuple(row[name] for name in row if name not in {"id", "c"})]
    assert base.sql("SELECT octet_length(c) FROM t") == [(4,)]
    with pytest.raises(RestoreFailed, match="t: a row does not fit") as caught:
        base.put("t", [{**row, "id": 2, "x": "abcd"}], as_text=frozenset(row))
    assert caught.value.detail == "row 1 (id 2): value too long for type character varying(3)"


def test_a_row_larger_than_a_batch_comes_whole(base: Base) -> None:
    base.sql("CREATE TABLE t (id int, x text)")
    rows = [{"id": 1, "x": "a"}, {"id": 2, "x": "b" * (20 << 20)}, {"id": 3, "x": "c"}]
    assert base.bring(("t", rows)) == {"t": (3, 3, 0, 0)}
    assert base.sql("SELECT id, length(x) FROM t ORDER BY id") == [(1, 1), (2, 20 << 20), (3, 1)]


def test_json_that_the_server_cannot_take_apart_is_named(base: Base) -> None:
    base.sql("CREATE TABLE t (id int, j json)")
    error = base.refused(("t", [{"id": 1, "j": {"a": 1}}, {"id": 2, "j": {"a": "\0"}}]))
    assert error.detail is not None
    assert error.detail.startswith("row 2: unsupported Unicode escape sequence")
