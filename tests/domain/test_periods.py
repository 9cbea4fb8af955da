"""Lengths of time and beginnings of periods: as people write them, as they read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup.domain.periods import parse_period, parse_since, show_period
from backup.errors import UsageError

NOW = datetime(2026, 11, 22, 8, 30, tzinfo=UTC)
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("90d", 90 * DAY),
        ("12h", 12 * HOUR),
        ("2w", 14 * DAY),
        ("15m", 15 * MINUTE),
        ("15min", 15 * MINUTE),
        ("45s", timedelta(seconds=45)),
        ("1h30m", 90 * MINUTE),
        (" 1 d 6 h ", 30 * HOUR),
    ],
)
def test_a_length_is_read_as_it_is_written(text: str, length: timedelta) -> None:
    assert parse_period(text) == length


@pytest.mark.parametrize(
    "text", ["", "90", "d", "-1d", "0d", "1y", "1.5h", "1h 30", "٣d", "9" * 30 + "w", "9" * 5000 + "d"]
)
def test_what_is_no_length_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_period(text)
    assert "90d" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("text", "since"),
    [
        ("90d", NOW - 90 * DAY),
        ("12h", NOW - 12 * HOUR),
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01T06:00", datetime(2026, 11, 1, 6, tzinfo=UTC)),
        ("2026-11-01T06:00+02:00", datetime(2026, 11, 1, 4, tzinfo=UTC)),
        ("2026-11-22T08:30Z", NOW),
    ],
)
def test_a_period_begins_a_length_ago_or_at_a_time(text: str, since: datetime) -> None:
    assert parse_since(text, now=NOW) == since
    assert parse_since(text, now=NOW.astimezone(timezone(5 * HOUR))) == since


@pytest.mark.parametrize("text", ["yesterday", "", "2026-13-01", "latest", "2027-01-01", "99999w99999w"])
def test_what_is_no_beginning_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_since(text, now=NOW)


def test_a_time_at_the_edge_of_the_calendar_is_refused_and_no_bug() -> None:
    with pytest.raises(UsageError, match="before all calendars"):
        parse_since("0001-01-01T00:00+05:00", now=NOW)
    with pytest.raises(UsageError, match="before all calendars"):
        parse_since("4000w" * 30, now=NOW)


@pytest.mark.parametrize(
    ("length", "shown"),
    [
        (timedelta(seconds=42), "42 s"),
        (5 * MINUTE, "5 min"),
        (timedelta(minutes=5, seconds=20), "5 min 20 s"),
        (HOUR, "1 h"),
        (36 * HOUR, "36 h"),
        (2 * DAY - MINUTE, "47 h 59 min"),
        (2 * DAY, "2 days"),
        (timedelta(days=12, hours=4, minutes=5), "12 days 4 h 5 min"),
        (timedelta(days=12, minutes=5), "12 days 5 min"),
        (-HOUR, "0.00 s"),
    ],
)
def test_a_length_is_shown_in_units_that_matter(length: timedelta, shown: str) -> None:
    assert show_period(length) == shown


@given(st.integers(60, 5_000_000))
def test_what_is_shown_of_whole_minutes_can_be_read_again(minutes: int) -> None:
    shown = show_period(timedelta(minutes=minutes))
    assert parse_period(shown.replace(" days", "d")) == timedelta(minutes=minutes)
