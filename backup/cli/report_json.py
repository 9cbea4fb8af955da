"""A report for programs: the same figures as on the page, unrounded, instants in UTC, lengths of time in seconds."""

from __future__ import annotations

from collections.abc import Sequence

from backup.cli.drills import figures
from backup.domain.drill import Drill
from backup.domain.manifest import Manifest
from backup.domain.report import OVERWRITTEN_BY, Entry, Gap, Report
from backup.workflow.listing import summary


def described(reports: Sequence[Report]) -> dict[str, object]:
    """The document, a member of `reports` for each target."""
    first = reports[0]
    return {
        "store": first.store,
        "since": first.since,
        "until": first.now,
        "pgproof": first.pgproof,
        "reports": [_report(each) for each in reports],
    }


def _report(report: Report) -> dict[str, object]:
    return {
        "target": report.target,
        "summary": _summary(report),
        "schedule": report.schedule,
        "long_gaps": [_gap(each) for each in report.long_gaps],
        "backups": [_backup(each) for each in reversed(report.entries)],
        "drills": [_drill(each) for each in reversed(report.drills)],
        "restores_over_a_live_database": [_overwriting(each) for each in reversed(report.overwriting)],
        "unreadable": [{"id": name, "error": reason} for name, reason in report.unreadable],
    }


def _summary(report: Report) -> dict[str, object]:
    found = report.summary
    return {
        "backups": found.backups,
        "newest": _aged(found.newest, report),
        "newest_proven": _aged(found.newest_proven, report),
        "longest_gap": found.longest_gap and _gap(found.longest_gap),
        "worst_loss": found.worst_loss,
        "gaps": len(report.gaps),
        "long_gaps": len(report.long_gaps),
        "drills": len(report.drills),
        "verdicts": found.verdicts,
        "restores_measured": found.measured,
        "median_restore": found.median_restore,
        "worst_restore": found.worst_restore,
    }


def _aged(entry: Entry | None, report: Report) -> dict[str, object] | None:
    if entry is None:
        return None
    moment = entry.backup.snapshot.time
    return {"id": entry.backup.id, "snapshot": moment, "age": report.now - moment}


def _gap(gap: Gap) -> dict[str, object]:
    return {"begin": gap.begin, "end": gap.end, "length": gap.length, "after": gap.after, "before": gap.before}


def _backup(entry: Entry) -> dict[str, object]:
    """As `pgproof list` says it, with the proof in figures."""
    return {**summary(entry.backup), "proof": entry.backup.proof, "drill": entry.drill and _drill(entry.drill)}


def _drill(drill: Drill) -> dict[str, object]:
    return {
        "time": drill.time,
        **figures(drill),
        "sample": drill.sample,
        "text": drill.text,
        "checks": drill.checks,
        "error": drill.error,
    }


def _overwriting(backup: Manifest) -> dict[str, object]:
    return {
        "safety_backup": backup.id,
        "time": backup.snapshot.time,
        "restored": backup.labels.get(OVERWRITTEN_BY),
        "database": backup.database.name,
    }
