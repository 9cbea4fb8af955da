"""What stands on the page of a report: headings, sentences, names and values, tables. The formats only draw it.

Owns the order, what matters first and the long tables last, and the words of the summary.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from backup.cli.output import Fields, Table, cell
from backup.cli.report_tables import (
    BAD,
    Toned,
    plural,
    told_backups,
    told_drills,
    told_gaps,
    told_overwriting,
    told_unreadable,
)
from backup.domain.manifest import Status
from backup.domain.periods import show_period
from backup.domain.report import Entry, Gap, Report
from backup.domain.sizes import show_age

HOW_TO_READ = """\
This page was made from what the store holds, and from nothing else.
A backup that was deleted has left no trace. Where old backups are thinned out, gaps lie between those that were kept.
A gap lies between the snapshots of two complete backups, one after the other. Suspect, degraded and safety backups \
and those that cannot be read end none. The last gap is open: it lasts until this page was made.
The worst possible loss is the longest time from a snapshot until the next backup was finished, or until now: what was \
written in that time would have been lost with the database.
Proven means that a drill restored the backup where it does no harm, and that all it compared is what the snapshot \
held. The last drill of a backup counts.
The time to restore was measured by drills, from the first byte of the dump to a database that can be used. Drills of \
a sample are left out of median and worst.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """The period as a line: its snapshots, its gaps, and drills. A format that cannot draw leaves it out."""

    report: Report


Part = str | Table | Fields | Timeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading and what stands under it; `level` 2 is a chapter, 3 a part of one."""

    title: str
    parts: Sequence[Part]
    level: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A whole document."""

    title: str
    head: Fields
    sections: Sequence[Section]


def make_page(reports: Sequence[Report], *, every_target: bool) -> Page:
    """The page of one target, or of all targets with a table of them first."""
    first = reports[0]
    return Page(
        title="Backup report" if every_target else f"Backup report: {first.target}",
        head=_looked_at(first, "all" if every_target else first.target),
        sections=[
            *([_overview(reports)] if every_target else []),
            *(each for report in reports for each in _chapter(report, every_target=every_target)),
            Section(title="How to read this", parts=HOW_TO_READ.splitlines()),
        ],
    )


def _looked_at(report: Report, target: str) -> Fields:
    return Fields(
        values={
            "store": report.store,
            "target": target,
            "from": report.since,
            "to": report.now,
            "made": f"by pgproof {report.pgproof}",
        }
    )


def _overview(reports: Sequence[Report]) -> Section:
    rows = [
        (
            report.target,
            report.summary.backups,
            _age(report, report.summary.newest),
            _age(report, report.summary.newest_proven),
            _length(report.summary.longest_gap),
            len(report.long_gaps),
            len(report.drills),
            report.summary.worst_restore,
        )
        for report in reports
    ]
    columns = (
        "target",
        "backups",
        "newest",
        "newest proven",
        "longest gap",
        "gaps too long",
        "drills",
        "worst restore",
    )
    return Section(title="All targets", parts=[Table(columns=columns, rows=rows, right=set(columns[1:]))])


def _chapter(report: Report, *, every_target: bool) -> Iterator[Section]:
    level = 3 if every_target else 2
    title = report.target if every_target else "Summary"
    yield Section(title=title, parts=[Timeline(report=report), _summary(report)])
    yield Section(title="Gaps", parts=list(told_gaps(report)), level=level)
    yield Section(title="Drills", parts=[told_drills(report)], level=level)
    yield Section(title="Restores over a live database", parts=list(told_overwriting(report)), level=level)
    yield Section(title="Unreadable manifests", parts=[told_unreadable(report)], level=level)
    yield Section(title="Backups", parts=[told_backups(report)], level=level)


def _summary(report: Report) -> Fields:
    summary = report.summary
    newest, proven, gap = summary.newest, summary.newest_proven, summary.longest_gap
    return Fields(
        values={
            "database": newest and f"{newest.backup.database.name}, PostgreSQL {newest.backup.database.server_version}",
            "backups": f"{summary.backups}{_apart(report.entries)}",
            "newest": f"{newest.backup.id}, {_age(report, newest)} old" if newest else Toned("none", BAD),
            "newest proven": _proven(report, proven) if proven else Toned("none", BAD),
            "longest gap": f"{_length(gap)}, {_ends(gap)}" if gap else "not known",
            "gaps too long": f"{len(report.long_gaps)} of {len(report.gaps)}" if report.schedule else "not judged",
            "worst possible loss": show_period(summary.worst_loss) if summary.worst_loss else "not known",
            "drills": _counted(report),
            "time to restore": _restore_times(report),
        }
    )


def _apart(entries: Sequence[Entry]) -> str:
    """What sets some of the backups apart, counted."""
    found = Counter(
        word
        for each in (entry.backup for entry in entries)
        for word, holds in (
            (each.status.value, each.status is not Status.COMPLETE),
            (each.purpose, each.purpose != "backup"),
            ("filtered", each.filtered),
        )
        if holds
    )
    return f", of which {', '.join(f'{count} {word}' for word, count in sorted(found.items()))}" if found else ""


def _counted(report: Report) -> str:
    verdicts = [(name, count) for name, count in report.summary.verdicts.items() if count or name != "unproven"]
    told = ", ".join(f"{count} {name}" for name, count in verdicts)
    return f"{len(report.drills)}: {told}" if report.drills else "none"


def _restore_times(report: Report) -> str:
    summary = report.summary
    if summary.median_restore is None or summary.worst_restore is None:
        return "not measured"
    times = f"{cell(summary.median_restore)} median, {cell(summary.worst_restore)} worst"
    return f"{times}, of {plural(summary.measured, 'drill')}"


def _proven(report: Report, entry: Entry) -> str:
    proven = f", proven {show_age(report.now - entry.drill.time)} ago" if entry.drill else ""
    return f"{entry.backup.id}, {_age(report, entry)} old{proven}"


def _age(report: Report, entry: Entry | None) -> str:
    return show_age(report.now - entry.backup.snapshot.time) if entry else "none"


def _length(gap: Gap | None) -> str:
    return show_period(gap.length) if gap else ""


def _ends(gap: Gap) -> str:
    return f"after {gap.after}, " + (f"until {gap.before}" if gap.before else "still open")
