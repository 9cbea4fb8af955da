"""What of a dump can be made as soon as one table is in, and what has to wait."""

from __future__ import annotations

from dataclasses import replace

from backup.domain.build_order import BuildOrder, IndexUnit, build_order, grants_of, rows_of
from backup.domain.toc import Entry, with_lanes


def entry(number: int, kind: str, *depends: int, sql: str = "", name: str = "", schema: str = "public") -> Entry:
    return Entry(number=number, kind=kind, schema=schema, name=name or f"e{number}", depends=depends, sql=sql)


TABLES = [
    entry(1, "TABLE"),
    entry(2, "TABLE", sql="CREATE TABLE public.e2 (\n    id integer\n)\nPARTITION BY RANGE (id);\n"),
    entry(3, "TABLE"),
    entry(4, "TABLE"),
    entry(5, "FUNCTION"),
    entry(11, "TABLE DATA", 1),
    entry(13, "TABLE DATA", 3),
]
ROWS_OF_4 = Entry(number=7, kind="TABLE DATA", oid=4)
"""Of another lane."""


def test_the_index_of_a_table_waits_for_its_rows_alone() -> None:
    entries = [
        *TABLES,
        entry(20, "INDEX", 1),
        entry(21, "CONSTRAINT", 1),
        entry(22, "INDEX", 1, sql="CREATE INDEX a ON b;\n\nALTER TABLE b CLUSTER ON a;\n"),
    ]
    assert build_order(entries).units == (
        IndexUnit(table=1, numbers=(20,), alone=False),
        IndexUnit(table=1, numbers=(21,), alone=True),
        IndexUnit(table=1, numbers=(22,), alone=True),
    )


def test_what_is_said_of_an_index_goes_with_it() -> None:
    entries = [*TABLES, entry(20, "INDEX", 1), entry(21, "COMMENT", 20), entry(22, "COMMENT", 1)]
    order = build_order(entries)
    assert order.units == (IndexUnit(table=1, numbers=(20, 21), alone=False),)
    assert 22 in order.last
    assert 21 not in order.last


def test_indexes_of_partitioned_tables_come_before_those_of_partitions_and_are_attached_alone() -> None:
    entries = [*TABLES, entry(20, "INDEX", 2), entry(21, "INDEX", 3, 20), entry(22, "INDEX ATTACH", 20, 21, 2, 3)]
    order = build_order(entries)
    assert order.parents == (20,)
    assert order.units == (IndexUnit(table=3, numbers=(21,), alone=False),)
    assert order.attached == (22,)


def test_an_index_that_calls_a_function_waits_for_all_rows_for_it_may_read_them() -> None:
    order = build_order([*TABLES, entry(20, "INDEX", 1, 5)])
    assert (order.units, order.late) == ((), (20,))


def test_an_index_of_a_table_without_rows_is_made_with_the_others() -> None:
    order = build_order([*TABLES, entry(20, "INDEX", 4)])
    assert (order.units, order.late) == ((), (20,))


def test_tables_whose_rows_are_in_another_lane_have_rows_and_nothing_of_that_lane_is_made() -> None:
    first = [*TABLES, entry(20, "INDEX", 4)]
    order = build_order(with_lanes([replace(each, oid=each.number) for each in first], [[ROWS_OF_4]]))
    assert order.units == (IndexUnit(table=4, numbers=(20,), alone=False),)
    assert order.last == (1, 2, 3, 4, 5, 11, 13)


def test_everything_else_comes_last_in_its_order() -> None:
    entries = [
        *TABLES,
        entry(6, "MATERIALIZED VIEW", 1),
        entry(20, "CONSTRAINT", 1),
        entry(21, "INDEX", 6),
        entry(22, "FK CONSTRAINT", 3, 1, 20),
        entry(23, "TRIGGER", 1),
        entry(24, "MATERIALIZED VIEW DATA", 6),
    ]
    order = build_order(entries)
    assert order.last == (1, 2, 3, 4, 5, 11, 13, 6, 21, 22, 23, 24)
    assert order.late == ()


def test_grants_are_apart_but_for_those_on_the_database_and_on_large_objects() -> None:
    entries = [
        *TABLES,
        entry(30, "ACL", 1, sql="GRANT SELECT ON TABLE public.e1 TO PUBLIC;\n", name="TABLE e1"),
        entry(31, "ACL", sql="GRANT …", name="DATABASE shop", schema="-"),
        entry(32, "ACL", sql="GRANT …", name="LARGE OBJECT 7", schema="-"),
        entry(33, "DEFAULT ACL", sql="ALTER DEFAULT PRIVILEGES …"),
    ]
    assert grants_of(entries) == (30, 33)


def test_every_entry_is_in_one_place() -> None:
    entries = [
        *TABLES,
        entry(20, "INDEX", 1),
        entry(21, "COMMENT", 20),
        entry(22, "INDEX", 2),
        entry(23, "INDEX", 3, 22),
        entry(24, "INDEX ATTACH", 22, 23),
        entry(25, "INDEX", 4),
        entry(26, "ACL", 1, sql="GRANT …"),
        entry(27, "FK CONSTRAINT", 1, 3),
    ]
    assert sorted(_numbers(build_order(entries))) == sorted(each.number for each in entries)


def test_rows_belong_to_tables() -> None:
    assert rows_of(TABLES) == {11: 1, 13: 3}
    assert rows_of([entry(11, "TABLE DATA", 99)]) == {}


def _numbers(order: BuildOrder) -> list[int]:
    units = [number for unit in order.units for number in unit.numbers]
    return [*order.parents, *units, *order.late, *order.attached, *order.last]
