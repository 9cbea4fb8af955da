"""Which backups of a target are kept and which may go: a plan that can be printed. Pure.

Owns the rules and the floors under them. Everything counts from the newest complete backup, not from today: where no
new backups are made, none is deleted, however often a plan is carried out. The order of the list does not matter, and
what is left after a plan was carried out, it would keep again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from backup.domain.ids import BackupId
from backup.domain.manifest import Manifest, Status
from backup.domain.rules import CALENDAR, Rules, Slot

SETTLED = timedelta(days=1)
"""Age of the youngest object from which on what a run has left without a manifest is swept."""


class Standing(StrEnum):
    """What a stored run is worth to whoever needs a backup."""

    COMPLETE = "complete"
    SUSPECT = "suspect"
    DEGRADED = "degraded"
    SAFETY = "safety"
    UNREADABLE = "unreadable"
    DAMAGED = "damaged"
    DISPROVED = "disproved by a drill"


def standing_of(backup: Manifest, *, accepted: bool) -> Standing:
    """What a backup is worth, by its manifest and whether somebody has accepted it."""
    if backup.purpose == "safety":
        return Standing.SAFETY
    return Standing.COMPLETE if accepted and backup.status is Status.SUSPECT else Standing(backup.status.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRun:
    """What a store's list says of one run.

    Attributes:
        finished: there is a manifest, so it is a backup.
        failed: it has left a note that it failed.
        drilled: there are results of drills.
        held: there is a hold.
        shielded: somebody is reading it.
        bytes: of all its objects.
        youngest: when the youngest of them was written, by the store's clock.
    """

    id: BackupId
    finished: bool
    failed: bool = False
    drilled: bool = False
    held: bool = False
    shielded: bool = False
    bytes: int = 0
    youngest: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What becomes of a run, and why.

    Attributes:
        keep: False where it is deleted.
        reason: for people.
    """

    run: StoredRun
    keep: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What becomes of each run of a target in one store, the newest first.

    Attributes:
        stopped: why nothing at all is deleted; empty where something may be.
    """

    decisions: tuple[Decision, ...]
    stopped: str = ""

    @property
    def deleted(self) -> tuple[StoredRun, ...]:
        """The runs that go, the oldest first."""
        return tuple(each.run for each in reversed(self.decisions) if not each.keep)


StandingOf = Callable[[StoredRun], Standing]
"""What a finished run is worth. Asked of few: those that may be kept for it."""
IsProven = Callable[[StoredRun], bool]
"""Whether drills have proven a finished run. Asked of few, too."""


def plan(
    runs: Sequence[StoredRun],
    rules: Rules,
    *,
    now: datetime,
    standing_of: StandingOf,
    is_proven: IsProven,
    under_way: bool = False,
) -> Plan:
    """Decide what becomes of each run.

    Args:
        runs: of one target in one store, in any order.
        rules: of that store.
        now: by our own clock.
        standing_of: what a run is worth, by itself.
        is_proven: whether it is proven, by its drills.
        under_way: somebody holds the target's lease, so that what has no manifest may be theirs.
    """
    ordered = sorted(runs, key=lambda run: run.id, reverse=True)
    backups = [run for run in ordered if run.finished]
    stopped = _stop(ordered, rules, now, standing_of)
    reasons = {} if stopped else _reasons(backups, rules, standing_of, is_proven)
    newest = backups[0].id if backups else None
    decisions = []
    for run in ordered:
        if run.finished:
            reason = reasons.get(run.id) or stopped
            decisions.append(Decision(run=run, keep=bool(reason), reason=reason or "no rule keeps it"))
        else:
            reason = stopped or ("a run is under way" if under_way else "")
            decisions.append(_sweep(run, newest=newest, now=now, stopped=reason))
    return Plan(decisions=tuple(decisions), stopped=stopped)


def _stop(ordered: Sequence[StoredRun], rules: Rules, now: datetime, standing_of: StandingOf) -> str:
    """Why nothing may be deleted, if so."""
    if rules.off:
        return "retention is off"
    if not ordered:
        return "there is no backup"
    if ordered[0].id.started > now:
        return f"the clock went backwards: {ordered[0].id} lies ahead; delete it if its clock was wrong"
    for run in ordered:
        if not run.finished:
            return f"the newest run, {run.id}, {'failed' if run.failed else 'has not come to its end'}"
        standing = standing_of(run)
        if standing is not Standing.SAFETY:
            return "" if standing is Standing.COMPLETE else f"the newest backup, {run.id}, is {standing}"
    return "there is no complete backup"


def _reasons(
    backups: Sequence[StoredRun], rules: Rules, standing_of: StandingOf, is_proven: IsProven
) -> dict[BackupId, str]:
    """Why backups are kept, for those that are; at least one is complete."""
    complete = _Complete(backups, standing_of)
    reasons: dict[BackupId, list[str]] = {}
    for run, reason in (*_floors(backups, complete, rules, is_proven), *_ruled(backups, complete, rules)):
        reasons.setdefault(run.id, []).append(reason)
    return {backup_id: ", ".join(each) for backup_id, each in reasons.items()}


def _floors(
    backups: Sequence[StoredRun], complete: _Complete, rules: Rules, is_proven: IsProven
) -> Iterator[tuple[StoredRun, str]]:
    """What is kept whatever the rules say."""
    yield next(iter(complete)), "the newest complete one"
    proven = (run for run in backups if run.drilled and complete.has(run) and is_proven(run))
    for number, run in zip(range(rules.min_proven), proven, strict=False):
        yield run, f"proven {number + 1}"
    for run in backups:
        if run.held:
            yield run, "held"
        if run.shielded:
            yield run, "being read"


def _ruled(backups: Sequence[StoredRun], complete: _Complete, rules: Rules) -> Iterator[tuple[StoredRun, str]]:
    """What the rules keep."""
    if rules.keep_within:
        oldest = next(iter(complete)).id.started - rules.keep_within
        for run in backups:
            if run.id.started >= oldest:
                yield run, "keep-within"
    for number, run in zip(range(rules.keep_last), complete, strict=False):
        yield run, f"keep-last {number + 1}"
    for name in CALENDAR:
        for run, number in _slots(complete, name, rules):
            yield run, f"{name} {number}"


class _Complete:
    """The complete ones among backups, the newest first; none is asked about twice, nor before it is needed."""

    def __init__(self, backups: Sequence[StoredRun], standing_of: StandingOf) -> None:
        self._backups = backups
        self._standing_of = standing_of
        self._known: dict[BackupId, bool] = {}

    def __iter__(self) -> Iterator[StoredRun]:
        return (run for run in self._backups if self.has(run))

    def among(self) -> Sequence[StoredRun]:
        """All backups: whether one is complete is still to be asked."""
        return self._backups

    def has(self, run: StoredRun) -> bool:
        """Whether it is complete."""
        if run.id not in self._known:
            self._known[run.id] = self._standing_of(run) is Standing.COMPLETE
        return self._known[run.id]


def _slots(complete: _Complete, name: str, rules: Rules) -> Iterator[tuple[StoredRun, int]]:
    """The newest complete backup of each of the newest periods that have one, with the number of the period."""
    wanted: int = getattr(rules, name)
    seen: set[Slot] = set()
    for run in complete.among():
        if len(seen) >= wanted:
            return
        slot = CALENDAR[name](run.id.started.astimezone(rules.timezone))
        if slot not in seen and complete.has(run):
            seen.add(slot)
            yield run, len(seen)


def _sweep(run: StoredRun, *, newest: BackupId | None, now: datetime, stopped: str) -> Decision:
    """Whether what a run without a manifest has left can go: it is old, and a newer backup is there."""
    what = "failed" if run.failed else "has no manifest"
    if stopped:
        return Decision(run=run, keep=True, reason=stopped)
    if run.shielded:
        return Decision(run=run, keep=True, reason="being copied")
    if newest is None or run.id > newest:
        return Decision(run=run, keep=True, reason=f"{what}, and no newer backup is there")
    if now - run.youngest < SETTLED:
        return Decision(run=run, keep=True, reason=f"{what}, and is younger than a day")
    return Decision(run=run, keep=False, reason=f"{what}, and is older than a day")
