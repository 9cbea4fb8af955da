"""What the status page says: figures and words, from what the stores said last. Pure but for the plans it is given.

Owns how the same backup in several stores becomes one line, and which tone a thing has: good, warn, bad, plain.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from backup import __version__
from backup.api.chart import Chart, charts
from backup.api.library import Entry, entries, restore_command
from backup.api.plans import Plan
from backup.domain.drill import Drill
from backup.domain.manifest import Manifest
from backup.domain.metrics import Holding, Sighting
from backup.domain.report import Gap, Report, make_report
from backup.domain.sizes import show_age

PERIOD = timedelta(days=30)
"""That the charts show."""
MOST_LINES = 50
"""Backups on a page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreLine:
    """A store and when it was read last."""

    url: str
    up: bool
    read: datetime | None
    age: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetLine:
    """A target in a few words."""

    name: str
    newest: Manifest | None
    newest_age: str
    proven: Manifest | None
    proven_age: str
    failed: datetime | None
    tone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupLine:
    """A backup, wherever it is stored."""

    backup: Manifest
    age: str
    standing: str
    tone: str
    proven: bool
    drill: Drill | None
    stores: tuple[str, ...]
    restore: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetView:
    """A target in full."""

    line: TargetLine
    backups: tuple[BackupLine, ...]
    more: int
    drills: tuple[Drill, ...]
    charts: tuple[Chart, ...]
    gaps: tuple[Gap, ...]
    report: Report | None
    unreadable: int
    plans: tuple[Plan, ...]


def store_lines(sightings: Iterable[Sighting], now: datetime) -> list[StoreLine]:
    """All stores."""
    return [
        StoreLine(url=each.store, up=each.up, read=each.read, age=show_age(now - each.read) if each.read else "")
        for each in sightings
    ]


def target_lines(sightings: Sequence[Sighting], now: datetime) -> list[TargetLine]:
    """All targets, in order."""
    names = sorted({holding.target for each in sightings for holding in each.holdings})
    return [_target_line(name, _holdings(sightings, name), now) for name in names]


def target_view(sightings: Sequence[Sighting], name: str, plans: Sequence[Plan], now: datetime) -> TargetView:
    """One target."""
    holdings = _holdings(sightings, name)
    lines = _backup_lines(entries(tuple(sightings), name), now)
    drills = _drills(holdings)
    report = _report(name, [each.backup for each in lines], drills, now)
    return TargetView(
        line=_target_line(name, holdings, now),
        backups=tuple(lines[:MOST_LINES]),
        more=max(len(lines) - MOST_LINES, 0),
        drills=tuple(sorted((one for each in drills.values() for one in each), key=lambda each: each.time)[:-11:-1]),
        charts=tuple(charts(report)) if report else (),
        gaps=report.long_gaps if report else (),
        report=report,
        unreadable=max((each.unreadable for each in holdings), default=0),
        plans=tuple(plans),
    )


def _holdings(sightings: Iterable[Sighting], name: str) -> list[Holding]:
    return [holding for each in sightings for holding in each.holdings if holding.target == name]


def _target_line(name: str, holdings: Sequence[Holding], now: datetime) -> TargetLine:
    newest = max((each.newest for each in holdings if each.newest), key=_moment, default=None)
    proven = max((each.newest_proven for each in holdings if each.newest_proven), key=_moment, default=None)
    failed = max((each.failed for each in holdings if each.failed), default=None)
    return TargetLine(
        name=name,
        newest=newest,
        newest_age=show_age(now - newest.snapshot.time) if newest else "",
        proven=proven,
        proven_age=show_age(now - proven.snapshot.time) if proven else "",
        failed=failed,
        tone="bad" if newest is None or failed else "good" if proven else "warn",
    )


def _moment(backup: Manifest) -> datetime:
    return backup.snapshot.time


def _drills(holdings: Iterable[Holding]) -> dict[str, list[Drill]]:
    """Of each backup all that any store knows, the oldest first, each once."""
    found: dict[str, dict[datetime, Drill]] = {}
    for holding in holdings:
        for name, each in holding.drills.items():
            found.setdefault(name, {}).update({drill.time: drill for drill in each})
    return {name: [each[time] for time in sorted(each)] for name, each in found.items()}


def _backup_lines(found: Iterable[Entry], now: datetime) -> list[BackupLine]:
    by_id: dict[str, list[Entry]] = {}
    for each in found:
        by_id.setdefault(each.backup.id, []).append(each)
    return [_backup_line(each, now) for each in by_id.values()]


def _backup_line(same: Sequence[Entry], now: datetime) -> BackupLine:
    backup = same[0].backup
    holdings = [each.holding for each in same]
    marks = [
        word
        for word, holds in (
            ("accepted", any(backup.id in each.accepted for each in holdings)),
            ("held", any(backup.id in each.held for each in holdings)),
        )
        if holds
    ]
    proven = any(each.is_proven(backup) for each in holdings)
    complete = any(backup in each.complete for each in holdings) or backup.purpose == "safety"
    drills = _drills(holdings).get(backup.id)
    disproved = drills is not None and drills[-1].verdict in {"differs", "failed"}
    return BackupLine(
        backup=backup,
        age=show_age(now - backup.snapshot.time),
        standing=", ".join([backup.standing, *marks]),
        tone="bad" if disproved else "warn" if not complete else "good" if proven else "plain",
        proven=proven,
        drill=drills[-1] if drills else None,
        stores=tuple(sorted(each.store for each in same)),
        restore=restore_command(backup),
    )


def _report(name: str, backups: Sequence[Manifest], drills: dict[str, list[Drill]], now: datetime) -> Report | None:
    """What is to be said of the time that the charts show: a month, or since the first backup."""
    if not backups:
        return None
    oldest = min(each.snapshot.time for each in backups)
    return make_report(
        store="",
        target=name,
        backups=backups,
        drills=drills,
        since=max(now - PERIOD, oldest - timedelta(minutes=1)),
        now=now,
        pgproof=__version__,
    )
