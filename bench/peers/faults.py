"""What happens when the password is wrong, and when pg_dump is killed half-way: the exit code, and what is left.

Both are caused for real. The pg_dump that is killed is the one that the peer has started, found below its processes and
ended by its id.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from backup.errors import PgproofError
from bench.peers.arena import Arena
from bench.peers.ground import Ground, Peer
from bench.peers.programs import Missing
from bench.peers.rounds import tell
from bench.peers.running import Look, Measured, run

_INTERVAL = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """How a peer bore a fault.

    Attributes:
        measured: of the run; None where it cannot be caused, or the peer did not run.
        left: names of what is in the store afterwards, and their bytes.
        unfinished: uploads that were neither completed nor aborted.
        listed: what passes for a finished backup.
        reason: why there is nothing to tell.
    """

    measured: Measured | None = None
    left: Mapping[str, int] = field(default_factory=dict)
    unfinished: int = 0
    listed: Sequence[str] = ()
    reason: str = ""


def wrong_password(arena: Arena, peers: Sequence[Peer]) -> dict[str, Fault]:
    """What each does with it, by key."""
    return {peer.key: _wrong_password(arena, peer) for peer in peers}


def killed_dump(arena: Arena, peers: Sequence[Peer], dumped: Mapping[str, int]) -> dict[str, Fault]:
    """What each does when its pg_dump is killed, after half of the bytes that it otherwise writes."""
    return {
        peer.key: _killed_dump(arena, peer, dumped.get(peer.key, 0) // 2) if peer.dumps else Fault(reason="no pg_dump")
        for peer in peers
    }


def _wrong_password(arena: Arena, peer: Peer) -> Fault:
    with arena.round() as ground_for:
        try:
            ground = ground_for(peer)
            peer.prepare(ground)
            pipe = peer.backup(replace(ground, database=replace(ground.database, password="wrong")))  # noqa: S106
            return _after(peer, ground, run(pipe, scratch=ground.scratch))
        except (RuntimeError, OSError, Missing, PgproofError) as error:
            return _not_tried(peer, error)


def _killed_dump(arena: Arena, peer: Peer, after: int) -> Fault:
    killed: list[int] = []

    def watch(found: Look) -> None:
        for pid, written in found.dumping.items():
            if not killed and written > after:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)

    with arena.round() as ground_for:
        try:
            ground = ground_for(peer)
            peer.prepare(ground)
            measured = run(peer.backup(ground), scratch=ground.scratch, watch=watch, interval=_INTERVAL)
            if not killed:
                return Fault(reason="pg_dump had ended before it could be killed")
            return _after(peer, ground, measured)
        except (RuntimeError, OSError, Missing, PgproofError) as error:
            return _not_tried(peer, error)


def _after(peer: Peer, ground: Ground, measured: Measured) -> Fault:
    return Fault(
        measured=measured,
        left=peer.stored(ground),
        unfinished=len(list(ground.store.leftovers(""))),
        listed=peer.listed(ground),
    )


def _not_tried(peer: Peer, error: Exception) -> Fault:
    tell(f"  {peer.name}: {error}")
    return Fault(reason=str(error).splitlines()[0])
