"""Two proofs held against each other: what differs, what does not matter, and how it is told."""

from __future__ import annotations

import pytest
from hypothesis import given

from backup.domain.comparison import Difference, Scope, compare, differences
from backup.domain.proof import CONTENT, LARGE_OBJECT, LARGE_OBJECTS, POSITION, ROWS, Fact, Facts, Mode, Proof, Value
from tests.domain.test_proof import proofs

ORDERS, ITEMS = "public.orders", 'public."Items"'
HELD: Facts = {
    Fact(ROWS, ORDERS): 10,
    Fact(CONTENT, ORDERS): "123",
    Fact(ROWS, ITEMS): 2,
    Fact(CONTENT, ITEMS): "-5",
    Fact("index", "public.orders_pkey"): "btree (id)",
    Fact("comment", "large object 5"): "a picture",
    Fact(LARGE_OBJECTS, ""): "1 objects, 3 bytes, 77",
    Fact(LARGE_OBJECT, "5"): "3 bytes, md5 x",
}


def proof(facts: Facts, unproven: dict[Fact, str] | None = None, *, mode: Mode = "full") -> Proof:
    return Proof(mode=mode, server_version="18.1", facts=facts, unproven=unproven or {})


def changed(changes: dict[Fact, Value | None]) -> Facts:
    return {fact: value for fact, value in {**HELD, **changes}.items() if value is not None}


def texts(expected: Facts, found: Facts, *unproven: Fact, scope: Scope | None = None) -> list[str]:
    return [each.text for each in differences(expected, found, unproven=unproven, scope=scope)]


@given(proofs)
def test_what_is_equal_does_not_differ(held: Proof) -> None:
    assert list(differences(held.facts, held.facts)) == []
    assert not compare(held, held).differs


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({Fact(ROWS, ORDERS): 9}, "rows public.orders: expected 10, found 9"),
        ({Fact(CONTENT, ORDERS): "124"}, "content public.orders: expected 123, found 124"),
        ({Fact("index", "public.orders_pkey"): None}, "index public.orders_pkey is missing"),
        ({Fact("index", "public.more"): "hash (id)"}, "index public.more was not there"),
        ({Fact(LARGE_OBJECT, "5"): "3 bytes, md5 y"}, "large object 5: expected 3 bytes, md5 x, found 3 bytes, md5 y"),
    ],
    ids=["rows", "content", "missing", "too much", "large object"],
)
def test_each_difference_is_told_by_name(changes: dict[Fact, Value | None], told: str) -> None:
    assert texts(HELD, changed(changes)) == [told]
    assert not compare(proof(HELD), proof(changed(changes))).proves


def test_a_missing_table_says_how_many_rows_it_had() -> None:
    found = changed({Fact(ROWS, ORDERS): None, Fact(CONTENT, ORDERS): None})
    assert "rows public.orders is missing (10)" in texts(HELD, found)


def test_of_long_definitions_the_place_where_they_differ_is_shown() -> None:
    (text,) = texts({Fact("view", "v"): "a" * 500 + "b" * 500}, {Fact("view", "v"): "a" * 500 + "c" * 500})
    assert len(text) < 300
    assert "…" in text
    assert "ab" in text
    assert "ac" in text


@pytest.mark.parametrize(
    ("found", "lies_within"),
    [
        ((5, True), True),
        ((1, False), True),
        ((1, True), True),
        ((9, True), True),
        ((3, False), True),
        ((10, False), False),
        ((0, True), False),
    ],
)
def test_a_restored_sequence_lies_within_what_was_read_before_and_after(
    found: tuple[int, bool], *, lies_within: bool
) -> None:
    fact = Fact(POSITION, "public.s")
    expected: Facts = {fact: ((1, False), (9, True))}
    assert (texts(expected, {fact: (found, found)}) == []) is lies_within


def test_a_sequence_of_a_quiet_database_must_be_equal() -> None:
    fact = Fact(POSITION, "public.s")
    expected: Facts = {fact: ((7, True), (7, True))}
    assert texts(expected, {fact: ((7, False), (7, False))}) != []
    assert texts(expected, {fact: ((8, True), (8, True))}) == ["position public.s: expected 7, found 8"]


def test_a_fact_that_one_side_could_not_find_out_is_no_difference() -> None:
    found = changed({Fact(ROWS, ORDERS): 0, Fact(CONTENT, ORDERS): "0"})
    assert texts(HELD, found, Fact(ROWS, ORDERS), Fact(CONTENT, ORDERS)) == []


def test_a_table_of_which_nothing_is_known_has_no_fingerprint_to_miss() -> None:
    unknown = changed({Fact(ROWS, ORDERS): None, Fact(CONTENT, ORDERS): None})
    hollow = changed({Fact(ROWS, ORDERS): 0, Fact(CONTENT, ORDERS): "0"})
    assert texts(unknown, hollow, Fact(ROWS, ORDERS)) == []
    assert texts(hollow, unknown, Fact(ROWS, ORDERS)) == []


def test_a_table_that_was_only_counted_agrees_by_its_rows() -> None:
    counted = changed({Fact(CONTENT, ORDERS): None})
    assert texts(HELD, counted) == []
    assert texts(counted, changed({Fact(ROWS, ORDERS): 11})) == ["rows public.orders: expected 10, found 11"]


def test_a_kind_that_could_not_be_found_out_is_no_difference_in_any_name() -> None:
    found = changed({Fact("index", "public.orders_pkey"): None})
    assert texts(HELD, found, Fact("index", "")) == []


def test_large_objects_that_could_not_be_read_are_not_missing_one_by_one() -> None:
    found = changed({Fact(LARGE_OBJECTS, ""): None, Fact(LARGE_OBJECT, "5"): None})
    assert texts(HELD, found, Fact(LARGE_OBJECTS, "")) == []


def test_too_many_large_objects_on_one_side_differ_once_and_not_by_number() -> None:
    found = changed({Fact(LARGE_OBJECTS, ""): "20000 objects, 60000 bytes, 1", Fact(LARGE_OBJECT, "5"): None})
    assert [text.partition(":")[0] for text in texts(HELD, found)] == ["large objects"]


def test_large_objects_that_are_gone_are_each_named() -> None:
    found = changed({Fact(LARGE_OBJECTS, ""): "0 objects, 0 bytes, 0", Fact(LARGE_OBJECT, "5"): None})
    assert "large object 5 is missing" in texts(HELD, found)


@pytest.mark.parametrize("kind", ["extension version", "tablespace"])
def test_what_is_the_servers_own_affair_is_noted_and_disproves_nothing(kind: str) -> None:
    compared = compare(proof({Fact(kind, "x"): "1.0"}), proof({Fact(kind, "x"): "1.1"}))
    assert compared.differences == (Difference(kind=kind, name="x", expected="1.0", found="1.1", noted=True),)
    assert compared.proves


def test_kinds_can_be_left_out_or_be_the_only_ones() -> None:
    found = changed({Fact(ROWS, ORDERS): 9, Fact("index", "public.orders_pkey"): "hash (id)"})
    assert len(texts(HELD, found)) == 2
    assert texts(HELD, found, scope=Scope(without=frozenset({"index"}))) == ["rows public.orders: expected 10, found 9"]
    assert [each.kind for each in differences(HELD, found, scope=Scope(only=frozenset({"index"})))] == ["index"]


def test_of_chosen_tables_the_rows_count_and_those_of_others_and_large_objects_do_not() -> None:
    scope = Scope(tables=frozenset({"public.Items"}))
    found = changed(
        {
            Fact(ROWS, ORDERS): 0,
            Fact(CONTENT, ORDERS): "0",
            Fact(LARGE_OBJECTS, ""): "0 objects, 0 bytes, 0",
            Fact(LARGE_OBJECT, "5"): None,
            Fact("comment", "large object 5"): None,
        }
    )
    assert texts(HELD, found, scope=scope) == []
    assert texts(HELD, changed({Fact(CONTENT, ITEMS): "6"}), scope=scope) == [
        'content public."Items": expected -5, found 6'
    ]
    compared = compare(proof(HELD), proof(found), scope)
    assert (compared.tables, compared.rows) == (1, 2)


LEFT = Scope(left_out=frozenset({"public.sessions", "audit."}))


@pytest.mark.parametrize(
    ("fact", "value", "noted"),
    [
        (Fact("relation", "public.sessions"), "kind r", True),
        (Fact("index", "public.by_user"), "CREATE INDEX by_user ON public.sessions USING btree (u)", True),
        (Fact("constraint", "k on public.orders"), "FOREIGN KEY (s) REFERENCES public.sessions(id)", True),
        (Fact("column", "public.sessions.id"), "integer", True),
        (Fact("schema", "audit"), "", True),
        (Fact("routine", "audit.note()"), "CREATE FUNCTION audit.note()", True),
        (Fact("relation", "public.sessions_old"), "kind r", False),
        (Fact("relation", "other.public.sessions"), "kind r", False),
        (Fact("index", "public.orders_pkey"), "CREATE UNIQUE INDEX orders_pkey ON public.orders", False),
        (Fact("schema", "auditing"), "", False),
        (Fact(ROWS, "public.customers"), 3, False),
    ],
)
def test_of_what_a_dump_left_out_nothing_is_missed_and_of_the_rest_everything(
    fact: Fact, value: str | int, *, noted: bool
) -> None:
    (difference,) = compare(proof({**HELD, fact: value}), proof(HELD), LEFT).differences
    assert difference.noted is noted


def test_what_is_wrong_or_too_much_disproves_also_where_something_was_left_out() -> None:
    assert not compare(proof(HELD), proof(changed({Fact(ROWS, ORDERS): 9})), LEFT).proves
    assert not compare(proof(HELD), proof(changed({Fact("index", "more"): "x"})), LEFT).proves


def test_of_a_sample_only_foreign_keys_may_be_missing() -> None:
    scope = Scope(cut_keys=True)
    key, check = Fact("constraint", "k on public.t"), Fact("constraint", "c on public.t")
    assert compare(proof({**HELD, key: "FOREIGN KEY (a) REFERENCES public.u(a)"}), proof(HELD), scope).proves
    assert not compare(proof({**HELD, check: "CHECK (a > 0)"}), proof(HELD), scope).proves


def test_a_table_that_is_known_and_could_not_be_read_again_is_not_proven() -> None:
    found = changed({Fact(ROWS, ORDERS): None, Fact("content", ORDERS): None})
    compared = compare(proof(HELD), proof(found, unproven={Fact(ROWS, ORDERS): "no time"}))
    assert (compared.differs, compared.proves) == (False, False)
    assert "could not be read" in compared.text


def test_a_comparison_says_what_it_proved() -> None:
    assert compare(proof(HELD), proof(HELD)).text == "proven: every value of 2 tables, 12 rows"
    assert compare(proof(HELD, mode="rows"), proof(HELD)).text == "proven: the number of rows of 2 tables, 12 rows"
    one = {Fact(ROWS, ORDERS): 1234}
    assert compare(proof(one), proof(one)).text == "proven: every value of 1 table, 1,234 rows"


def test_a_comparison_says_of_how_much_it_knows_nothing() -> None:
    compared = compare(proof(HELD, {Fact(ROWS, "public.secret"): "permission denied"}), proof(HELD))
    assert compared.proves
    assert compared.text.endswith(", but of 1 fact nothing is known")
    assert compared.unproven == {Fact(ROWS, "public.secret"): "permission denied"}


def test_a_comparison_counts_what_disproves_and_not_what_is_noted() -> None:
    found = changed({Fact(ROWS, ORDERS): 9, Fact("tablespace", "public.t"): "fast"})
    assert compare(proof(HELD), proof(found)).text == "1 difference from what the snapshot held"
    found = changed({Fact(ROWS, ORDERS): 9, Fact(CONTENT, ORDERS): "9"})
    assert compare(proof(HELD), proof(found)).text == "2 differences from what the snapshot held"
