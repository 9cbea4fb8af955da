"""Rules of retention as users write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from backup.domain.rules import CALENDAR, DEFAULT, Rules, parse_rules
from backup.errors import UsageError

BERLIN = ZoneInfo("Europe/Berlin")


def test_without_a_rule_a_day_is_kept() -> None:
    assert parse_rules({}) == DEFAULT == Rules(keep_within=timedelta(hours=24), min_proven=1)


def test_a_floor_alone_leaves_the_default() -> None:
    assert parse_rules({"min-proven": 3}) == Rules(keep_within=timedelta(hours=24), min_proven=3)


def test_a_rule_stands_in_the_place_of_the_default() -> None:
    assert parse_rules({"daily": "14"}) == Rules(keep_within=None, daily=14)


def test_all_of_it_can_be_said_with_and_without_keep() -> None:
    said = {"keep-within": "2d", "keep-last": 3, "hourly": 4, "keep-daily": 5, "weekly": 6, "keep_monthly": 7}
    rules = parse_rules({**said, "yearly": 8, "min-proven": 0, "timezone": "Europe/Berlin"})
    assert rules == Rules(
        keep_within=timedelta(days=2),
        keep_last=3,
        hourly=4,
        daily=5,
        weekly=6,
        monthly=7,
        yearly=8,
        min_proven=0,
        timezone=BERLIN,
    )


def test_what_is_shown_means_the_same_again() -> None:
    for rules in (DEFAULT, Rules(daily=3, weekly=2, min_proven=0, timezone=BERLIN)):
        assert parse_rules(dict(pair.split("=") for pair in rules.text.split(", "))) == rules


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"dayly": 3}, "'dayly' is no rule"),
        ({"daily": -1}, "daily=-1 is not a number"),
        ({"daily": "1.5"}, "daily=1.5 is not a number"),
        ({"daily": True}, "daily=True is not a number"),
        ({"daily": "\u0663"}, "is not a number"),
        ({"keep-within": "0h"}, "'0h' is not a length of time"),
        ({"keep-within": "a day"}, "'a day' is not a length of time"),
        ({"timezone": "Mars/Olympus"}, "'Mars/Olympus' is no time zone"),
        ({"timezone": "../etc/passwd"}, "is no time zone"),
        ({"timezone": "Europe"}, "'Europe' is no time zone"),
        ({"daily": 1, "keep-daily": 2}, "daily is said twice"),
    ],
)
def test_what_cannot_be_is_refused_by_name(said: dict[str, object], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        parse_rules(said)


def slot(name: str, moment: datetime, zone: ZoneInfo = BERLIN) -> object:
    return CALENDAR[name](moment.astimezone(zone))


def test_a_day_is_one_of_the_configured_time_zone() -> None:
    late, early = datetime(2026, 11, 22, 22, 30, tzinfo=UTC), datetime(2026, 11, 22, 23, 30, tzinfo=UTC)
    assert slot("daily", late) != slot("daily", early)
    assert CALENDAR["daily"](late) == CALENDAR["daily"](early)


def test_the_hour_that_comes_twice_is_two_hours() -> None:
    first, second = datetime(2026, 10, 25, 0, 30, tzinfo=UTC), datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    assert first.astimezone(BERLIN).hour == second.astimezone(BERLIN).hour == 2
    assert slot("hourly", first) != slot("hourly", second)
    assert slot("daily", first) == slot("daily", second)


def test_the_hour_that_is_left_out_makes_no_gap() -> None:
    before, after = datetime(2026, 3, 29, 0, 59, tzinfo=UTC), datetime(2026, 3, 29, 1, 1, tzinfo=UTC)
    assert slot("hourly", before) != slot("hourly", after)
    assert slot("daily", before) == slot("daily", after)


def test_a_leap_day_is_a_day_and_no_month() -> None:
    leap, next_day = datetime(2028, 2, 29, 12, tzinfo=UTC), datetime(2028, 3, 1, 12, tzinfo=UTC)
    assert slot("daily", leap) != slot("daily", next_day)
    assert slot("monthly", leap) == slot("monthly", datetime(2028, 2, 1, 12, tzinfo=UTC)) != slot("monthly", next_day)


def test_a_week_goes_from_monday_to_sunday_also_over_new_year() -> None:
    monday, sunday = datetime(2026, 12, 28, 12, tzinfo=UTC), datetime(2027, 1, 3, 12, tzinfo=UTC)
    assert slot("weekly", monday) == slot("weekly", sunday)
    assert slot("weekly", sunday) != slot("weekly", sunday + timedelta(days=1))
    assert slot("yearly", monday) != slot("yearly", sunday)
