"""Sizes and durations as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup.domain.sizes import parse_size, show_seconds, show_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1048576", 1 << 20),
        ("64MiB", 64 << 20),
        ("64 mb", 64 << 20),
        ("4G", 4 << 30),
        ("1.5k", 1536),
        (" 10B ", 10),
        ("2TiB", 2 << 40),
        ("1P", 1 << 50),
    ],
)
def test_units_are_powers_of_1024_in_any_case(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "-1", "1X", "1e3", "1,5k", "1 2", ".5G", "inf"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)


@given(st.integers(min_value=0, max_value=1 << 62))
def test_a_shown_size_is_near_the_size_it_shows(size: int) -> None:
    shown = show_size(size)
    assert len(shown) <= 9
    assert abs(parse_size(shown) - size) <= size * 0.006


@given(st.integers(min_value=0, max_value=1 << 62))
def test_bytes_are_read_as_they_are_written(size: int) -> None:
    assert parse_size(f"{size}B") == size


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.00 s"),
        (0.423, "0.42 s"),
        (9.999, "10.00 s"),
        (12.3, "12 s"),
        (59.4, "59 s"),
        (200.0, "3 min 20 s"),
        (3600.0, "1 h 0 min"),
        (7500.0, "2 h 5 min"),
    ],
)
def test_durations_have_the_unit_that_fits(seconds: float, text: str) -> None:
    assert show_seconds(seconds) == text
