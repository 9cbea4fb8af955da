"""How differences between two states of a database are shown."""

from __future__ import annotations

from collections.abc import Sequence

from backup.cli.output import Table, View
from backup.domain.comparison import Difference
from backup.domain.proof import CONTENT, ROWS, Fact

_DEFINITIONS = 60
"""Characters of a definition in a table."""


def described(difference: Difference) -> dict[str, object]:
    """A difference for programs."""
    return {
        "kind": difference.kind,
        "name": difference.name,
        "expected": difference.expected,
        "found": difference.found,
        "noted": difference.noted,
        "text": difference.text,
    }


def drift_view(drift: Sequence[Difference], title: str) -> View:
    """Tables whose rows differ, by how many; then everything else, a line each."""
    rows = {each.name: each for each in drift if each.kind == ROWS}
    others = [each for each in drift if each.kind != ROWS and not (each.kind == CONTENT and each.name in rows)]
    if not drift:
        return f"{title}: no difference"
    views: list[str | Table] = [title]
    if rows:
        table = [(name, *_counts(each), _change(each)) for name, each in rows.items()]
        views.append(Table(columns=("table", "before", "after", "change"), rows=table, right={"before", "after"}))
    if others:
        views.append("\n".join(_line(each) for each in others))
    return views


def _counts(difference: Difference) -> tuple[str, str]:
    before, after = (
        f"{value:,}" if isinstance(value, int) else "" for value in (difference.expected, difference.found)
    )
    return before, after


def _change(difference: Difference) -> str:
    before, after = difference.expected, difference.found
    if not isinstance(before, int):
        return "new"
    if not isinstance(after, int):
        return "gone"
    return "emptied" if not after else f"{after - before:+,}"


def _line(difference: Difference) -> str:
    if difference.kind == CONTENT:
        return f"{Fact(ROWS, difference.name).name}: as many rows, other values"
    return difference.text
