"""SQL read as far as its lexical structure goes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup.domain.sql import comment_starts, identifier, quote_identifier, roles_in, statements, with_database


def texts_of(sql: str) -> list[str]:
    return [text for text, _ in statements(sql)]


def tokens_of(sql: str) -> list[str]:
    ((_, tokens),) = statements(sql)
    return tokens


@pytest.mark.parametrize(
    "literal",
    [
        "'a;b'",
        "'it''s; \"x\"'",
        r"'back\'",
        r"E'it\'s;'",
        r"e'\\'",
        "$$a;'b$$",
        "$fn$ $$;$$ $$ $fn$",
        "$_$ $1; $_$",
        '"a;b"',
        '"say ""x;"""',
        "U&'d\\0061t;'",
        "'--'",
        "'/*'",
        "$$--\n;$$",
        "'two\n--lines;'",
    ],
)
def test_a_semicolon_in_quotes_ends_nothing(literal: str) -> None:
    assert texts_of(f"SELECT {literal};SELECT 2;") == [f"SELECT {literal}", "SELECT 2"]


@pytest.mark.parametrize("comment", ["-- a; 'b\n", "/* a; 'b */", "/* two\nlines; */", "--\n", "-- $$\n"])
def test_comments_are_no_tokens_and_end_nothing(comment: str) -> None:
    (found,) = statements(f"{comment}SELECT 1 {comment} ;")
    assert found[1] == ["SELECT", "1"]


def test_a_name_may_have_dollars_and_then_a_quote_begins() -> None:
    assert tokens_of("SELECT a$b, $1, $2 FROM t$") == ["SELECT", "a$b", ",", "$", "1", ",", "$", "2", "FROM", "t$"]


def test_lines_of_psql_count_as_nothing_whatever_quotes_they_hold() -> None:
    script = "\\restrict abc'd\nSELECT 1;\n\\connect -reuse-previous=on \"dbname='it''s'\"\nSELECT 2;\n\\unrestrict x"
    assert texts_of(script) == ["SELECT 1", "SELECT 2"]


def test_the_last_statement_needs_no_semicolon() -> None:
    assert texts_of("SELECT 1;\nSELECT 2\n") == ["SELECT 1", "SELECT 2"]
    assert texts_of(" \n-- only a comment") == []


def test_comments_are_found_but_not_in_strings() -> None:
    script = "-- one\nSELECT '-- no', $$\n-- no\n$$, \"-- no\"; -- two\n\\connect -- no\n-- three"
    assert [script[start:].split("\n", maxsplit=1)[0] for start in comment_starts(script)] == [
        "-- one",
        "-- two",
        "-- three",
    ]


@given(st.text(st.characters(exclude_characters="\0"), min_size=1))
def test_a_quoted_name_is_one_token_and_means_itself(name: str) -> None:
    (token,) = tokens_of(quote_identifier(name))
    assert identifier(token) == name


def test_a_name_that_is_not_quoted_is_in_lower_case() -> None:
    assert identifier("Shop") == "shop"


@pytest.mark.parametrize(
    ("sql", "roles"),
    [
        ('ALTER TABLE public."a b" OWNER TO "Ann"', {"Ann"}),
        ("ALTER TABLE t ALTER COLUMN c SET DEFAULT 'OWNER TO x'", set()),
        ("GRANT SELECT,INSERT ON TABLE t TO ann WITH GRANT OPTION", {"ann"}),
        ("REVOKE ALL ON FUNCTION f() FROM PUBLIC", set()),
        ('REVOKE ALL ON TABLE t FROM "Bob"', {"Bob"}),
        ("ALTER DEFAULT PRIVILEGES FOR ROLE ann IN SCHEMA s GRANT SELECT ON TABLES TO bob", {"ann", "bob"}),
        ("ALTER DEFAULT PRIVILEGES FOR ROLE ann REVOKE ALL ON TABLES FROM ann", {"ann"}),
        ("CREATE POLICY p ON t TO ann, \"B,c\" USING ((a = 'TO x'))", {"ann", "B,c"}),
        ("CREATE POLICY p ON t FOR SELECT USING (true)", set()),
        ("CREATE POLICY p ON t AS RESTRICTIVE TO PUBLIC WITH CHECK (true)", set()),
        ("CREATE USER MAPPING FOR ann SERVER s OPTIONS (x 'TO y')", {"ann"}),
        ("CREATE USER MAPPING FOR PUBLIC SERVER s", set()),
        ("ALTER ROLE ann IN DATABASE shop SET work_mem TO '1MB'", {"ann"}),
        ("SET SESSION AUTHORIZATION 'ann'", {"ann"}),
        ('SET SESSION AUTHORIZATION "Ann"', {"Ann"}),
        ("SET SESSION AUTHORIZATION DEFAULT", set()),
        ("CREATE TABLE t (a int)", set()),
    ],
)
def test_the_roles_of_a_statement_are_found(sql: str, roles: set[str]) -> None:
    assert roles_in(tokens_of(sql)) == roles


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("CREATE DATABASE shop WITH TEMPLATE = template0", 'CREATE DATABASE "n""ew" WITH TEMPLATE = template0'),
        ("ALTER DATABASE \"a b\" SET x TO 'DATABASE c'", 'ALTER DATABASE "n""ew" SET x TO \'DATABASE c\''),
        ("ALTER ROLE ann IN DATABASE shop SET x TO y", 'ALTER ROLE ann IN DATABASE "n""ew" SET x TO y'),
        ("ALTER ROLE database IN DATABASE shop SET x TO y", 'ALTER ROLE database IN DATABASE "n""ew" SET x TO y'),
        ("ALTER DATABASE database SET x TO y", 'ALTER DATABASE "n""ew" SET x TO y'),
        ("GRANT CONNECT ON DATABASE shop TO ann", 'GRANT CONNECT ON DATABASE "n""ew" TO ann'),
        ("COMMENT ON DATABASE shop IS 'x'", 'COMMENT ON DATABASE "n""ew" IS \'x\''),
    ],
)
def test_a_statement_about_a_database_can_be_about_another(sql: str, expected: str) -> None:
    assert with_database(sql, 'n"ew') == expected


def test_a_statement_about_no_database_cannot() -> None:
    with pytest.raises(ValueError, match="no database"):
        with_database("SELECT 1", "x")
