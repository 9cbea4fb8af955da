"""How drills are shown: one in full, one in a few words beside its backup, one in figures for the world."""

from __future__ import annotations

from datetime import datetime

from backup.cli.output import Fields, Table, View
from backup.domain.comparison import Difference
from backup.domain.drill import Drill
from backup.domain.sizes import show_age, show_seconds

_MOST_SHOWN = 50


def drill_view(result: Drill) -> View:
    """A drill for people."""
    shown = result.differences[:_MOST_SHOWN]
    more = len(result.differences) - len(shown)
    views: list[str | Table | Fields] = [
        Fields(
            values={
                "backup": result.backup,
                "drill": result.time,
                "verdict": result.verdict,
                "because": result.text,
                "server": f"PostgreSQL {result.server_version}" if result.server_version else None,
                "sample": None if result.sample == 1 else f"{result.sample:.0%} of the tables",
                "not compared": ", ".join(result.not_compared) or None,
                "time to restore": show_seconds(result.restore_seconds) if result.restore_seconds else None,
                "took": ", ".join(f"{name} {show_seconds(each)}" for name, each in result.seconds.items()),
                "checks": ", ".join(f"{each.name}: {'good' if each.passed else each.said}" for each in result.checks)
                or None,
                "error": result.error,
            }
        )
    ]
    if shown:
        views.append("\n".join([*(_line(each) for each in shown), *([f"and {more} more"] if more else [])]))
    if result.unproven:
        views.append("\n".join(f"unproven: {each}" for each in result.unproven[:_MOST_SHOWN]))
    return views


def _line(difference: Difference) -> str:
    return f"{'note' if difference.noted else 'differs'}: {difference.text}"


def took(result: Drill) -> str:
    """The measured time to restore, to be put behind something."""
    return f", restored in {show_seconds(result.restore_seconds)}" if result.restore_seconds else ""


def figures(result: Drill) -> dict[str, object]:
    """Without names: it goes out into the world."""
    return {
        "backup": result.backup,
        "verdict": result.verdict,
        "tables": result.tables,
        "rows": result.rows,
        "differences": result.difference_count,
        "unproven": result.unproven_count,
        "restore_seconds": result.restore_seconds,
        "seconds": result.seconds,
        "server_version": result.server_version,
    }


def told_drill(result: Drill | None, moment: datetime) -> str:
    """A backup's last drill in a few words: the verdict, its age at a moment, and the time to restore."""
    if result is None:
        return ""
    took = f", restores in {show_seconds(result.restore_seconds)}" if result.restore_seconds else ""
    part = f" ({result.sample:.0%} sample)" if result.sample < 1 else ""
    return f"{result.verdict}{part} {show_age(moment - result.time)} ago{took}"
