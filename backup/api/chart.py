"""Two small charts of a target's runs: how large, how long. Owns where each mark stands; draws nothing.

Places on the time line are percent of its width, heights are units of a chart of 100.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from backup.domain.manifest import Manifest, Status
from backup.domain.report import Report
from backup.domain.sizes import show_seconds, show_size

_NARROWEST, _WIDEST = 0.3, 2.5
_LOWEST = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A run: `left` and `width` in percent, `height` of 100, and what it is in words."""

    left: float
    width: float
    height: float
    tone: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A gap that is too long."""

    left: float
    width: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """A drill."""

    left: float
    tone: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One chart. `most` is the value of its full height, in words."""

    title: str
    text: str
    most: str
    bars: tuple[Bar, ...]
    gaps: tuple[Span, ...]
    dots: tuple[Dot, ...]


def charts(report: Report) -> list[Chart]:
    """The size and the duration of the runs of a period, its gaps and its drills."""
    backups = [each.backup for each in report.entries if each.backup.purpose == "backup"]
    if not backups:
        return []
    gaps = tuple(_gap(report, begin=each.begin, end=each.end) for each in report.long_gaps)
    dots = tuple(
        Dot(
            left=_place(report, each.time),
            tone={"proven": "good", "unproven": "plain"}.get(each.verdict, "bad"),
            text=f"{each.time:%Y-%m-%d %H:%M}: drill of {each.backup}, {each.verdict}",
        )
        for each in report.drills
    )
    told_gaps = f", {len(gaps)} gap{'s' * (len(gaps) != 1)} too long" if gaps else ", no gap too long"
    figures: tuple[tuple[str, Callable[[Manifest], float], Callable[[float], str]], ...] = (
        ("Stored size", lambda each: each.stored_bytes, lambda size: show_size(int(size))),
        ("Duration", lambda each: each.duration, show_seconds),
    )
    found = []
    for number, (title, measure, show) in enumerate(figures):
        values = [measure(each) for each in backups]
        text = f"{title} of {len(backups)} runs: from {show(min(values))} to {show(max(values))}{told_gaps}"
        bars = _bars(report, backups, values, show)
        chart = Chart(title=title, text=text, most=show(max(values)), bars=bars, gaps=gaps, dots=() if number else dots)
        found.append(chart)
    return found


def _bars(
    report: Report, backups: Sequence[Manifest], values: Sequence[float], show: Callable[[float], str]
) -> tuple[Bar, ...]:
    most = max(values) or 1
    width = min(max(60 / len(backups), _NARROWEST), _WIDEST)
    return tuple(
        Bar(
            left=_place(report, each.snapshot.time) * (1 - width / 100),
            width=width,
            height=max(100 * value / most, _LOWEST),
            tone="good" if each.status is Status.COMPLETE else "bad",
            text=f"{each.snapshot.time:%Y-%m-%d %H:%M}: {show(value)}, {each.status.value}",
        )
        for each, value in zip(backups, values, strict=True)
    )


def _gap(report: Report, *, begin: datetime, end: datetime) -> Span:
    left, right = _place(report, begin), _place(report, end)
    return Span(
        left=left,
        width=max(right - left, _NARROWEST),
        text=f"no backup from {begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}",
    )


def _place(report: Report, moment: datetime) -> float:
    """How far into the period a moment lies, in percent."""
    whole = report.now - report.since or timedelta(seconds=1)
    return round(min(max((moment - report.since) / whole, 0.0), 1.0) * 100, 2)
