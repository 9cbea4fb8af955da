"""Ids of backups, references to them, names of targets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup.domain.ids import (
    AtOrBefore,
    BackupId,
    Latest,
    LatestProven,
    check_target,
    parse_reference,
    target_of_database,
)
from backup.errors import UsageError

moments = st.datetimes(min_value=datetime(1000, 1, 2), max_value=datetime(9999, 12, 30), timezones=st.timezones())  # noqa: DTZ001 - hypothesis adds the zones
numbers = st.integers(min_value=1, max_value=10**6)


@given(moments, numbers)
def test_an_id_is_read_as_it_was_written(moment: datetime, number: int) -> None:
    backup = BackupId.at(moment, number)
    assert BackupId.parse(str(backup)) == backup
    assert parse_reference(str(backup)) == backup


@given(moments, moments, numbers, numbers)
def test_ids_are_ordered_by_second_and_then_by_number(a: datetime, b: datetime, m: int, n: int) -> None:
    first, second = BackupId.at(a, m), BackupId.at(b, n)
    key = (first.started, m) < (second.started, n)
    assert (first < second) is key
    assert first < first.next()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "latest",
        "20261122T080000",
        "20261122T080000Z-1",
        "20261122T080000Z-0",
        "20261122T080000Z-02",
        "20261322T080000Z",
        "20261122T250000Z",
        " 20261122T080000Z",
        "20261122T080000Z\n",
        "20261122T080000Z-",
        "\u0662\u0660261122T080000Z",
    ],
)
def test_what_is_no_id_is_none(text: str) -> None:
    assert BackupId.parse(text) is None


@given(st.text())
def test_whatever_is_parsed_is_an_id_written_alike_or_none(text: str) -> None:
    found = BackupId.parse(text)
    assert found is None or str(found) == text


def test_latest_proven_is_a_reference() -> None:
    assert parse_reference("latest-proven") == LatestProven()


def test_latest_is_a_reference() -> None:
    assert parse_reference("latest") == Latest()


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-22T08:30:15Z", datetime(2026, 11, 22, 8, 30, 15, tzinfo=UTC)),
        ("2026-11-22T08:30:15", datetime(2026, 11, 22, 8, 30, 15, tzinfo=UTC)),
        ("2026-11-22 08:30:15+02:00", datetime(2026, 11, 22, 6, 30, 15, tzinfo=UTC)),
        ("2026-11-22T08:30Z", datetime(2026, 11, 22, 8, 30, 59, 999999, tzinfo=UTC)),
        ("2026-11-22T08:30+01:00", datetime(2026, 11, 22, 7, 30, 59, 999999, tzinfo=UTC)),
        ("2026-11-22", datetime(2026, 11, 22, 23, 59, 59, 999999, tzinfo=UTC)),
    ],
)
def test_a_time_means_all_of_its_second_minute_or_day(text: str, moment: datetime) -> None:
    assert parse_reference(text) == AtOrBefore(moment)


@given(moments)
def test_any_time_with_an_offset_is_that_instant(moment: datetime) -> None:
    whole = moment.replace(microsecond=0).astimezone(timezone(timedelta(hours=3)))
    assert parse_reference(whole.isoformat()) == AtOrBefore(whole.astimezone(UTC))


@pytest.mark.parametrize("text", ["", "newest", "2026-13-01", "yesterday", "-2", "../x", "0001-01-01T00:00+23:00"])
def test_anything_else_names_no_backup(text: str) -> None:
    with pytest.raises(UsageError, match="names no backup"):
        parse_reference(text)


@pytest.mark.parametrize("name", ["a", "shop", "Shop_2.prod-eu", "0", "x" * 100])
def test_targets_are_letters_digits_dots_dashes_and_underscores(name: str) -> None:
    assert check_target(name) == name


@pytest.mark.parametrize("name", ["", ".", "..", ".a", "-a", "_a", "a/b", "a b", "\u00e9", "x" * 101, "a\n", "a\\b"])
def test_what_cannot_be_a_folder_everywhere_is_no_target(name: str) -> None:
    with pytest.raises(UsageError, match="cannot name a target"):
        check_target(name)


@given(st.text(min_size=1))
def test_every_database_makes_a_target(database: str) -> None:
    assert check_target(target_of_database(database))


@given(st.text(min_size=1), st.text(min_size=1))
def test_two_databases_never_share_a_target(a: str, b: str) -> None:
    assert (a == b) is (target_of_database(a) == target_of_database(b))
