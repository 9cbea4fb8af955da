"""What happens when the password is wrong, and when pg_dump is killed half-way: the exit code, and what is left.

Both are caused for real. The pg_dump that is killed is the one that the peer has started, found below its processes and
ended by its id.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import psutil

from backup.errors import Interrupted, PgproofError
from bench.peers.ground import Ground, GroundFor, Peer
from bench.peers.processes import Look
from bench.peers.programs import Missing
from bench.peers.rounds import tell
from bench.peers.running import Measured, run

_INTERVAL = 0.01
_WRONG = "wrong"
_TRIES = 5
"""A short dump may end before it is seen to be half-way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """How a peer bore a fault.

    Attributes:
        measured: of the run; None where it cannot be caused, or the peer did not run.
        left: names of what is in the store afterwards and was not before, and their bytes.
        unfinished: uploads that were neither completed nor aborted.
        listed: what passes for a finished backup.
        reason: why there is nothing to tell.
    """

    measured: Measured | None = None
    left: Mapping[str, int] = field(default_factory=dict)
    unfinished: int = 0
    listed: Sequence[str] = ()
    reason: str = ""


def wrong_password(ground_for: GroundFor, peers: Sequence[Peer]) -> dict[str, Fault]:
    """What each does with it, by key."""
    return {peer.key: _wrong_password(peer, ground_for) for peer in peers}


def killed_dump(ground_for: GroundFor, peers: Sequence[Peer], dumped: Mapping[str, int]) -> dict[str, Fault]:
    """What each does when its pg_dump is killed, after half of the bytes that it otherwise writes."""
    return {peer.key: _killed_dump(peer, ground_for, dumped.get(peer.key, 0) // 2) for peer in peers}


def _wrong_password(peer: Peer, ground_for: GroundFor) -> Fault:
    try:
        ground = ground_for(peer)
        peer.prepare(ground)
        before = peer.stored(ground)
        pipe = peer.backup(replace(ground, database=replace(ground.database, password=_WRONG)))
        return _after(peer, ground, before, run(pipe, scratch=ground.scratch))
    except Interrupted:
        raise
    except (RuntimeError, OSError, Missing, PgproofError) as error:
        return _not_tried(peer, error)


def _killed_dump(peer: Peer, ground_for: GroundFor, after: int) -> Fault:
    if not peer.dumps:
        return Fault(reason="no pg_dump")
    for _ in range(_TRIES):
        if fault := _kill_once(peer, ground_for, after):
            return fault
    return Fault(reason="pg_dump had ended before it could be killed")


def _kill_once(peer: Peer, ground_for: GroundFor, after: int) -> Fault | None:
    """None where it had ended before."""
    killed: list[int] = []
    written: dict[int, int] = {}

    def watch(found: Look) -> None:
        """There may be several pg_dump; the one that has most to lose is killed."""
        written.update(found.dumping)
        if found.dumping and not killed and sum(written.values()) > after:
            pid = max(found.dumping, key=lambda each: found.dumping[each])
            if _kill(pid):
                killed.append(pid)

    try:
        ground = ground_for(peer)
        peer.prepare(ground)
        before = peer.stored(ground)
        measured = run(peer.backup(ground), scratch=ground.scratch, watch=watch, interval=_INTERVAL)
        return _after(peer, ground, before, measured) if killed else None
    except Interrupted:
        raise
    except (RuntimeError, OSError, Missing, PgproofError) as error:
        return _not_tried(peer, error)


def _kill(pid: int) -> bool:
    """Kill it where it still runs; it is stopped first, for one that has ended takes a signal and loses nothing."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        process.suspend()
        while (status := process.status()) not in {psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE}:
            time.sleep(_INTERVAL / 10)
        if status == psutil.STATUS_STOPPED:
            process.kill()
            return True
    return False


def _after(peer: Peer, ground: Ground, before: Mapping[str, int], measured: Measured) -> Fault:
    return Fault(
        measured=measured,
        left={name: size for name, size in peer.stored(ground).items() if name not in before},
        unfinished=len(list(ground.store.leftovers(""))),
        listed=peer.listed(ground),
    )


def _not_tried(peer: Peer, error: Exception) -> Fault:
    tell(f"  {peer.name}: {error}")
    return Fault(reason=str(error).splitlines()[0])
