"""What can be said of a target's backups over a period, from its manifests and drills alone. Pure.

Owns what a gap is, which gaps are too long, and how much could have been lost. A gap lies between the snapshots of
two complete backups, one after the other; the last is open: it lasts until now. Suspect, degraded and safety backups
and those that cannot be read end no gap. The gap that the period begins in counts whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import get_args

from backup.domain.drill import Drill, Verdict, prove
from backup.domain.ids import BackupId
from backup.domain.manifest import Manifest, Status

OVERWRITTEN_BY = "before-restoring"
"""The label of a safety backup that names the backup which was restored over what it holds."""

GIVEN_SLACK = 1.1
"""Times the schedule that is given: runs start and take their snapshot some moments late. A guess."""

MEDIAN_SLACK = 1.5
"""Times the median interval where no schedule is given; one missed run makes it 2. A guess."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A time without a snapshot, in UTC; `after` and `before` are the backups at its ends, None where it is open."""

    begin: datetime
    end: datetime
    after: str
    before: str | None

    @property
    def length(self) -> timedelta:
        """How long it is."""
        return self.end - self.begin


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How often there should be a backup: `given` by somebody, or the median interval. Longer than `limit` is late."""

    interval: timedelta
    limit: timedelta
    given: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A backup and its last drill. `proven`: all of its drills together say so."""

    backup: Manifest
    drill: Drill | None
    proven: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The figures that matter.

    Attributes:
        backups: in the period, whatever their standing.
        newest, newest_proven: of all there are, safety backups left aside.
        worst_loss: the longest time from a snapshot until the next backup was finished, or until now.
        verdicts: drills in the period by what they found.
        median_restore, worst_restore: time to restore, of the `measured` drills that restored a whole backup.
    """

    backups: int
    newest: Entry | None
    newest_proven: Entry | None
    longest_gap: Gap | None
    worst_loss: timedelta | None
    verdicts: Mapping[Verdict, int]
    measured: int
    median_restore: timedelta | None
    worst_restore: timedelta | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A target over a period, everything oldest first.

    Attributes:
        store: its address.
        since, now: the period; it was made now.
        pgproof: the version that made it.
        entries: the backups of the period.
        drills: those that ran in the period, of whatever backup.
        gaps: all that reach into the period.
        schedule: None where neither given nor to be seen.
        overwriting: safety backups of the period: each was taken before a restore over a live database.
        unreadable: ids of the period whose manifest cannot be read, with the reason.
    """

    store: str
    target: str
    since: datetime
    now: datetime
    pgproof: str
    summary: Summary
    entries: tuple[Entry, ...]
    drills: tuple[Drill, ...]
    gaps: tuple[Gap, ...]
    schedule: Schedule | None
    overwriting: tuple[Manifest, ...]
    unreadable: tuple[tuple[str, str], ...]

    @property
    def long_gaps(self) -> tuple[Gap, ...]:
        """The gaps that are longer than the schedule allows."""
        limit = self.schedule.limit if self.schedule else timedelta.max
        return tuple(gap for gap in self.gaps if gap.length > limit)


def make_report(
    *,
    store: str,
    target: str,
    backups: Sequence[Manifest],
    drills: Mapping[str, Sequence[Drill]],
    unreadable: Sequence[tuple[str, str]] = (),
    since: datetime,
    now: datetime,
    every: timedelta | None = None,
    pgproof: str,
) -> Report:
    """Given all that a store has of a target, say what there is to say of the time between `since` and `now`.

    Args:
        store: its address.
        target: its name.
        backups: all of them, those before the period too.
        drills: of each backup by its id, oldest first.
        unreadable: ids and reasons.
        since: the period begins.
        now: it ends.
        every: how often there should be a backup; None: judge by the median interval.
        pgproof: the version that says it.
    """
    since, now = since.astimezone(UTC), now.astimezone(UTC)
    history = [
        Entry(
            backup=each,
            drill=next(reversed(drills.get(each.id, ())), None),
            proven=prove(drills.get(each.id, ())),
        )
        for each in sorted(backups, key=lambda each: each.snapshot.time)
    ]
    entries = tuple(each for each in history if each.backup.snapshot.time >= since)
    ran = [each for found in drills.values() for each in found if each.time >= since]
    counted = [
        each.backup for each in history if each.backup.status is Status.COMPLETE and each.backup.purpose == "backup"
    ]
    gaps = tuple(gap for gap in _gaps(counted, now) if gap.end >= since)
    return Report(
        store=store,
        target=target,
        since=since,
        now=now,
        pgproof=pgproof,
        summary=_summary(history, entries, ran, gaps, _worst_loss(counted, since, now)),
        entries=entries,
        drills=tuple(sorted(ran, key=lambda each: each.time)),
        gaps=gaps,
        schedule=_schedule(gaps, every),
        overwriting=tuple(each.backup for each in entries if each.backup.purpose == "safety"),
        unreadable=tuple((name, reason) for name, reason in unreadable if _started(name, now) >= since),
    )


def _gaps(counted: Sequence[Manifest], now: datetime) -> list[Gap]:
    """Between each and the next, and behind the last; in UTC, because elsewhere a day may have 23 hours."""
    times = [(each.snapshot.time.astimezone(UTC), each.id) for each in counted]
    gaps = [Gap(begin=begin, end=end, after=after, before=before) for (begin, after), (end, before) in pairwise(times)]
    if times and times[-1][0] < now:
        gaps.append(Gap(begin=times[-1][0], end=now, after=times[-1][1], before=None))
    return gaps


def _worst_loss(counted: Sequence[Manifest], since: datetime, now: datetime) -> timedelta | None:
    """A backup helps from its end on: until then what came after the snapshot before it would be lost."""
    begins = [each.snapshot.time.astimezone(UTC) for each in counted]
    ends = [*(each.finished.astimezone(UTC) for each in counted[1:]), now]
    return max((end - begin for begin, end in zip(begins, ends, strict=False) if end >= since), default=None)


def _schedule(gaps: Sequence[Gap], every: timedelta | None) -> Schedule | None:
    if every is not None:
        return Schedule(interval=every, limit=every * GIVEN_SLACK, given=True)
    lengths = [gap.length for gap in gaps if gap.before is not None]
    interval = _middle(lengths)
    return Schedule(interval=interval, limit=interval * MEDIAN_SLACK, given=False) if interval else None


def _middle(lengths: Sequence[timedelta]) -> timedelta | None:
    return timedelta(seconds=median(each.total_seconds() for each in lengths)) if lengths else None


def _summary(
    history: Sequence[Entry],
    entries: Sequence[Entry],
    drills: Sequence[Drill],
    gaps: Sequence[Gap],
    worst_loss: timedelta | None,
) -> Summary:
    ordinary = [each for each in reversed(history) if each.backup.purpose == "backup"]
    verdicts = Counter(each.verdict for each in drills)
    took = [each.rto for each in drills if each.rto is not None and each.sample == 1]
    return Summary(
        backups=len(entries),
        newest=next(iter(ordinary), None),
        newest_proven=next((each for each in ordinary if each.proven), None),
        longest_gap=max(gaps, key=lambda gap: gap.length, default=None),
        worst_loss=worst_loss,
        verdicts={verdict: verdicts[verdict] for verdict in get_args(Verdict)},
        measured=len(took),
        median_restore=_middle(took),
        worst_restore=max(took, default=None),
    )


def _started(name: str, now: datetime) -> datetime:
    """When a backup of this id was begun; one that cannot be told is of today."""
    parsed = BackupId.parse(name)
    return parsed.started if parsed else now
