"""The proof as a value: written, read again, cut, counted."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup.domain.proof import CONTENT, LONGEST, POSITION, ROWS, Fact, Proof, Totals, Value, kept, shown, unquoted
from backup.errors import IntegrityFailed

texts = st.text(st.characters(codec="utf-8"), max_size=30)
counts = st.integers(min_value=0, max_value=1 << 62)
places = st.tuples(st.integers(min_value=-(1 << 63), max_value=(1 << 63) - 1), st.booleans())
values: st.SearchStrategy[Value] = st.one_of(
    counts, texts, st.tuples(places, places).map(lambda pair: (min(pair), max(pair)))
)
facts = st.builds(Fact, st.sampled_from([ROWS, CONTENT, POSITION, "index", "view", "comment"]), texts)
proofs = st.builds(
    Proof,
    mode=st.sampled_from(["full", "rows"]),
    server_version=st.from_regex(r"1[0-9]\.[0-9]{1,2}", fullmatch=True),
    facts=st.dictionaries(facts, values, max_size=8),
    unproven=st.dictionaries(facts, texts, max_size=4),
    seconds=st.integers(min_value=0, max_value=10**6).map(lambda n: n / 1000),
)


def stored(**changes: Any) -> bytes:  # noqa: ANN401 -- JSON
    document = json.loads(Proof(mode="full", server_version="18.1", facts={Fact(ROWS, "public.t"): 3}).to_json())
    return json.dumps({**document, **changes}).encode()


@given(proofs)
def test_a_proof_is_read_as_it_was_written(proof: Proof) -> None:
    again = Proof.from_json(proof.to_json(), where="here")
    assert again == proof
    assert {type(value) for value in again.facts.values()} == {type(value) for value in proof.facts.values()}


@given(proofs)
def test_the_same_facts_give_the_same_bytes_in_whatever_order_they_were_found(proof: Proof) -> None:
    backwards = Proof(
        mode=proof.mode,
        server_version=proof.server_version,
        facts=dict(reversed(list(proof.facts.items()))),
        unproven=dict(reversed(list(proof.unproven.items()))),
        seconds=proof.seconds,
    )
    assert backwards.to_json() == proof.to_json()


@given(st.binary(max_size=200))
def test_bytes_that_are_no_proof_are_damage_and_no_bug(data: bytes) -> None:
    with pytest.raises(IntegrityFailed, match=r"the proof of here (is damaged|has format)"):
        Proof.from_json(data, where="here")


@pytest.mark.parametrize(
    "changes",
    [
        {"mode": "sampled"},
        {"facts": []},
        {"facts": {"rows": {"public.t": None}}},
        {"facts": {"rows": {"public.t": 1.5}}},
        {"facts": {"position": {"public.s": [[1, True]]}}},
        {"unproven": {"rows": {"public.t": 5}}},
        {"server_version": None},
    ],
    ids=json.dumps,
)
def test_a_document_with_the_wrong_things_in_it_is_damaged_and_says_where(changes: dict[str, Any]) -> None:
    with pytest.raises(IntegrityFailed, match="the proof of the backup is damaged") as caught:
        Proof.from_json(stored(**changes), where="the backup")
    assert (caught.value.detail or "").startswith(next(iter(changes)))


def test_damage_in_the_middle_is_noticed() -> None:
    data = stored()
    with pytest.raises(IntegrityFailed, match="is damaged"):
        Proof.from_json(data[: len(data) // 2], where="it")
    with pytest.raises(IntegrityFailed, match="is damaged"):
        Proof.from_json(data.replace(b"public.t", b"public.\xff"), where="it")


@pytest.mark.parametrize("version", [2, 17, "2"])
def test_a_newer_format_is_refused_as_such_whatever_else_it_holds(version: object) -> None:
    with pytest.raises(IntegrityFailed, match=f"has format {version}, this pgproof reads up to 1") as caught:
        Proof.from_json(stored(format=version, mode="sampled", facts=[]), where="it")
    assert caught.value.hint == "use a newer pgproof"


def test_keys_that_a_later_version_added_are_ignored() -> None:
    assert Proof.from_json(stored(later={"a": 1}), where="it").facts == {Fact(ROWS, "public.t"): 3}


def test_a_definition_is_kept_as_it_is_up_to_a_limit() -> None:
    assert kept("x" * LONGEST) == "x" * LONGEST


def test_a_long_definition_is_cut_and_marked_with_a_hash_of_the_whole() -> None:
    text = "SELECT '\N{LATIN SMALL LETTER E WITH ACUTE}' " * 1000
    found = kept(text)
    assert len(found) < LONGEST
    assert found.startswith(text[:200])
    assert hashlib.sha256(text.encode()).hexdigest() in found
    assert f"{len(text)} characters" in found


@given(st.integers(min_value=0, max_value=4999))
def test_long_definitions_that_differ_in_one_character_are_kept_apart(place: int) -> None:
    text = "x" * 5000
    assert kept(text) != kept(text[:place] + "y" + text[place + 1 :])


@pytest.mark.parametrize(
    ("name", "bare"),
    [
        ("public.orders", "public.orders"),
        ('public."Orders"', "public.Orders"),
        ('"a.b"."c""d"', 'a.b.c"d'),
        ('""""."."', '"..'),
        ('"', '"'),
    ],
)
def test_a_name_loses_its_quotes_and_nothing_else(name: str, bare: str) -> None:
    assert unquoted(name) == bare


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1234567, "1,234,567"),
        (0, "0"),
        ("btree (a)", "btree (a)"),
        (((5, True), (5, True)), "5"),
        (((1, False), (9, True)), "1 (not used yet) to 9"),
        (None, ""),
    ],
)
def test_a_value_is_shown_for_people(value: Value | None, text: str) -> None:
    assert shown(value) == text


def test_the_totals_count_each_table_once_and_hold_no_names() -> None:
    proof = Proof(
        mode="full",
        server_version="18.1",
        facts={
            Fact(ROWS, "a"): 10,
            Fact(CONTENT, "a"): "1",
            Fact(ROWS, "b"): 5,
            Fact("index", "b_pkey"): "btree",
        },
        unproven={
            Fact(CONTENT, "b"): "there was not enough time",
            Fact(ROWS, "c"): "permission denied",
            Fact(POSITION, "s"): "it goes round",
        },
        seconds=1.23456,
    )
    assert proof.totals == Totals(mode="full", tables=3, rows=15, fingerprinted=1, counted=1, unproven=2, seconds=1.235)
