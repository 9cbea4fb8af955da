"""What a store says of its backups, as figures for Prometheus: true even where no job ever ran. Pure.

Owns the names, the words that explain them and how each is found. A moment is a figure that stays true wherever it is
kept; an age is true only now, so it is there only for whoever asks now. `docs/monitoring.md` publishes the table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, get_args

from backup.domain.drill import Drill, Verdict, prove
from backup.domain.manifest import Manifest
from backup.domain.retention import Standing, standing_of

LastStatus = Literal["complete", "suspect", "degraded", "failed"]
"""How the newest run ended."""
Action = Literal["backup", "restore", "drill", "prune"]
"""A run that leaves figures of itself."""
_COUNTED = (Standing.COMPLETE, Standing.SUSPECT, Standing.DEGRADED, Standing.SAFETY, Standing.UNREADABLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A figure: all are gauges, the unit is the end of the name.

    Attributes:
        text: what it says.
        labels: their names.
        live: it is true only at the moment of asking.
    """

    name: str
    text: str
    labels: tuple[str, ...] = ("store", "target")
    live: bool = False


_STORE, _RUN = ("store",), ("action", "target")
_ALL = (
    Definition(name="pgproof_store_up", labels=_STORE, text="Whether the store could be read."),
    Definition(
        name="pgproof_store_read_timestamp_seconds",
        labels=_STORE,
        text="When the store was read last; what is said of it is of then.",
    ),
    Definition(name="pgproof_store_free_bytes", labels=_STORE, text="Free space of a store that is a folder."),
    Definition(name="pgproof_store_size_bytes", labels=_STORE, text="Size of the disk of a store that is a folder."),
    Definition(name="pgproof_backup_last_success_timestamp_seconds", text="Snapshot of the newest complete backup."),
    Definition(
        name="pgproof_backup_age_seconds", live=True, text="Time since the snapshot of the newest complete backup."
    ),
    Definition(
        name="pgproof_backup_last_proven_timestamp_seconds",
        text="Snapshot of the newest complete backup that drills have proven.",
    ),
    Definition(
        name="pgproof_backup_proven_age_seconds", live=True, text="Time since the snapshot of the newest proven backup."
    ),
    Definition(
        name="pgproof_backup_unproven_since_timestamp_seconds",
        text="Snapshot of the oldest complete backup that is newer than all proven ones, where there is one.",
    ),
    Definition(
        name="pgproof_backup_last_run_timestamp_seconds",
        text="Start of the newest run that left anything in the store, a failed one too.",
    ),
    Definition(
        name="pgproof_backup_last_status",
        labels=("store", "target", "status"),
        text="1 for how the newest run ended (complete, suspect, degraded, failed), 0 for the others.",
    ),
    Definition(name="pgproof_backup_stored_bytes", text="Size in the store of the newest complete backup."),
    Definition(name="pgproof_backup_raw_bytes", text="Size of the newest complete backup before compression."),
    Definition(
        name="pgproof_backup_rows", text="Rows in the newest complete backup, as far as its proof has counted them."
    ),
    Definition(
        name="pgproof_backup_duration_seconds",
        text="How long the newest complete backup took from start to finish.",
    ),
    Definition(
        name="pgproof_backup_phase_duration_seconds",
        labels=("store", "target", "phase"),
        text="How long each phase of the newest complete backup took; phases may overlap.",
    ),
    Definition(
        name="pgproof_backups",
        labels=("store", "target", "status"),
        text="Backups in the store: complete, suspect, degraded, safety, unreadable.",
    ),
    Definition(name="pgproof_backups_proven", text="Complete backups that drills have proven."),
    Definition(name="pgproof_backups_held", text="Backups that are held."),
    Definition(name="pgproof_backups_stored_bytes", text="Size in the store of all backups."),
    Definition(name="pgproof_drill_last_timestamp_seconds", text="When the last drill began."),
    Definition(
        name="pgproof_drill_last_verdict",
        labels=("store", "target", "verdict"),
        text="1 for what the last drill found (proven, differs, failed, unproven), 0 for the others.",
    ),
    Definition(
        name="pgproof_drill_restore_seconds",
        text="Time to restore, as the last drill measured it that restored a whole backup.",
    ),
    Definition(name="pgproof_outbox_messages", text="Notifications in the store that nobody has heard yet."),
    Definition(
        name="pgproof_run_last_timestamp_seconds",
        labels=_RUN,
        text="When the last run ended (backup, restore, drill, prune), as the run itself tells it.",
    ),
    Definition(name="pgproof_run_last_exit_code", labels=_RUN, text="Exit code of the last run."),
    Definition(name="pgproof_run_last_duration_seconds", labels=_RUN, text="How long the last run took."),
)
DEFINITIONS = {each.name: each for each in _ALL}
"""All figures by name, in the order in which they are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A figure with its labels."""

    name: str
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What a store has of a target.

    Attributes:
        drills: of each backup by its id, oldest first.
        accepted, held: ids of those.
        unreadable: how many there are whose manifest cannot be read.
        failed: start of the newest run that failed, where it is newer than every backup.
        outbox: messages that wait.
    """

    target: str
    backups: Sequence[Manifest] = ()
    drills: Mapping[str, Sequence[Drill]] = field(default_factory=dict)
    accepted: frozenset[str] = frozenset()
    held: frozenset[str] = frozenset()
    unreadable: int = 0
    failed: datetime | None = None
    outbox: int = 0

    @property
    def complete(self) -> list[Manifest]:
        """The complete ones, by their snapshots; what a restore saved is none of them."""
        found = [each for each in self.backups if self._standing(each) is Standing.COMPLETE]
        return sorted(found, key=lambda each: each.snapshot.time)

    @property
    def newest(self) -> Manifest | None:
        """The newest complete one."""
        return next(reversed(self.complete), None)

    @property
    def newest_proven(self) -> Manifest | None:
        """The newest complete one that drills have proven."""
        return next((each for each in reversed(self.complete) if self.is_proven(each)), None)

    def is_proven(self, backup: Manifest) -> bool:
        """Whether drills have proven it."""
        return prove(self.drills.get(backup.id, ()))

    @property
    def counts(self) -> dict[str, int]:
        """How many backups there are of each status."""
        found = Counter(self._standing(each) for each in self.backups)
        found[Standing.UNREADABLE] += self.unreadable
        return {each.value: found[each] for each in _COUNTED}

    @property
    def last_run(self) -> tuple[LastStatus, datetime] | None:
        """How the newest run ended and when it began; what a restore saved does not count."""
        if self.failed:
            return "failed", self.failed
        runs = [each for each in self.backups if each.purpose == "backup"]
        if not runs:
            return None
        newest = max(runs, key=lambda each: each.age)
        status: dict[Standing, LastStatus] = {Standing.SUSPECT: "suspect", Standing.DEGRADED: "degraded"}
        return status.get(self._standing(newest), "complete"), newest.started

    def _standing(self, backup: Manifest) -> Standing:
        return standing_of(backup, accepted=backup.id in self.accepted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What was seen of a store, and whether it was there.

    Attributes:
        store: its address.
        up: whether it could be read the last time that was tried.
        read: when it was read last; None where it never was.
        free, size: bytes of its disk, where it is a folder.
    """

    store: str
    up: bool
    read: datetime | None = None
    holdings: tuple[Holding, ...] = ()
    free: int | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A run that has ended, as it tells of itself. `target` is empty where it ended before that was known."""

    action: Action
    target: str
    time: datetime
    exit_code: int
    seconds: float


def measure(sightings: Iterable[Sighting], *, now: datetime | None = None) -> tuple[Sample, ...]:
    """The figures of stores; ages only where `now` is given, by whoever is asked again for the next answer."""
    return tuple(sample for sighting in sightings for sample in _of_store(sighting, now))


def measure_run(ended: Ended) -> tuple[Sample, ...]:
    """The figures of a run."""
    labels = {"action": ended.action, "target": ended.target}
    return (
        Sample(name="pgproof_run_last_timestamp_seconds", labels=labels, value=ended.time.timestamp()),
        Sample(name="pgproof_run_last_exit_code", labels=labels, value=ended.exit_code),
        Sample(name="pgproof_run_last_duration_seconds", labels=labels, value=ended.seconds),
    )


def _of_store(sighting: Sighting, now: datetime | None) -> Iterator[Sample]:
    labels = {"store": sighting.store}
    yield Sample(name="pgproof_store_up", labels=labels, value=sighting.up)
    if sighting.read:
        yield Sample(name="pgproof_store_read_timestamp_seconds", labels=labels, value=sighting.read.timestamp())
    if sighting.free is not None and sighting.size is not None:
        yield Sample(name="pgproof_store_free_bytes", labels=labels, value=sighting.free)
        yield Sample(name="pgproof_store_size_bytes", labels=labels, value=sighting.size)
    for holding in sighting.holdings:
        figures = (*_of_moments(holding, now), *_of_newest(holding), *_of_all(holding), *_of_drills(holding))
        for name, more, value in figures:
            yield Sample(name=name, labels={**labels, "target": holding.target, **more}, value=value)


Figure = tuple[str, dict[str, str], float]


def _of_moments(holding: Holding, now: datetime | None) -> Iterator[Figure]:
    newest, proven = holding.newest, holding.newest_proven
    if newest:
        yield "pgproof_backup_last_success_timestamp_seconds", {}, newest.snapshot.time.timestamp()
    if proven:
        yield "pgproof_backup_last_proven_timestamp_seconds", {}, proven.snapshot.time.timestamp()
    if now and newest:
        yield "pgproof_backup_age_seconds", {}, (now - newest.snapshot.time).total_seconds()
    if now and proven:
        yield "pgproof_backup_proven_age_seconds", {}, (now - proven.snapshot.time).total_seconds()
    since = [each for each in holding.complete if not proven or each.snapshot.time > proven.snapshot.time]
    if since:
        yield "pgproof_backup_unproven_since_timestamp_seconds", {}, since[0].snapshot.time.timestamp()
    if holding.last_run:
        status, started = holding.last_run
        yield "pgproof_backup_last_run_timestamp_seconds", {}, started.timestamp()
        for each in get_args(LastStatus):
            yield "pgproof_backup_last_status", {"status": each}, each == status


def _of_newest(holding: Holding) -> Iterator[Figure]:
    newest = holding.newest
    if not newest:
        return
    yield "pgproof_backup_stored_bytes", {}, newest.stored_bytes
    yield "pgproof_backup_raw_bytes", {}, newest.raw_bytes
    if newest.proof:
        yield "pgproof_backup_rows", {}, newest.proof.rows
    yield "pgproof_backup_duration_seconds", {}, newest.duration
    for phase, seconds in newest.seconds.items():
        yield "pgproof_backup_phase_duration_seconds", {"phase": phase}, seconds


def _of_all(holding: Holding) -> Iterator[Figure]:
    for status, count in holding.counts.items():
        yield "pgproof_backups", {"status": status}, count
    yield "pgproof_backups_proven", {}, sum(holding.is_proven(each) for each in holding.complete)
    yield "pgproof_backups_held", {}, len(holding.held)
    yield "pgproof_backups_stored_bytes", {}, sum(each.stored_bytes for each in holding.backups)
    yield "pgproof_outbox_messages", {}, holding.outbox


def _of_drills(holding: Holding) -> Iterator[Figure]:
    ran = sorted((each for found in holding.drills.values() for each in found), key=lambda each: each.time)
    if not ran:
        return
    yield "pgproof_drill_last_timestamp_seconds", {}, ran[-1].time.timestamp()
    for verdict in get_args(Verdict):
        yield "pgproof_drill_last_verdict", {"verdict": verdict}, verdict == ran[-1].verdict
    measured = [each.restore_seconds for each in ran if each.restore_seconds is not None and each.sample == 1]
    if measured:
        yield "pgproof_drill_restore_seconds", {}, measured[-1]
