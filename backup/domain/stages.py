"""Which stage of a backup took the time, and what a user can change about it. Pure.

The stages are those of the stopwatch of each part: `start` until the first byte (pg_dump reads the catalogue and waits
for locks), `server` for more bytes, `rate` because a limit was set, `compress`, `encrypt`, `hash`, and `store`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from backup.domain.manifest import Part

STAGES = ("start", "server", "rate", "compress", "encrypt", "hash", "store")

_LOPSIDED = 1.5
"""From which on the longest lane is worth a word: so many times as long as the others are on average. A guess."""

_FAST = 1
"""The level of zstd below which there is no other that is worth it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bottleneck:
    """What a backup waited for most.

    Attributes:
        part: the lane that took longest.
        share: of its time, from 0 to 1.
        advice: what would make it faster.
    """

    part: str
    stage: str
    share: float
    advice: str


def find_bottleneck(parts: Sequence[Part], *, level: int | None) -> Bottleneck | None:
    """The stage in which the longest of these parts, which were made at the same time, spent most of its time.

    Args:
        parts: the lanes of a dump.
        level: of zstd; None where nothing was compressed.
    """
    timed = [part for part in parts if part.seconds]
    if not timed:
        return None
    longest = max(timed, key=lambda part: sum(part.seconds.values()))
    stage = max(longest.seconds, key=longest.seconds.__getitem__)
    total = sum(longest.seconds.values())
    others = [sum(part.seconds.values()) for part in timed if part is not longest]
    advice = _advice(stage, lanes=len(timed), level=level)
    if others and total > _LOPSIDED * sum(others) / len(others):
        advice = (
            f"{advice}; one lane takes much longer than the others, as there is a table that is larger than its share"
        )
    return Bottleneck(part=longest.name, stage=stage, share=longest.seconds[stage] / total, advice=advice)


def _advice(stage: str, *, lanes: int, level: int | None) -> str:
    slower = f"a lower PGPROOF_ZSTD_LEVEL than {level}" if level and level > _FAST else "PGPROOF_COMPRESSION=none"
    more = "more lanes, PGPROOF_DUMP_JOBS"
    denser = "PGPROOF_COMPRESSION=zstd" if level is None else f"a higher PGPROOF_ZSTD_LEVEL than {level}"
    return {
        "start": "pg_dump reads the catalogue and waits for locks: fewer tables, or another hour",
        "server": f"the server reads: {more}, {'where' if lanes == 1 else 'only where'} its cores are idle",
        "rate": "a limit is set: a higher PGPROOF_RATE",
        "compress": f"the compression: more cores, or {slower} where there is room",
        "encrypt": f"the encryption, which takes one core for each lane: {more}, or {denser}",
        "hash": f"the hash, which takes one core for each lane: {more}, or {denser}",
        "store": "the store: more requests at a time, PGPROOF_S3_PARALLEL, or larger ones, PGPROOF_S3_PART_SIZE, or"
        f" fewer bytes by {denser}",
    }.get(stage, "nothing to be changed")
