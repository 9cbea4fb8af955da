"""Who has what of a dump in lanes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup.domain.lanes import LARGE, MOST_JOBS, Balance, Table, balance, choose_jobs, lane_name
from backup.domain.patterns import excluded

MIB = 1 << 20


def table(name: str, size: int) -> Table:
    return Table(schema="public", name=name, bytes=size)


def names(found: Balance) -> list[list[str]]:
    return [[each.name for each in lane] for lane in found.lanes]


def test_the_largest_goes_first_and_each_to_the_lane_that_has_least() -> None:
    tables = [table(f"t{size}", size * MIB) for size in (10, 70, 40, 60, 30)]
    found = balance(tables, jobs=2)
    assert names(found) == [["t60", "t40"]]
    assert found.bytes == (110 * MIB, 100 * MIB)
    assert not found.bounded


def test_lane_0_has_small_tables_and_large_objects_and_is_spared_for_them() -> None:
    tables = [table("large", 50 * MIB), *(table(f"small{n}", LARGE - 1) for n in range(10))]
    found = balance(tables, jobs=2, rest=100 * MIB)
    assert names(found) == [["large"]]
    assert found.bytes == (100 * MIB + 10 * (LARGE - 1), 50 * MIB)


def test_no_lane_is_empty_but_lane_0() -> None:
    assert names(balance([table("one", 50 * MIB)], jobs=4, rest=MIB)) == [["one"]]
    assert balance([table("one", MIB)], jobs=4) == Balance(lanes=(), bytes=(MIB,))
    assert balance([], jobs=1) == Balance(lanes=(), bytes=(0,))


def test_a_single_large_table_bounds_the_gain_and_it_is_said() -> None:
    found = balance([table("huge", 1000 * MIB), table("other", 10 * MIB)], jobs=3)
    assert found.bounded
    assert found.shares == "1000 MiB + 10 MiB"


@given(st.lists(st.integers(min_value=0, max_value=1 << 40), max_size=300), st.integers(1, MOST_JOBS))
def test_every_table_is_in_one_lane_and_no_lane_is_much_longer_than_it_must_be(sizes: list[int], jobs: int) -> None:
    tables = [table(str(number), size) for number, size in enumerate(sizes)]
    found = balance(tables, jobs=jobs)
    assert sum(found.bytes) == sum(sizes)
    assert len(set(found.apart)) == len(found.apart)
    assert all(found.lanes)
    assert len(found.bytes) == len(found.lanes) + 1 <= jobs + (jobs == 0)
    assert list(found.bytes[1:]) == [sum(each.bytes for each in lane) for lane in found.lanes]
    small = sum(sorted(sizes, reverse=True)[200:]) + sum(size for size in sizes if size < LARGE)
    assert max(found.bytes) <= sum(sizes) / jobs + max(sizes, default=0) + small


@pytest.mark.parametrize(
    ("wanted", "mib", "cores", "jobs"),
    [
        (None, 100, 4, 1),
        (None, 300, 1, 1),
        (None, 300, 2, 2),
        (None, 300_000, 4, 2),
        (1, 300_000, 4, 1),
        (4, 1, 1, 4),
        (99, 1, 1, MOST_JOBS),
    ],
)
def test_small_databases_and_single_cores_have_one_lane_unless_somebody_wants_more(
    wanted: int | None, mib: int, cores: int, jobs: int
) -> None:
    assert choose_jobs(wanted, database_bytes=mib * MIB, cores=cores) == jobs


def test_a_pattern_means_its_table_alone() -> None:
    odd = Table(schema='My "own" schema', name="a.b*c?[d]$|e", bytes=0)
    assert odd.pattern == '"My ""own"" schema"."a.b*c?[d]$|e"'
    ((schema, name),) = excluded((), (odd.pattern,))
    assert (schema, name) == (r'^(My "own" schema)$', r"^(a\.b\*c\?\[d\]\$\|e)$")


def test_the_first_lane_has_the_name_that_a_dump_always_had() -> None:
    assert [lane_name(number) for number in range(3)] == ["dump.pgc", "dump.1.pgc", "dump.2.pgc"]
