"""The table of contents of an archive: read, and chosen from."""

from __future__ import annotations

import pytest

from backup.domain.toc import Entry, droppable, find_tables, parse, select
from backup.errors import NotFound

_LISTING = """;
; Archive created at 2026-11-22 10:31:53 UTC
;     TOC Entries: 4
;
1; 0 0 ENCODING - ENCODING\x20
2; 1262 16384 DATABASE - shop postgres
3; 1259 16385 TABLE public a; b postgres
;	depends on: 7 8
4; 0 16385 TABLE DATA public a; b postgres
;	depends on: 3
"""
_SCRIPT = """--
-- PostgreSQL database dump
--

\\restrict x'

SET client_encoding = 'UTF8';

--
-- TOC entry 2 (class 1262 OID 16384)
-- Name: shop; Type: DATABASE; Schema: -; Owner: postgres
-- Data Pos: 0
--

CREATE DATABASE shop;

\\connect shop

--
-- TOC entry 3 (class 1259 OID 16385)
-- Dependencies: 7 8
-- Name: a; b; Type: TABLE; Schema: public; Owner: it's; Tablespace: fast
--

CREATE TABLE public."a; b" ();

\\unrestrict x'
"""


def entry(number: int, kind: str, *depends: int, schema: str = "public", name: str = "") -> Entry:
    return Entry(number=number, kind=kind, depends=depends, schema=schema, name=name or f"n{number}", sql="-")


def test_listing_and_script_are_read_together() -> None:
    encoding, database, table, data = parse(_LISTING, _SCRIPT)
    assert (encoding.kind, database.kind, data.kind) == ("ENCODING", "DATABASE", "TABLE DATA")
    assert database.of_database
    assert (table.schema, table.name, table.owner, table.tablespace) == ("public", "a; b", "it's", "fast")
    assert (table.depends, data.depends) == ((7, 8), (3,))
    assert 'CREATE TABLE public."a; b" ();' in table.sql
    assert "\n-- TOC" not in database.sql


def test_a_script_without_entries_gives_none() -> None:
    assert [each.sql for each in parse(_LISTING, "SET x = y;\n")] == [""] * 4


TABLES = [
    entry(1, "TABLE", name="orders"),
    entry(2, "TABLE", name="Orders"),
    entry(3, "TABLE", schema="archive", name="orders"),
    entry(4, "TABLE", schema="s", name='we"ird x'),
    entry(5, "VIEW", name="only_a_view"),
]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("public.orders", 1),
        ("Orders", 2),
        ('public."Orders"', 2),
        ('"Orders"', 2),
        ("archive.orders", 3),
        ('we"ird x', 4),
        ('"we""ird x"', 4),
        ('s."we""ird x"', 4),
        ('we"ird\nx', 4),
    ],
)
def test_tables_are_found_by_their_names(text: str, number: int) -> None:
    assert list(find_tables(TABLES, [text])) == [number]


def test_an_ambiguous_name_lists_what_it_may_mean() -> None:
    with pytest.raises(NotFound, match=r"several tables: public\.orders, archive\.orders"):
        find_tables(TABLES, ["orders"])


@pytest.mark.parametrize(("text", "near"), [("ordres", "public.orders"), ("ARCHIVE.ORDERS", "archive.orders")])
def test_an_unknown_name_gets_the_nearest(text: str, near: str) -> None:
    with pytest.raises(NotFound) as caught:
        find_tables(TABLES, [text])
    assert near in (caught.value.hint or "")


def test_where_nothing_is_near_the_number_of_tables_is_said() -> None:
    with pytest.raises(NotFound) as caught:
        find_tables(TABLES, ["zzzzzz"])
    assert (caught.value.hint or "").startswith("it has 4 tables: public.orders, public.Orders, ")
    with pytest.raises(NotFound) as caught:
        find_tables([entry(number, "TABLE") for number in range(11)], ["zzzzzz"])
    assert caught.value.hint == "it has 11 tables, none is called alike"


@pytest.mark.parametrize(("count", "hint"), [(0, "it has none"), (1, "it has only public.n0")])
def test_of_few_tables_all_are_named(count: int, hint: str) -> None:
    with pytest.raises(NotFound) as caught:
        find_tables([entry(number, "TABLE") for number in range(count)], ["zzzzzz"])
    assert caught.value.hint == hint


def test_a_view_is_no_table() -> None:
    with pytest.raises(NotFound):
        find_tables(TABLES, ["only_a_view"])


def test_what_needs_an_entry_that_is_left_out_is_left_out_too() -> None:
    entries = [
        entry(1, "TABLE"),
        entry(2, "TABLE"),
        entry(3, "TABLE DATA", 1),
        entry(4, "TABLE DATA", 2),
        entry(5, "INDEX", 1),
        entry(6, "COMMENT", 5),
        entry(7, "PUBLICATION"),
        entry(8, "PUBLICATION TABLE", 7, 1),
        entry(9, "FK CONSTRAINT", 1, 2, name="to_2"),
        entry(10, "FK CONSTRAINT", 1, 5, name="to_itself"),
        entry(11, "EVENT TRIGGER"),
        entry(12, "FUNCTION"),
        entry(13, "TRIGGER", 1, 12),
        entry(14, "BLOB METADATA"),
        entry(15, "BLOBS", 14),
        entry(16, "ACL", 14, name="LARGE OBJECTS 5..6"),
        entry(17, "MATERIALIZED VIEW", 1),
        entry(18, "MATERIALIZED VIEW DATA", 17),
        entry(19, "SEQUENCE", 1),
        entry(20, "SEQUENCE SET", 19),
        entry(21, "SEQUENCE", 2),
        entry(22, "SEQUENCE SET", 21),
    ]
    selection = select(entries, [1])
    assert sorted(selection.numbers) == [1, 2, 3, 5, 6, 10, 12, 13, 17, 19, 20, 21]
    assert selection.cut_keys == ("public.to_2",)


def test_partitions_of_partitions_come_along() -> None:
    entries = [
        entry(1, "TABLE", name="top"),
        entry(2, "TABLE", name="mid"),
        entry(3, "TABLE", name="leaf"),
        entry(4, "TABLE", name="other"),
        entry(5, "TABLE ATTACH", 3, 2, name="leaf"),
        entry(6, "TABLE ATTACH", 2, 1, name="mid"),
        *(entry(10 + number, "TABLE DATA", number) for number in (1, 2, 3, 4)),
    ]
    assert {11, 12, 13} == select(entries, [1]).numbers - {1, 2, 3, 4, 5, 6}
    assert {13} == select(entries, [3]).numbers - {1, 2, 3, 4, 5, 6}


def test_the_index_of_a_partition_alone_needs_none_above_it() -> None:
    entries = [
        entry(1, "TABLE"),
        entry(2, "TABLE"),
        entry(3, "INDEX", 1),
        entry(4, "INDEX", 2, 3),
        entry(5, "CONSTRAINT", 1),
        entry(6, "CONSTRAINT", 2, 5),
        entry(7, "INDEX ATTACH", 3, 4),
    ]
    assert select(entries, [2]).numbers == {1, 2, 4, 6}


def test_keys_of_partitioned_tables_are_dropped_before_those_of_their_partitions() -> None:
    entries = [
        entry(1, "TABLE"),
        entry(2, "CONSTRAINT", 1, name="top"),
        entry(3, "INDEX", 1),
        entry(4, "CONSTRAINT", 1, 2, name="mid"),
        entry(5, "CONSTRAINT", 1, name="alone"),
        entry(6, "CONSTRAINT", 1, 4, name="leaf"),
        entry(7, "RULE", 2),
    ]
    ordered = [each.number for each in droppable(entries)]
    assert ordered.index(6) < ordered.index(4) < ordered.index(2)
    assert [ordered[0], ordered[2], ordered[-1]] == [1, 3, 7]
    assert sorted(ordered) == [1, 2, 3, 4, 5, 6, 7]
