"""A report's figures: which gaps there are and which are too long, what could be lost, what drills measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup.domain.drill import Drill, Verdict
from backup.domain.manifest import Manifest, SnapshotMark, Status
from backup.domain.report import Report, make_report
from tests.support.manifests import START, a_manifest

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
BERLIN = ZoneInfo("Europe/Berlin")


def a_report(backups: Sequence[Manifest], *, hours: float = 10, **changed: Any) -> Report:  # noqa: ANN401 -- of make_report
    values: dict[str, Any] = {"since": START, "now": START + hours * HOUR, "drills": {}, "unreadable": ()} | changed
    return make_report(store="/backups", target="shop", backups=backups, pgproof="0.1.0", **values)


def at(*hours: float) -> list[Manifest]:
    return [a_manifest(START + each * HOUR) for each in hours]


def a_drill(backup: Manifest, verdict: Verdict = "proven", *, after: timedelta = HOUR, **changed: Any) -> Drill:  # noqa: ANN401 -- of Drill
    values: dict[str, Any] = {"seconds": {}, "restore_seconds": 60.0} | changed
    return Drill(
        backup=backup.id,
        target=backup.target,
        time=backup.snapshot.time + after,
        verdict=verdict,
        text=verdict,
        pgproof="0.1.0",
        **values,
    )


def lengths(report: Report) -> list[float]:
    return [gap.length / HOUR for gap in report.gaps]


def test_of_an_empty_history_nothing_is_known() -> None:
    found = a_report([])
    assert (found.entries, found.drills, found.gaps, found.long_gaps, found.schedule) == ((), (), (), (), None)
    summary = found.summary
    assert (summary.backups, summary.newest, summary.newest_proven, summary.longest_gap) == (0, None, None, None)
    assert (summary.worst_loss, summary.median_restore, summary.worst_restore) == (None, None, None)
    assert set(summary.verdicts.values()) == {0}


def test_one_backup_has_an_open_gap_behind_it_and_no_schedule() -> None:
    (backup,) = at(4)
    found = a_report([backup])
    (gap,) = found.gaps
    assert (gap.begin, gap.end, gap.after, gap.before) == (backup.started, found.now, backup.id, None)
    assert found.summary.worst_loss == 6 * HOUR
    assert found.schedule is None
    assert found.long_gaps == ()


def test_gaps_lie_between_one_backup_and_the_next_and_behind_the_last() -> None:
    assert lengths(a_report(at(1, 2, 5, 9))) == [1, 3, 4, 1]


def test_a_gap_that_the_period_begins_in_counts_whole() -> None:
    found = a_report(at(-20, -3, 2), since=START)
    assert [each.backup.id for each in found.entries] == ["20260101T020000Z"]
    assert lengths(found) == [5, 8]


def test_a_period_without_a_backup_is_in_one_gap() -> None:
    found = a_report(at(-20, -3))
    assert found.entries == ()
    assert lengths(found) == [13]
    assert found.summary.newest is not None


def test_the_median_interval_makes_the_schedule_where_none_is_given() -> None:
    found = a_report(at(0, 1, 2, 3, 5, 6, 7, 8, 9))
    assert found.schedule
    assert (found.schedule.interval, found.schedule.limit, found.schedule.given) == (HOUR, 1.5 * HOUR, False)
    assert [(gap.after, gap.before) for gap in found.long_gaps] == [("20260101T030000Z", "20260101T050000Z")]


@pytest.mark.parametrize(("every", "long"), [(HOUR, [3, 2]), (2 * HOUR, [3]), (3 * HOUR, []), (30 * MINUTE, [1, 3, 2])])
def test_a_given_schedule_decides_which_gaps_are_too_long(every: timedelta, long: list[int]) -> None:
    found = a_report(at(4, 5, 8), every=every)
    assert [gap.length / HOUR for gap in found.long_gaps] == long


def test_a_run_that_starts_a_little_late_makes_no_gap() -> None:
    assert a_report(at(4, 5.05, 6, 7.09, 8, 9), every=HOUR).long_gaps == ()
    assert len(a_report(at(4, 5, 6.2, 7, 8, 9), every=HOUR).long_gaps) == 1


@pytest.mark.parametrize(("day", "length"), [(datetime(2026, 3, 29), 23), (datetime(2026, 10, 25), 25)])  # noqa: DTZ001 -- midnight there
def test_the_day_of_a_change_to_or_from_daylight_saving_has_its_real_length(day: datetime, length: int) -> None:
    midnight = day.replace(tzinfo=BERLIN)
    next_one = (day + timedelta(days=1)).replace(tzinfo=BERLIN)
    backups = [
        replace(a_manifest(each.astimezone(UTC)), snapshot=SnapshotMark(time=each, lsn="0/0"), finished=each)
        for each in (midnight, next_one)
    ]
    found = a_report(backups, since=midnight, now=next_one)
    assert lengths(found) == [length]
    assert found.summary.worst_loss == length * HOUR


@pytest.mark.parametrize(
    "changed", [{"status": Status.SUSPECT}, {"status": Status.DEGRADED}, {"purpose": "safety"}], ids=str
)
def test_only_whole_ordinary_backups_end_a_gap(changed: dict[str, Any]) -> None:
    first, second, third = at(1, 3, 6)
    found = a_report([first, replace(second, **changed), third])
    assert lengths(found) == [5, 4]
    assert found.summary.backups == 3


def test_until_a_backup_is_finished_it_saves_nothing() -> None:
    first, second = at(1, 9)
    slow = replace(second, finished=second.started + 30 * MINUTE)
    assert a_report([first, slow]).summary.worst_loss == 8.5 * HOUR


def test_the_newest_proven_one_is_what_latest_proven_means() -> None:
    first, second, third, fourth = at(1, 2, 3, 4)
    drills = {
        first.id: (a_drill(first),),
        second.id: (a_drill(second, "differs"), a_drill(second, after=2 * HOUR)),
        third.id: (a_drill(third), a_drill(third, "failed", after=2 * HOUR)),
        fourth.id: (a_drill(fourth),),
    }
    found = a_report([first, second, third, replace(fourth, purpose="safety")], drills=drills)
    assert found.summary.newest
    assert found.summary.newest.backup.id == third.id
    assert found.summary.newest_proven
    assert found.summary.newest_proven.backup.id == second.id
    assert found.overwriting[0].id == fourth.id
    assert found.summary.verdicts == {"proven": 4, "differs": 1, "failed": 1, "unproven": 0}


def test_unproven_backups_have_no_newest_proven_one() -> None:
    (backup,) = at(1)
    found = a_report([backup], drills={backup.id: (a_drill(backup, "unproven"),)})
    assert found.summary.newest_proven is None
    assert not found.entries[0].proven


def test_the_time_to_restore_is_of_drills_that_restored_all_of_it() -> None:
    (backup,) = at(1)
    times = [(20.0, 1.0), (40.0, 1.0), (90.0, 1.0), (1000.0, 0.1), (None, 1.0)]
    drills = [a_drill(backup, restore_seconds=seconds, sample=sample) for seconds, sample in times]
    summary = a_report([backup], drills={backup.id: drills}).summary
    assert (summary.measured, summary.median_restore, summary.worst_restore) == (
        3,
        timedelta(seconds=40),
        timedelta(seconds=90),
    )


def test_a_drill_counts_when_it_ran_however_old_its_backup_is() -> None:
    old, newer = at(-50, 1)
    drills = {old.id: (a_drill(old), a_drill(old, "differs", after=53 * HOUR)), newer.id: (a_drill(newer),)}
    assert [(each.backup, each.verdict) for each in a_report([old, newer], drills=drills).drills] == [
        (newer.id, "proven"),
        (old.id, "differs"),
    ]


def test_manifests_of_the_period_that_cannot_be_read_are_kept_with_their_reason() -> None:
    found = a_report([], unreadable=[("20251231T235959Z", "old"), ("20260101T000000Z", "damaged")])
    assert found.unreadable == (("20260101T000000Z", "damaged"),)


@given(st.lists(st.integers(-200, 100), min_size=1, unique=True), st.randoms())
def test_gaps_cover_all_time_from_the_first_snapshot_on_in_any_order(hours: list[int], chance: Any) -> None:  # noqa: ANN401 -- hypothesis
    backups = at(*hours)
    chance.shuffle(backups)
    found = a_report(backups, since=START - 1000 * HOUR, hours=101)
    assert sum(lengths(found)) == 101 - min(hours)
    assert all(one.end == next_one.begin for one, next_one in zip(found.gaps, found.gaps[1:], strict=False))
    assert found.summary.longest_gap
    assert found.summary.longest_gap.length == max(gap.length for gap in found.gaps) == found.summary.worst_loss


@given(st.integers(2, 60), st.integers(1, 600))
def test_a_regular_history_has_no_gap_that_is_too_long(count: int, minutes: int) -> None:
    every = minutes * MINUTE
    backups = [a_manifest(START + number * every) for number in range(count)]
    for given_one in (None, every):
        assert a_report(backups, now=START + count * every, every=given_one).long_gaps == ()


@given(st.lists(st.integers(0, 100), min_size=3, unique=True), st.integers(0, 1000))
def test_a_backup_that_is_lost_never_makes_the_longest_gap_shorter(hours: list[int], which: int) -> None:
    ordered = sorted(hours)
    lost = 1 + which % (len(ordered) - 2)
    longest = [
        gap.length
        for each in (ordered, ordered[:lost] + ordered[lost + 1 :])
        if (gap := a_report(at(*each), hours=100).summary.longest_gap)
    ]
    assert longest[0] <= longest[1]
