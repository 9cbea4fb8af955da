"""When a backup is suspect: the rule itself, by figures alone."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from backup.domain.guard import BASELINE, FEWEST, Measure, Suspicion, Tolerance, suspect
from backup.domain.patterns import excluded
from backup.domain.proof import CONTENT, ROWS, Fact, Value

ORDERS = "public.orders"
USUAL = {ORDERS: 10_000, "public.customers": 2000}


def measure(
    size: int = 1000, rows: Mapping[str, int] | None = None, *, unproven: tuple[str, ...] = (), accepted: bool = False
) -> Measure:
    """A backup of so many bytes, with tables of so many rows; without any nothing is known of them."""
    facts: dict[Fact, Value] = {Fact(ROWS, name): count for name, count in (rows or {}).items()}
    facts |= {Fact(CONTENT, name): "0" * 16 for name in rows or {}}
    return Measure(
        bytes=size, facts=facts, unproven={Fact(ROWS, name): "no time" for name in unproven}, accepted=accepted
    )


def judge(new: Measure, *before: Measure, shrink: int = 50, ignore: tuple[str, ...] = ()) -> Suspicion:
    return suspect(new, before, Tolerance(shrink=shrink, ignore=excluded((), ignore)))


def tables(found: Suspicion) -> list[str]:
    return [each.name for each in found.tables]


def usual(count: int = BASELINE) -> list[Measure]:
    return [measure(1000, USUAL) for _ in range(count)]


def test_a_backup_like_those_before_it_is_not_suspect() -> None:
    assert not judge(measure(1000, USUAL), *usual())
    assert not judge(measure(9000, {name: 9 * rows for name, rows in USUAL.items()}), *usual())


@pytest.mark.parametrize(("now", "is_suspect"), [(500, False), (499, True), (0, True)])
def test_a_dump_may_lose_half_of_its_bytes_and_not_more(now: int, *, is_suspect: bool) -> None:
    assert bool(judge(measure(now), *(measure(1000) for _ in range(5)))) is is_suspect


@pytest.mark.parametrize(("now", "is_suspect"), [(5000, False), (4999, True), (0, True)])
def test_a_large_table_may_lose_half_of_its_rows_and_not_more(now: int, *, is_suspect: bool) -> None:
    found = judge(measure(1000, {**USUAL, ORDERS: now}), *usual())
    assert tables(found) == [ORDERS] * is_suspect
    assert found.size == ""


def test_how_much_may_be_lost_can_be_set_and_with_100_it_is_everything() -> None:
    lost = measure(300, {ORDERS: 3000, "public.customers": 0})
    assert tables(judge(lost, *usual(), shrink=80)) == ["public.customers"]
    assert judge(lost, *usual(), shrink=60).size
    assert not judge(measure(0, dict.fromkeys(USUAL, 0)), *usual(), shrink=100)


def test_what_is_usual_is_the_median_and_not_what_was_once() -> None:
    sizes = (900, 5000, 1000, 100_000, 10)
    before = [measure(size, {ORDERS: size * 10}) for size in sizes]
    assert not judge(measure(500, {ORDERS: 5000}), *before)
    assert judge(measure(499, {ORDERS: 5000}), *before).size
    assert tables(judge(measure(500, {ORDERS: 4999}), *before)) == [ORDERS]


def test_of_two_in_the_middle_the_smaller_is_usual() -> None:
    assert not judge(measure(50), *(measure(size) for size in (100, 100, 1000, 1000)))


def test_only_the_last_five_count() -> None:
    assert not judge(measure(100), *(measure(100) for _ in range(BASELINE)), *(measure(10_000) for _ in range(20)))


@pytest.mark.parametrize("count", range(FEWEST))
def test_the_first_three_of_a_target_are_never_suspect(count: int) -> None:
    assert not judge(measure(0, dict.fromkeys(USUAL, 0)), *usual(count))
    assert judge(measure(0, dict.fromkeys(USUAL, 0)), *usual(FEWEST))


def test_what_was_accepted_is_what_later_ones_are_measured_by() -> None:
    small = measure(100, {ORDERS: 1000}, accepted=True)
    assert not judge(measure(60, {ORDERS: 600}), small, *usual())
    assert judge(measure(40, {ORDERS: 600}), small, *usual()).size
    assert tables(judge(measure(60, {ORDERS: 400}), small)) == [ORDERS]


def test_what_was_before_an_accepted_one_does_not_count_any_more() -> None:
    small = measure(100, accepted=True)
    assert not judge(measure(60), measure(110), small, measure(1000), measure(1000), measure(1000))


@pytest.mark.parametrize(
    ("pattern", "ignored"),
    [
        (ORDERS, True),
        ("orders", True),
        ("*.ord*", True),
        ("public.*", True),
        ("order", False),
        ("other.orders", False),
        ('"Orders"', False),
    ],
)
def test_tables_whose_rows_come_and_go_are_not_looked_at(pattern: str, *, ignored: bool) -> None:
    found = judge(measure(1000, {**USUAL, ORDERS: 0}), *usual(), ignore=(pattern,))
    assert bool(found) is not ignored


def test_names_in_quotes_are_ignored_by_patterns_too() -> None:
    name = '"My Schema"."Job.s"'
    before = [measure(1000, {name: 5000}) for _ in range(3)]
    assert judge(measure(1000, {name: 0, ORDERS: 1}), *before)
    assert not judge(measure(1000, {name: 0, ORDERS: 1}), *before, ignore=('"My Schema"."Job.s"',))


def test_a_table_that_is_gone_has_lost_all_of_its_rows_also_where_it_has_another_name_now() -> None:
    found = judge(measure(1000, {"public.customers": 2000, "public.orders_old": 10_000}), *usual())
    assert [(each.name, each.expected, each.found) for each in found.tables] == [(ORDERS, 10_000, None)]
    assert "1 large table lost most of its rows" in found.text


def test_small_tables_are_not_looked_at() -> None:
    before = [measure(1000, {"public.jobs": 999, ORDERS: 1000}) for _ in range(5)]
    assert not judge(measure(1000, {"public.jobs": 0, ORDERS: 1000}), *before)
    assert not judge(measure(1000, {ORDERS: 1000}), *before)
    assert tables(judge(measure(1000, {"public.jobs": 0, ORDERS: 0}), *before)) == [ORDERS]


def test_a_new_table_is_nothing_to_be_suspected() -> None:
    assert not judge(measure(1000, {**USUAL, "public.new": 5}), *usual())
    once = measure(1000, {**USUAL, "public.new": 50_000})
    assert not judge(measure(1000, USUAL), once, *usual(4))


def test_of_what_nothing_is_known_nothing_is_said() -> None:
    without = {"public.customers": 2000}
    assert not judge(measure(1000, without, unproven=(ORDERS,)), *usual())
    assert not judge(measure(1000), *usual())
    assert not judge(measure(1000, {**USUAL, ORDERS: 0}), *(measure(1000) for _ in range(5)))


def test_of_some_before_without_a_proof_the_others_count() -> None:
    before = [measure(1000), measure(1000, USUAL), measure(1000), measure(1000, USUAL)]
    assert tables(judge(measure(1000, {**USUAL, ORDERS: 0}), *before)) == [ORDERS]


def test_without_any_proof_the_size_alone_is_looked_at() -> None:
    found = judge(measure(10), *(measure(1000) for _ in range(3)))
    assert (found.text, found.tables) == ("its dump has 10 B, where 1000 B are usual", ())


def test_both_reasons_are_told_in_one_line_without_names() -> None:
    found = judge(measure(10, dict.fromkeys(USUAL, 0)), *usual())
    assert found.text.endswith(" and 2 large tables lost most of their rows")
    assert "orders" not in found.text


def test_a_database_whose_only_tables_are_gone_is_suspect() -> None:
    emptied = Measure(bytes=1000, facts={Fact("schema", "public"): ""}, unproven={})
    assert tables(judge(emptied, *usual())) == ["public.customers", ORDERS]
