"""What pgproof takes whatever the size: its help, a run besides its dump, a list of many backups, its memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from bench.care import store_many
from bench.peers.arena import Arena
from bench.peers.ground import Ground, GroundFor, Peer
from bench.peers.own import command, program
from bench.peers.processes import Look
from bench.peers.rounds import told
from bench.peers.running import INTERVAL, Measured, Pipe, run

_INTERVAL = 0.01
"""Seconds: how exactly a moment is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """Of one run with a pg_dump, in seconds: from the start to the dump's first byte, from the dump's end to ours."""

    before: float
    after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixed:
    """Seconds of each try, and how many backups there were to list."""

    help: Sequence[float]
    runs: Sequence[Moments]
    bare: Sequence[Moments]
    listing: Sequence[float]
    listing_all: Sequence[float]
    listed: int


def measure_fixed(ground_for: GroundFor, bare: Peer, ours: Peer, *, tries: int, backups: int) -> Fixed:
    """Measure all of it, on a small database."""
    ground, many = ground_for(ours), ground_for(ours)
    helped = [_required(ground, (ground.command(program(), "--help", env={}),)).wall for _ in range(tries)]
    bares = [_moments(ground, bare.backup(ground)) for _ in range(tries)]
    runs = [_moments(ground, ours.backup(ground)) for _ in range(tries)]
    store_many(many.store, backups)
    return Fixed(
        help=helped,
        runs=runs,
        bare=bares,
        listing=_listings(many, tries if backups else 0),
        listing_all=_listings(many, 1 if backups else 0, "--limit", "0"),
        listed=backups,
    )


def _listings(ground: Ground, tries: int, *options: str) -> list[float]:
    return [_required(ground, (command(ground, "list", "--all", *options),)).wall for _ in range(tries)]


def memory(arena: Arena, ours: Sequence[Peer]) -> dict[str, Measured]:
    """How a backup with each ran, by its key; what goes wrong with one is told."""
    found = {}
    for peer in ours:
        with told(peer, {}), arena.round() as ground_for:
            ground = ground_for(peer)
            found[peer.key] = _required(ground, peer.backup(ground))
    return found


def median_moments(runs: Sequence[Moments]) -> Moments:
    """Of both, each for itself."""
    return Moments(before=median(each.before for each in runs), after=median(each.after for each in runs))


def _moments(ground: Ground, pipe: Pipe) -> Moments:
    first: list[float] = []
    last = [0.0]

    def watch(found: Look) -> None:
        now = time.monotonic()
        if any(found.dumping.values()):
            first.append(now)
        if found.dumping:
            last[0] = now

    begun = time.monotonic()
    measured = _required(ground, pipe, watch)
    if not first:
        raise RuntimeError("the dump was too short to be seen")
    return Moments(before=first[0] - begun, after=begun + measured.wall - last[0])


def _required(ground: Ground, pipe: Pipe, watch: Callable[[Look], None] | None = None) -> Measured:
    """Run it. Raises RuntimeError where it fails."""
    measured = run(pipe, scratch=ground.scratch, watch=watch, interval=_INTERVAL if watch else INTERVAL)
    if measured.status:
        raise RuntimeError(f"ended with {measured.exits}: {measured.said}")
    return measured
