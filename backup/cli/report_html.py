"""The page of a report as HTML: one file without script, pictures or fonts from elsewhere; also valid as XML.

Owns how text gets in: every word passes `_text`; a name is nothing but text. Colours and measures are in `report.html`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import cache
from html import escape
from importlib import resources
from string import Template

from backup.cli.output import Fields, Table, cell
from backup.cli.report_pages import Page, Part, Section, Timeline
from backup.cli.report_tables import Toned, tone
from backup.domain.report import Report

_TEXTS = frozenset({"own checks", "reason", "why not proven"})
_LONG = 30
"""Characters of a text from which on it is broken into lines."""

_STROKES = 200
"""In a timeline; where there are more snapshots, those in a two-hundredth of it are one stroke."""


def as_html(page: Page) -> str:
    """The whole document."""
    body = [
        f"<header>\n<h1>{_text(page.title)}</h1>\n{_fields(page.head)}\n</header>",
        *(_section(each) for each in page.sections),
    ]
    return _template().substitute(title=_text(page.title), body="\n".join(body))


@cache
def _template() -> Template:
    return Template((resources.files(__package__) / "report.html").read_text(encoding="utf-8"))


def _section(section: Section) -> str:
    heading = f"<h{section.level}>{_text(section.title)}</h{section.level}>"
    return "\n".join(["<section>", heading, *(_part(each, section.title) for each in section.parts), "</section>"])


def _part(part: Part, title: str) -> str:
    match part:
        case Table():
            return _table(part, title)
        case Fields():
            return _fields(part)
        case Timeline():
            return _timeline(part.report)
        case str():
            return f"<p>{_text(part)}</p>"


def _fields(fields: Fields) -> str:
    pairs = [
        f"<dt>{_text(name)}</dt><dd>{_text(each)}</dd>" for name, each in fields.values.items() if each is not None
    ]
    return "\n".join(["<dl>", *pairs, "</dl>"])


def _table(table: Table, title: str) -> str:
    head = "".join(f'<th scope="col"{_kind(table, name, name)}>{_text(name)}</th>' for name in table.columns)
    rows = [
        "".join(
            f"<td{_kind(table, name, each)}>{_text(each)}</td>" for name, each in zip(table.columns, row, strict=True)
        )
        for row in table.rows
    ]
    return "\n".join(
        [
            f'<div class="scroll" role="region" tabindex="0" aria-label="{_text(title)}">',
            f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>",
            *(f"<tr>{cells}</tr>" for cells in rows),
            "</tbody>\n</table>\n</div>",
        ]
    )


def _kind(table: Table, column: str, value: object) -> str:
    if column in table.right:
        return ' class="number"'
    return ' class="text"' if column in _TEXTS and len(cell(value)) > _LONG else ""


def _timeline(report: Report) -> str:
    """The period from left to right: snapshots as strokes, gaps that are too long as bars, drills as dots below."""
    told = f"{len(report.entries)} snapshots, {len(report.long_gaps)} gaps too long, {len(report.drills)} drills"
    return "\n".join(
        [
            f'<figure>\n<svg role="img" aria-label="{told}">',
            '<rect class="span" x="0" y="9" width="100%" height="1" />',
            *_marks(report),
            f"</svg>\n<figcaption><span>{_text(report.since)}</span><span>{_text(report.now)}</span>",
            '<span class="legend">| snapshot · ▬ gap too long · ● drill</span></figcaption>\n</figure>',
        ]
    )


def _marks(report: Report) -> Iterator[str]:
    steps = _STROKES if len(report.entries) > _STROKES else 10 * _STROKES
    for step in sorted({round(_place(report, each.backup.snapshot.time) * steps) for each in report.entries}):
        x = f"{100 * step / steps:g}%"
        yield f'<line class="snapshot" x1="{x}" x2="{x}" y1="2" y2="17" />'
    for gap in report.long_gaps:
        left, right = (100 * _place(report, each) for each in (gap.begin, gap.end))
        yield f'<rect class="gap" x="{left:.2f}%" y="7.5" width="{max(right - left, 0.3):.2f}%" height="4" />'
    for drill in report.drills:
        yield f'<circle class="{tone(drill)}" cx="{100 * _place(report, drill.time):.2f}%" cy="26" r="3.5" />'


def _place(report: Report, moment: datetime) -> float:
    """How far into the period a moment lies, from 0 to 1."""
    whole = report.now - report.since
    return min(max((moment - report.since) / whole, 0), 1) if whole else 1


def _text(value: object) -> str:
    text = escape(cell(value))
    return f'<span class="{value.tone}">{text}</span>' if isinstance(value, Toned) else text
