"""Measure pgproof beside the other ways to back up PostgreSQL, and write bench/results.md and bench/results.svg.

    python -m bench.peers [--gib 0.2,2] [--rounds 5] [--restores 3] [--peers pgproof,aws] [--to FOLDER]

All servers and all that is measured share this machine. What is not installed is installed by apt, where we are root,
and by pip into a folder of its own (--no-install: it is left out). Progress goes to standard error.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from backup import signals
from backup.errors import Interrupted
from bench.peers.arena import Arena, bare_peer, logical_arena
from bench.peers.chart import Bar, Panel, draw
from bench.peers.faults import killed_dump, wrong_password
from bench.peers.fixed import measure_fixed, memory
from bench.peers.ground import Peer
from bench.peers.own import FIRST, FOUR_LANES, own_peers
from bench.peers.page import page
from bench.peers.physical import PHYSICAL, physical_arena
from bench.peers.pipes import pipes
from bench.peers.programs import Missing, Programs
from bench.peers.repositories import repositories
from bench.peers.results import Outcome, Spread, gib, ranked
from bench.peers.rounds import Stage, measure, tell, told


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is measured; `peers` by key, all of them where it is empty."""

    sizes: Sequence[int]
    rounds: int
    restores: int
    backups: int
    peers: frozenset[str]
    programs: Programs

    def chosen(self, peers: Sequence[Peer]) -> list[Peer]:
        """Those of them that are wanted."""
        return [each for each in peers if not self.peers or each.key in self.peers]


def main(argv: Sequence[str] | None = None) -> None:
    """Build, measure, write."""
    chosen = _arguments().parse_args(argv)
    plan = Plan(
        sizes=sorted(_bytes(each) for each in chosen.gib),
        rounds=chosen.rounds,
        restores=chosen.restores,
        backups=chosen.backups,
        peers=frozenset(chosen.peers),
        programs=Programs(install=chosen.install),
    )
    begun = time.monotonic()
    outcome = Outcome(started=datetime.now(UTC))
    for size in plan.sizes:
        _measure_dumps(outcome, plan, size)
    try:
        _measure_files(outcome, plan, plan.sizes[-1])
    except Missing as error:
        outcome.not_there = str(error)
    if chosen.memory_gib:
        with logical_arena(plan.programs, _bytes(chosen.memory_gib)) as arena:
            ours = [each for each in own_peers() if each.key in {FIRST, FOUR_LANES}]
            outcome.memories.append((arena.size, memory(arena, ours)))
    outcome.versions = plan.programs.versions()
    outcome.seconds = time.monotonic() - begun
    _write(outcome, chosen.to)


def _arguments() -> argparse.ArgumentParser:
    arguments = argparse.ArgumentParser(
        prog="python -m bench.peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--gib", type=lambda text: [float(each) for each in text.split(",")], default=[0.2, 2.0])
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--restores", type=int, default=3, help="in how many of the rounds")
    arguments.add_argument("--memory-gib", type=float, default=0, help="one more backup, of so much, for its memory")
    arguments.add_argument("--backups", type=int, default=10_000, help="how many are listed")
    arguments.add_argument("--peers", type=lambda text: text.split(","), default=[], help="only these, by key")
    arguments.add_argument("--no-install", dest="install", action="store_false")
    arguments.add_argument("--to", type=Path, default=Path(__file__).parents[1], help="folder of the results")
    return arguments


def _bytes(gib: float) -> int:
    return int(gib * (1 << 30))


def _measure_dumps(outcome: Outcome, plan: Plan, size: int) -> None:
    """All that run pg_dump."""
    tell(f"a database of {size / (1 << 30):.2f} GiB")
    with logical_arena(plan.programs, size) as arena:
        peers = plan.chosen([*own_peers(), *pipes(), *repositories()])
        outcome.stages.append(_measure(outcome, plan, arena, peers, restores=plan.restores))


def _measure_files(outcome: Outcome, plan: Plan, size: int) -> None:
    """Those that copy a server's files. Raises Missing."""
    if plan.peers and not plan.peers & PHYSICAL:
        return
    tell(f"a server's files, with a database of {size / (1 << 30):.2f} GiB")
    with physical_arena(plan.programs, size) as (arena, peers):
        outcome.physical.append(_measure(outcome, plan, arena, plan.chosen(peers), restores=0))


def _measure(outcome: Outcome, plan: Plan, arena: Arena, peers: Sequence[Peer], *, restores: int) -> Stage:
    """The rounds. The first time that a peer is seen it also runs once before, and afterwards bears the faults."""
    bare = bare_peer(arena.folder / "directory")
    new = [each for each in peers if each.key not in outcome.passwords]
    warm_up = bool(new) and plan.rounds > 1
    stage = measure(arena, [bare, *peers], rounds=plan.rounds, restores=restores, warm_up=warm_up)
    new = [each for each in new if each.key not in stage.failed]
    if new:
        tell("  wrong passwords, dumps that are killed, and what does not depend on the size")
        with arena.round() as ground_for:
            outcome.passwords |= wrong_password(ground_for, new)
            outcome.killed |= killed_dump(ground_for, new, {each.key: stage.dumped(each.key) for each in new})
            ours = next((each for each in new if each.key == FIRST), None)
            if ours:
                with told(ours, stage.failed):
                    outcome.fixed = measure_fixed(ground_for, bare, ours, tries=plan.rounds, backups=plan.backups)
    return stage


def _write(outcome: Outcome, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.md").write_text(page(outcome), encoding="utf-8")
    (folder / "results.svg").write_text(draw(_panels(outcome)), encoding="utf-8")
    tell(f"{folder / 'results.md'}, after {outcome.seconds / 60:.1f} minutes")


def _panels(outcome: Outcome) -> list[Panel]:
    """Of the largest database, the quickest first."""
    stage = outcome.stages[-1]
    size = gib(stage.size)
    files = [each for physical in outcome.physical[-1:] for each in ranked(physical, physical.backups)]
    backups = sorted([*ranked(stage, stage.backups), *files], key=lambda each: each[1].middle)
    restores = ranked(stage, stage.restores)
    return [
        Panel(title=f"Backup of {size}, times a bare pg_dump to nowhere", bars=_bars(backups)),
        Panel(title=f"Restore of {size}, times pg_restore -j2 from a local folder", bars=_bars(restores)),
    ]


def _bars(found: Sequence[tuple[str, Spread]]) -> list[Bar]:
    return [Bar(name=name, value=spread.middle, ours=name.startswith(FIRST)) for name, spread in found]


if __name__ == "__main__":
    try:
        with signals.interruptible(last=True):
            main()
    except Interrupted as stopped:
        sys.exit(stopped.status)
