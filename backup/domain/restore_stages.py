"""Which stage of a restore took the time, and what a user can change about it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_ADVICE = {
    "store": "the store, or the line to it: more lanes of the backup (PGPROOF_DUMP_JOBS) are read at the same time",
    "decode": "decoding, one core for each lane: more cores, or more lanes of the backup (PGPROOF_DUMP_JOBS)",
    "server": "the server loads: more connections (--jobs) and as many lanes, where its cores are idle",
    "indexes": "the server builds indexes: more connections (--jobs) where its cores are idle, or more memory for each"
    " (PGPROOF_RESTORE_MAINTENANCE_WORK_MEM)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowStage:
    """What a restore waited for most. `share` of its time, from 0 to 1; `advice`: what would make it faster."""

    stage: str
    share: float
    advice: str


def find_slow_stage(seconds: Mapping[str, float], waits: Mapping[str, float]) -> SlowStage | None:
    """The stage in which most of the time went by; None where that is none that can be changed.

    Args:
        seconds: of the restore, by phase.
        waits: of the streams while they were loaded, by stage, all streams together.
    """
    total, waited = sum(seconds.values()), sum(waits.values())
    if not total or not waited:
        return None
    load = seconds.get("load", 0.0)
    shares = {stage: value / waited * load / total for stage, value in waits.items()}
    shares["indexes"] = seconds.get("indexes", 0.0) / total
    stage = max(shares, key=shares.__getitem__)
    return SlowStage(stage=stage, share=shares[stage], advice=_ADVICE[stage]) if stage in _ADVICE else None
