"""What a user is told of where the time went."""

from __future__ import annotations

import pytest

from backup.domain.manifest import Part, Role
from backup.domain.stages import STAGES, find_bottleneck


def lane(name: str, **seconds: float) -> Part:
    return Part(name=name, role=Role.DUMP, volumes=(), raw_bytes=1, seconds=seconds)


def test_the_stage_that_took_most_of_the_longest_lane_is_told() -> None:
    found = find_bottleneck(
        [lane("dump.pgc", server=1.0, store=2.0), lane("dump.1.pgc", server=3.0, compress=1)], level=1
    )
    assert found is not None
    assert (found.part, found.stage, found.share) == ("dump.1.pgc", "server", 0.75)
    assert "PGPROOF_DUMP_JOBS" in found.advice
    assert "larger than its share" not in found.advice


def test_a_lane_that_is_much_longer_than_the_others_is_told() -> None:
    found = find_bottleneck([lane("dump.pgc", server=1.0), lane("dump.1.pgc", server=3.0)], level=1)
    assert found is not None
    assert "a table that is larger than its share" in found.advice


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("level", [None, 1, 9])
def test_there_is_an_advice_for_every_stage(stage: str, level: int | None) -> None:
    found = find_bottleneck([lane("dump.pgc", **{stage: 1.0})], level=level)
    assert found is not None
    assert found.advice != "nothing to be changed"
    assert "None" not in found.advice


def test_backups_of_older_versions_know_nothing_of_stages() -> None:
    assert find_bottleneck([lane("dump.pgc")], level=1) is None
    assert find_bottleneck([], level=1) is None
