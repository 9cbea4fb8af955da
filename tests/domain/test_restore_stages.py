"""What a restore is said to have waited for."""

from __future__ import annotations

import pytest

from backup.domain.restore_stages import find_slow_stage


@pytest.mark.parametrize(
    ("seconds", "waits", "stage", "share"),
    [
        ({"checks": 1.0, "load": 8.0, "indexes": 1.0}, {"store": 9.0, "decode": 1.0, "server": 6.0}, "store", 0.45),
        ({"load": 8.0, "indexes": 2.0}, {"store": 1.0, "decode": 1.0, "server": 14.0}, "server", 0.7),
        ({"load": 2.0, "indexes": 8.0}, {"store": 2.0, "decode": 0.0, "server": 0.0}, "indexes", 0.8),
    ],
)
def test_the_stage_with_most_of_the_time_is_told(
    seconds: dict[str, float], waits: dict[str, float], stage: str, share: float
) -> None:
    found = find_slow_stage(seconds, waits)
    assert found is not None
    assert found.stage == stage
    assert found.share == pytest.approx(share)
    assert found.advice


def test_of_nothing_nothing_is_told() -> None:
    assert find_slow_stage({}, {}) is None
    assert find_slow_stage({"load": 1.0}, {}) is None
