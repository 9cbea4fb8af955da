from __future__ import annotations

import pytest

from backup.domain.row_choice import choose
from backup.domain.rows import Catalogue, Column, Key, Reference, Relation, RowsChoice, TableChoice


def table(
    oid: int, name: str, *columns: str, schema: str = "public", references: tuple[Reference, ...] = ()
) -> Relation:
    return Relation(
        oid=oid,
        schema=schema,
        name=name,
        quoted=f"{schema}.{name}",
        visible=schema == "public",
        columns=tuple(Column(name=each, type="text", type_oid=25) for each in columns),
        keys=(Key(columns=("id",), primary=True),),
        references=references,
    )


USERS = table(1, "users", "id", "name", "Reset_TOKEN")
MAIL = table(
    2,
    "mail",
    "id",
    "sender",
    "receiver",
    references=(
        Reference(name="s", columns=("sender",), to=1, to_columns=("id",)),
        Reference(name="r", columns=("receiver",), to=1, to_columns=("id",)),
    ),
)
OLD_USERS = table(3, "users", "id", schema="old")
CATALOGUE = Catalogue(role="app", relations=(MAIL, OLD_USERS, USERS))


def texts(choice: RowsChoice) -> list[str]:
    return [each.text for each in choose(choice, CATALOGUE).problems]


def labels(*only: str) -> list[str]:
    return [each.label for each in choose(RowsChoice(only=only), CATALOGUE).tables]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("users", ["users"]),
        ("USERS", ["users"]),
        ("*.users", ["old.users", "users"]),
        ("old.*", ["old.users"]),
        ("*", ["mail", "users"]),
        ("?ail", ["mail"]),
        ('"users"', ["users"]),
        ("db.old.users", ["old.users"]),
    ],
)
def test_a_pattern_means_what_it_means_to_psql(pattern: str, expected: list[str]) -> None:
    assert labels(pattern) == expected


@pytest.mark.parametrize("pattern", ['"Users"', "userss", "new.users"])
def test_a_name_that_nothing_has_is_told_with_the_nearest(pattern: str) -> None:
    (text,) = texts(RowsChoice(only=(pattern,)))
    assert text.startswith(f"there is no table {pattern}")


def test_a_pattern_that_cannot_be_read_is_told() -> None:
    assert texts(RowsChoice(only=("(",))) == ["'(' is no pattern of tables"]


def test_secrets_are_found_in_any_case_and_come_only_when_named() -> None:
    (chosen,) = choose(RowsChoice(only=("users",)), CATALOGUE).tables
    assert ([each.name for each in chosen.columns], chosen.left_out) == (["id", "name"], ("Reset_TOKEN",))
    named = TableChoice(columns=("Reset_TOKEN", "id"))
    (chosen,) = choose(RowsChoice(tables={"users": named}), CATALOGUE).tables
    assert [each.name for each in chosen.columns] == ["Reset_TOKEN", "id"]
    assert (chosen.left_out, chosen.asked_for) == ((), ("Reset_TOKEN",))


def test_of_several_foreign_keys_one_must_be_named() -> None:
    several = RowsChoice(tables={"users": TableChoice(include={"mail": TableChoice()})})
    assert texts(several) == ["mail can be included in users by several foreign keys"]
    assert choose(several, CATALOGUE).problems[0].hint == "say which one, by: [sender] or [receiver]"
    named = RowsChoice(tables={"users": TableChoice(include={"mail": TableChoice(by=("receiver",))})})
    (chosen,) = choose(named, CATALOGUE).tables
    assert chosen.nested[0].pairs == (("id", "receiver"),)


def test_since_column_must_be_a_time() -> None:
    assert texts(RowsChoice(tables={"users": TableChoice(since_column="name")})) == [
        "users: since_column name is of type text, it must be a time or a date"
    ]


def test_of_the_tables_of_a_pattern_one_must_have_a_column_that_is_left_out() -> None:
    found = choose(RowsChoice(tables={"*.*": TableChoice(exclude=("sender",))}), CATALOGUE)
    assert found.problems == ()
    assert {each.label: each.left_out for each in found.tables if "sender" in each.left_out} == {"mail": ("sender",)}
    assert "sendr" in texts(RowsChoice(tables={"*.*": TableChoice(exclude=("sendr",))}))[0]


def test_two_rows_of_one_name_are_not_included_in_another() -> None:
    other = table(
        4,
        "mail",
        "id",
        "to",
        schema="new",
        references=(Reference(name="t", columns=("to",), to=1, to_columns=("id",)),),
    )
    included = {"mail": TableChoice(by=("sender",)), "new.mail": TableChoice()}
    choice = RowsChoice(tables={"users": TableChoice(include=included)})
    found = choose(choice, Catalogue(role="app", relations=(MAIL, other, USERS)))
    assert [each.text for each in found.problems] == ["users has mail already, so no rows can be included by that name"]


def test_a_range_of_times_tells_nothing_of_the_last_change() -> None:
    ranged = Relation(
        oid=9,
        schema="public",
        name="t",
        quoted="public.t",
        columns=(
            Column(name="id", type="integer", type_oid=23),
            Column(name="during", type="daterange", type_oid=3912),
        ),
    )
    choice = RowsChoice(tables={"t": TableChoice(since_column="during")})
    (problem,) = choose(choice, Catalogue(role="app", relations=(ranged,))).problems
    assert "is of type daterange, it must be a time or a date" in problem.text
