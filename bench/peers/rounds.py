"""Rounds: each peer makes a backup in turn, and brings it back; what all of that took.

Owns the order and what is checked of a run. A peer that fails is told with its reason and left out from then on.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from backup.errors import Interrupted, PgproofError
from bench.peers.arena import BARE, Arena
from bench.peers.ground import Ground, Peer
from bench.peers.programs import Missing
from bench.peers.running import Measured, run

_AGAIN = "again"
"""Name of the database that is restored into."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One backup or restore; `stored` in bytes."""

    measured: Measured
    stored: int = 0


Round = dict[str, Run]
"""By the key of the peer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What was measured with one database.

    Attributes:
        size, version: bytes of the database, and version of the server.
        peers: all that took part, the bare dump among them.
        backups, restores: round by round.
        failed: why one was left out, by its key.
    """

    size: int
    version: str
    peers: tuple[Peer, ...]
    backups: list[Round] = field(default_factory=list)
    restores: list[Round] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    def dumped(self, key: str) -> int:
        """Bytes that pg_dump writes for this peer, as far as seen."""
        return max((each[key].measured.dumped for each in self.backups if key in each), default=0)


def measure(arena: Arena, peers: Sequence[Peer], *, rounds: int, restores: int, warm_up: bool) -> Stage:
    """Run them in turn, `rounds` times; in the first `restores` rounds restore too.

    Args:
        arena: where.
        peers: the first is the bare dump.
        rounds: how often.
        restores: in how many of the rounds.
        warm_up: run all of them once before, so that programs are in memory; else only the bare dump.
    """
    stage = Stage(size=arena.size, version=arena.version, peers=tuple(peers))
    for peer in peers:
        try:
            for name in peer.needs:
                arena.programs.path(name)
        except Missing as error:
            stage.failed[peer.key] = str(error)
    for number in range(0 if warm_up else 1, rounds + 1):
        turn = [each for each in peers if each.key not in stage.failed]
        turn[1:] = _turned(turn[1:], number)
        settle = number == 1 and not warm_up
        backups, restored = _round(arena, turn, stage.failed, settle=settle, restoring=0 < number <= restores)
        if number:
            stage.backups.append(backups)
            if restored:
                stage.restores.append(restored)
    return stage


def tell(text: str) -> None:
    """Say what is under way."""
    print(text, file=sys.stderr, flush=True)


def _turned(peers: list[Peer], number: int) -> list[Peer]:
    """Another one begins each time: who comes after whom is no advantage."""
    cut = number % len(peers) if peers else 0
    return peers[cut:] + peers[:cut]


def _round(
    arena: Arena, turn: Sequence[Peer], failed: dict[str, str], *, settle: bool, restoring: bool
) -> tuple[Round, Round]:
    """One backup and, where wanted, one restore of each; with `settle` a bare dump before all, so that data is read."""
    backups: Round = {}
    restores: Round = {}
    with arena.round() as ground_for:
        grounds: dict[str, Ground] = {}
        if settle:
            back_up(turn[0], ground_for(turn[0]))
        for peer in turn:
            with told(peer, failed):
                ground = grounds[peer.key] = ground_for(peer)
                backups[peer.key] = back_up(peer, ground)
                tell(f"  {peer.name:<34} {backups[peer.key].measured.wall:>7.2f} s")
            if not (restoring and peer.restore):
                _forget(grounds.pop(peer.key, None))
        for peer in turn:
            if restoring and peer.restore and peer.key in grounds and peer.key not in failed:
                with told(peer, failed):
                    restores[peer.key] = _bring_back(arena, peer, grounds[peer.key])
                    tell(f"  {peer.name:<34} {restores[peer.key].measured.wall:>7.2f} s to restore")
                _forget(grounds.pop(peer.key))
    return backups, restores


def back_up(peer: Peer, ground: Ground) -> Run:
    """Make a backup. Raises RuntimeError where it fails, or where the peer does not list it."""
    peer.prepare(ground)
    pipe = peer.backup(ground)
    os.sync()  # so that nobody waits for what another one wrote
    measured = run(pipe, scratch=ground.scratch)
    _require(measured)
    if peer.key != BARE and not peer.listed(ground):
        raise RuntimeError(f"no backup is listed: {measured.said}")
    return Run(measured=measured, stored=sum(peer.stored(ground).values()))


def _bring_back(arena: Arena, peer: Peer, ground: Ground) -> Run:
    """Restore into a new database and look whether all is there. Raises RuntimeError where it is not."""
    if peer.restore is None:
        raise ValueError(f"{peer.key} restores nothing")
    try:
        arena.make_database(_AGAIN, empty=not peer.makes_database)
        pipe = peer.restore(ground, ground.into(_AGAIN))
        os.sync()
        measured = run(pipe, scratch=ground.scratch)
        _require(measured)
        if (found := arena.census(_AGAIN)) != (wanted := arena.census(ground.database.name)):
            raise RuntimeError(f"restored {found}, and not {wanted}")
        return Run(measured=measured)
    finally:
        arena.make_database(_AGAIN)


@contextmanager
def told(peer: Peer, failed: dict[str, str]) -> Iterator[None]:
    """What goes wrong with a peer is told and kept as its reason; with the bare dump it ends all."""
    try:
        yield
    except Interrupted:
        raise
    except (RuntimeError, OSError, Missing, PgproofError) as error:
        if peer.key == BARE:
            raise
        failed[peer.key] = str(error)
        tell(f"  {peer.name}: {error}")


def _require(measured: Measured) -> None:
    if measured.status:
        raise RuntimeError(f"ended with {measured.exits}: {measured.said}")


def _forget(ground: Ground | None) -> None:
    """Give the disk back what lies there; the bucket goes with the S3 server of the round."""
    for folder in (ground.scratch, ground.shelf) if ground else ():
        shutil.rmtree(folder, ignore_errors=True)
