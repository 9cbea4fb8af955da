"""What stands below the summary of a report: gaps, drills, restores, what cannot be read, backups; newest first.

Owns the columns and how a word says whether something is good.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from backup.cli.output import Table
from backup.domain.drill import Drill
from backup.domain.manifest import Manifest, Status
from backup.domain.periods import show_period
from backup.domain.proof import Mode
from backup.domain.report import OVERWRITTEN_BY, Entry, Report
from backup.domain.sizes import show_seconds, show_size

GOOD, BAD, PLAIN = "good", "bad", "plain"
_TONES = {"proven": GOOD, "differs": BAD, "failed": BAD}
_PROOFS = {"full": "every value", "rows": "row counts"}


@dataclass(frozen=True, slots=True)
class Toned:
    """A word that says whether something is good."""

    text: str
    tone: str

    def __str__(self) -> str:
        return self.text


def tone(drill: Drill) -> str:
    """Whether what a drill found is good."""
    return _TONES.get(drill.verdict, PLAIN)


def told_gaps(report: Report) -> Iterator[str | Table]:
    """Which gaps are longer than the schedule, and how that is known."""
    schedule = report.schedule
    if schedule is None:
        yield "No schedule was given, and there are too few backups to see one: no gap is called too long."
        return
    limit, interval = show_period(schedule.limit), show_period(schedule.interval)
    whence = (
        f"a backup every {interval}, as was given, and a tenth for late starts"
        if schedule.given
        else f"one and a half times the median interval of {interval}; no schedule was given"
    )
    gaps = report.long_gaps
    if not gaps:
        yield f"No gap is longer than {limit}: {whence}."
        return
    verb = "is" if len(gaps) == 1 else "are"
    yield f"{len(gaps)} of {plural(len(report.gaps), 'gap')} {verb} longer than {limit}: {whence}."
    rows = [
        (gap.begin, gap.end if gap.before else "still open", show_period(gap.length), gap.after, gap.before)
        for gap in reversed(gaps)
    ]
    yield Table(columns=("from", "to", "length", "backup before", "backup after"), rows=rows, right={"length"})


def told_drills(report: Report) -> str | Table:
    """Every drill."""
    figures = ("time to restore", "tables", "rows", "differences")
    columns = ("drill", "backup", "verdict", "compared", *figures, "own checks", "server", "phases", "why not proven")
    rows = [
        (
            each.time,
            each.backup,
            _verdict(each),
            each.mode and _compared(each.mode, each.unproven_count, "fact"),
            each.rto,
            *((each.tables, f"{each.rows:,}", each.difference_count) if each.mode else (None, None, None)),
            _checks(each),
            each.server_version,
            ", ".join(f"{name} {show_seconds(took)}" for name, took in each.seconds.items()),
            None if each.proven else each.text,
        )
        for each in reversed(report.drills)
    ]
    if not rows:
        return "No drill ran in this time: nothing was proven."
    return Table(columns=columns, rows=rows, right=set(figures))


def told_overwriting(report: Report) -> Iterator[str | Table]:
    """The restores that left a trace, and that others leave none."""
    yield (
        "Before a restore over a live database a safety backup is taken: the only trace a restore leaves. How it "
        "ended is not recorded. Restores into new databases, and those without a safety backup, leave no trace."
    )
    rows = [
        (each.snapshot.time, each.labels.get(OVERWRITTEN_BY), each.database.name, each.id)
        for each in reversed(report.overwriting)
    ]
    columns = ("safety backup taken", "backup restored", "over database", "safety backup")
    yield Table(columns=columns, rows=rows) if rows else "There was none in this time."


def told_unreadable(report: Report) -> str | Table:
    """The backups that cannot be used."""
    if not report.unreadable:
        return "There is none."
    return Table(columns=("backup", "reason"), rows=list(reversed(report.unreadable)))


def told_backups(report: Report) -> str | Table:
    """Every backup, with its last drill."""
    if not report.entries:
        return "There is none in this time."
    drilled, held = ("last drill", "drilled", "time to restore"), ("tables", "rows")
    sizes = ("database", "dumped", "stored")
    columns = ("id", "status", "snapshot", *drilled, "proof", *held, *sizes)
    rows = [_backup(each) for each in reversed(report.entries)]
    return Table(columns=columns, rows=rows, right={"time to restore", *held, *sizes})


def _backup(entry: Entry) -> Sequence[object]:
    backup, drill, totals = entry.backup, entry.drill, entry.backup.proof
    return (
        backup.id,
        _standing(backup),
        backup.snapshot.time,
        drill and _verdict(drill),
        drill and drill.time,
        drill and drill.rto,
        _compared(totals.mode, totals.unproven, "table") if totals else "none",
        totals and totals.tables,
        totals and f"{totals.rows:,}",
        show_size(backup.database.bytes),
        show_size(backup.raw_bytes),
        show_size(backup.stored_bytes),
    )


def _compared(mode: Mode, unproven: int, what: str) -> str:
    return _PROOFS[mode] + (f", {plural(unproven, what)} not" if unproven else "")


def _standing(backup: Manifest) -> object:
    return backup.standing if backup.status is Status.COMPLETE else Toned(backup.standing, BAD)


def _verdict(drill: Drill) -> Toned:
    sample = "" if drill.sample == 1 else f", {drill.sample:.0%} sample"
    return Toned(drill.verdict + sample, tone(drill))


def _checks(drill: Drill) -> str:
    failed = [each for each in drill.checks if not each.passed]
    if failed:
        told = ", ".join(f"{each.name}: {each.said}" for each in failed)
        return f"{len(failed)} of {len(drill.checks)} failed: {told}"
    return f"{len(drill.checks)} good" if drill.checks else "none"


def plural(count: int, word: str) -> str:
    """A number of things."""
    return f"{count} {word}{'s' * (count != 1)}"
