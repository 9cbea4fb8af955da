"""Retention: whatever the history, it never eats the last good backup; and what the rules keep is what they say."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from backup.domain.ids import BackupId
from backup.domain.retention import Plan, Standing, StoredRun, plan
from backup.domain.rules import DEFAULT, Rules

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A run, and what it would say of itself."""

    run: StoredRun
    standing: Standing
    proven: bool


def case(
    age: timedelta,
    standing: Standing = Standing.COMPLETE,
    *,
    finished: bool = True,
    proven: bool = False,
    held: bool = False,
    shielded: bool = False,
    failed: bool = False,
    settled: timedelta | None = None,
) -> Case:
    """A run of so long ago."""
    run = StoredRun(
        id=BackupId.at(NOW - age),
        finished=finished,
        failed=failed,
        drilled=proven,
        held=held,
        shielded=shielded,
        bytes=1,
        youngest=NOW - (age if settled is None else settled),
    )
    return Case(run=run, standing=standing, proven=proven)


def decide(cases: Sequence[Case], rules: Rules = DEFAULT, *, now: datetime = NOW, under_way: bool = False) -> Plan:
    by_id = {each.run.id: each for each in cases}
    return plan(
        [each.run for each in cases],
        rules,
        now=now,
        standing_of=lambda run: by_id[run.id].standing,
        is_proven=lambda run: by_id[run.id].proven,
        under_way=under_way,
    )


def ages(made: Plan, *, keep: bool = True) -> list[timedelta]:
    """Ages of what is kept (or not), the newest first."""
    return [NOW - each.run.id.started for each in made.decisions if each.keep is keep]


histories = st.lists(
    st.builds(
        case,
        st.integers(0, 3 * 365 * 24 * 4).map(lambda quarters: timedelta(minutes=15 * quarters)),
        st.sampled_from(Standing),
        finished=st.sampled_from([True, True, True, False]),
        proven=st.booleans(),
        held=st.sampled_from([False, False, False, True]),
        shielded=st.sampled_from([False, False, False, True]),
        failed=st.booleans(),
    ),
    max_size=60,
    unique_by=lambda each: each.run.id,
)
rulebooks = st.builds(
    Rules,
    keep_within=st.none() | st.integers(1, 2000).map(lambda hours: hours * HOUR),
    keep_last=st.integers(0, 4),
    hourly=st.integers(0, 4),
    daily=st.integers(0, 4),
    weekly=st.integers(0, 4),
    monthly=st.integers(0, 4),
    yearly=st.integers(0, 2),
    min_proven=st.integers(0, 3),
    timezone=st.sampled_from([UTC, ZoneInfo("Europe/Berlin"), ZoneInfo("America/St_Johns"), ZoneInfo("Asia/Tehran")]),
)


@settings(max_examples=400)
@given(histories, rulebooks)
def test_the_newest_complete_backup_is_kept_whatever_is_said(cases: list[Case], rules: Rules) -> None:
    complete = [each.run for each in cases if each.run.finished and each.standing is Standing.COMPLETE]
    kept = {each.run.id for each in decide(cases, rules).decisions if each.keep}
    if complete:
        assert max(run.id for run in complete) in kept
    elif any(each.run.finished for each in cases):
        assert kept >= {each.run.id for each in cases if each.run.finished}


@settings(max_examples=400)
@given(histories, rulebooks)
def test_the_floors_hold_for_any_history(cases: list[Case], rules: Rules) -> None:
    deleted = {run.id for run in decide(cases, rules).deleted}
    complete = (each for each in cases if each.run.finished and each.standing is Standing.COMPLETE)
    backups = sorted(complete, key=lambda each: each.run.id, reverse=True)
    assert not deleted & {each.run.id for each in cases if each.run.shielded}
    assert not deleted & {each.run.id for each in cases if each.run.held and each.run.finished}
    assert not deleted & {each.run.id for each in [each for each in backups if each.proven][: rules.min_proven]}


@settings(max_examples=200)
@given(histories, rulebooks, st.randoms())
def test_the_order_of_the_list_does_not_matter(cases: list[Case], rules: Rules, chance: random.Random) -> None:
    shuffled = list(cases)
    chance.shuffle(shuffled)
    assert decide(shuffled, rules) == decide(cases, rules)


@settings(max_examples=400)
@given(histories, rulebooks, st.integers(0, 400))
def test_what_is_left_would_be_kept_again_now_and_later(cases: list[Case], rules: Rules, days: int) -> None:
    deleted = {run.id for run in decide(cases, rules).deleted}
    left = [each for each in cases if each.run.id not in deleted]
    again = decide(left, rules, now=NOW + days * DAY)
    assert [run for run in again.deleted if run.finished] == []
    assert decide(left, rules).deleted == ()


@settings(max_examples=200)
@given(histories, rulebooks)
def test_after_a_run_that_is_not_complete_nothing_goes(cases: list[Case], rules: Rules) -> None:
    for last in (
        case(-HOUR, finished=False),
        case(-HOUR, finished=False, failed=True),
        case(-HOUR, Standing.SUSPECT),
        case(-HOUR, Standing.DEGRADED),
        case(-HOUR, Standing.UNREADABLE),
    ):
        made = decide([*cases, last], rules, now=NOW + 2 * HOUR)
        assert made.deleted == ()
        assert made.stopped


@settings(max_examples=200)
@given(histories, rulebooks, st.integers(1, 10_000))
def test_nothing_goes_while_the_clock_is_behind_the_newest_run(cases: list[Case], rules: Rules, seconds: int) -> None:
    ahead = max((each.run.id.started for each in cases), default=NOW) - timedelta(seconds=seconds)
    assert decide(cases, rules, now=ahead).deleted == ()


@settings(max_examples=200)
@given(histories)
def test_a_degraded_or_suspect_backup_takes_nobody_s_place(cases: list[Case]) -> None:
    rules = Rules(keep_last=2, daily=2, monthly=2, min_proven=0)
    lesser = {each.run.id for each in cases if each.run.finished and each.standing is not Standing.COMPLETE}
    alone = decide([each for each in cases if each.run.id not in lesser], rules)
    if not decide(cases, rules).stopped and not alone.stopped:
        kept = {each.run.id for each in decide(cases, rules).decisions if each.keep and each.run.finished} - lesser
        assert kept == {each.run.id for each in alone.decisions if each.keep and each.run.finished}


def hourly(hours: int) -> list[Case]:
    return [case(hour * HOUR) for hour in range(hours)]


def test_by_default_the_last_day_is_kept() -> None:
    assert ages(decide(hourly(100))) == [hour * HOUR for hour in range(25)]


def test_what_a_pause_left_is_not_eaten_by_time() -> None:
    week_ago = [case(7 * DAY + hour * HOUR) for hour in range(24)]
    assert decide(week_ago).deleted == ()
    after = decide([case(timedelta(0)), *week_ago])
    assert ages(after) == [timedelta(0)]  # a new one is there; the old ones are older than it by more than a day


def test_each_rule_says_why_it_keeps() -> None:
    rules = Rules(keep_within=HOUR, keep_last=1, hourly=2, daily=2, weekly=1, monthly=1, yearly=1, min_proven=0)
    made = decide([case(timedelta(0)), case(HOUR), case(2 * HOUR), case(DAY), case(2 * DAY)], rules)
    assert [(each.keep, each.reason) for each in made.decisions] == [
        (
            True,
            "the newest complete one, keep-within, keep-last 1, hourly 1, daily 1, weekly 1, monthly 1, yearly 1",
        ),
        (True, "keep-within, hourly 2"),
        (False, "no rule keeps it"),
        (True, "daily 2"),
        (False, "no rule keeps it"),
    ]


def test_calendar_rules_pass_over_periods_without_a_backup() -> None:
    cases = [case(timedelta(0)), case(10 * DAY), case(10 * DAY + HOUR), case(400 * DAY)]
    assert ages(decide(cases, Rules(daily=3))) == [timedelta(0), 10 * DAY, 400 * DAY]


def test_only_a_proven_one_counts_as_proven() -> None:
    cases = [*hourly(3), case(50 * DAY, proven=True), case(60 * DAY, proven=True), case(70 * DAY, proven=True)]
    made = decide(cases, Rules(keep_last=1, min_proven=2))
    assert ages(made) == [timedelta(0), 50 * DAY, 60 * DAY]
    assert [each.reason for each in made.decisions if each.keep][1:] == ["proven 1", "proven 2"]


def test_a_suspect_one_that_was_proven_takes_no_proven_one_s_place() -> None:
    proven = case(50 * DAY, proven=True)
    cases = [case(timedelta(0)), case(3 * DAY, Standing.SUSPECT, proven=True), proven]
    assert ages(decide(cases, Rules(keep_last=1))) == [timedelta(0), 50 * DAY]


def test_a_safety_backup_does_not_hide_that_the_newest_run_failed() -> None:
    cases = [case(HOUR, Standing.SAFETY), case(2 * HOUR, finished=False, failed=True), case(3 * HOUR), case(90 * DAY)]
    made = decide(cases)
    assert made.deleted == ()
    assert made.stopped.endswith("failed")


def test_what_failed_runs_left_is_swept_a_day_later_and_never_what_is_newer() -> None:
    old = case(3 * DAY, finished=False)
    fresh = case(3 * DAY + HOUR, finished=False, settled=HOUR)
    failed = case(4 * DAY, finished=False, failed=True)
    made = decide([case(HOUR), old, fresh, failed])
    assert made.deleted == (failed.run, old.run)
    assert [each.reason for each in made.decisions] == [
        "the newest complete one, keep-within",
        "has no manifest, and is older than a day",
        "has no manifest, and is younger than a day",
        "failed, and is older than a day",
    ]
    assert decide([old, failed]).deleted == ()


def test_what_a_run_may_still_be_writing_is_not_swept() -> None:
    cases = [case(HOUR), case(3 * DAY, finished=False), case(4 * DAY)]
    made = decide(cases, under_way=True)
    assert made.deleted == (cases[2].run,)
    assert made.decisions[1].reason == "a run is under way"


def test_off_keeps_everything() -> None:
    made = decide(hourly(100), Rules(off=True))
    assert made.deleted == ()
    assert made.stopped == "retention is off"


def test_nobody_is_asked_of_a_backup_that_goes() -> None:
    asked: list[BackupId] = []

    def standing_of(run: StoredRun) -> Standing:
        asked.append(run.id)
        return Standing.COMPLETE

    runs = [each.run for each in hourly(10_000)]
    plan(runs, Rules(daily=7, monthly=3), now=NOW, standing_of=standing_of, is_proven=lambda _run: False)
    assert len(set(asked)) < 12
    assert len(asked) < 40
