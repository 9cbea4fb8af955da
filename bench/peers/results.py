"""All that was measured, and the ratios that are made of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from statistics import median

from bench.peers.arena import BARE
from bench.peers.faults import Fault
from bench.peers.fixed import Fixed
from bench.peers.rounds import Round, Stage
from bench.peers.running import Measured


@dataclass(slots=True, kw_only=True)
class Outcome:
    """All that was measured.

    Attributes:
        started, seconds: when, and how long all of it took.
        versions: of programs, by name.
        stages: one for each database, with pg_dump's peers; smallest first.
        physical: the same with those that copy files.
        not_there: why the physical ones could not be tried.
        passwords, killed: how each peer bore these faults, by its key.
        fixed: what does not depend on the size.
        memories: size of a database and runs of pgproof by key, besides those of the stages.
    """

    started: datetime
    seconds: float = 0.0
    versions: dict[str, str] = field(default_factory=dict)
    stages: list[Stage] = field(default_factory=list)
    physical: list[Stage] = field(default_factory=list)
    not_there: str = ""
    passwords: dict[str, Fault] = field(default_factory=dict)
    killed: dict[str, Fault] = field(default_factory=dict)
    fixed: Fixed | None = None
    memories: list[tuple[int, dict[str, Measured]]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Ratios to the bare dump of the same round."""

    middle: float
    least: float
    most: float


def ratios(rounds: Sequence[Round], key: str) -> Spread | None:
    """Of a peer's wall time to that of the bare one in the same round; None where it did not run in all of them."""
    found = [each[key].measured.wall / each[BARE].measured.wall for each in rounds if key in each]
    if not found or len(found) < len(rounds):
        return None
    return Spread(middle=median(found), least=min(found), most=max(found))


def ranked(stage: Stage, rounds: Sequence[Round]) -> list[tuple[str, Spread]]:
    """Names and ratios, the quickest first; without the bare one."""
    found = [(peer.name, ratios(rounds, peer.key)) for peer in stage.peers if peer.key != BARE]
    return sorted(((name, spread) for name, spread in found if spread), key=lambda each: each[1].middle)


def gib(size: int) -> str:
    """A size in GiB."""
    return f"{size / (1 << 30):.2f} GiB"


def mib(size: int) -> str:
    """A size in MiB, without the unit."""
    return f"{size / (1 << 20):.1f}" if 0 < size < 10 << 20 else f"{size / (1 << 20):.0f}"
