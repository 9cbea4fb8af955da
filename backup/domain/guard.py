"""The guard against suspect backups: whether a new one holds much less than those before it. Pure.

A database that was emptied by mistake dumps without any error. So a backup is held against the median of the last
complete ones: its size, and the rows of each large table.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median_low

from backup.domain.comparison import Difference, differences
from backup.domain.counts import LARGE
from backup.domain.patterns import Exclusion
from backup.domain.proof import ROWS, Fact, Facts
from backup.domain.sizes import show_size

BASELINE = 5
"""Backups of which the median is taken."""
FEWEST = 3
"""Backups that a target must have had before a new one can be suspect; one is enough if it was accepted."""
_WHOLE = 100
_STEP = re.compile(r'"((?:[^"]|"")*)"|([^."]+)')


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A backup as far as the guard looks at it.

    Attributes:
        bytes: of its dump, before compression: how it is compressed may change, what is in it should not.
        facts: what its snapshot held; empty where nothing is known of it.
        unproven: of what nothing is known.
        accepted: somebody has said that it is right as it is.
        nth: how many complete ones there have been with it, those that retention has deleted too.
    """

    bytes: int
    facts: Facts
    unproven: Mapping[Fact, str]
    accepted: bool = False
    nth: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """What is still borne.

    Attributes:
        shrink: percent that may be lost; 100 bears everything.
        ignore: tables whose rows are not looked at.
    """

    shrink: int = 50
    ignore: tuple[Exclusion, ...] = ()

    def bears(self, before: int, now: int) -> bool:
        """Whether a loss is borne."""
        return now * _WHOLE >= before * (_WHOLE - self.shrink)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspicion:
    """Why a backup is suspect.

    Attributes:
        size: in words; empty where it is not the size.
        tables: whose rows went.
    """

    size: str = ""
    tables: tuple[Difference, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.size or self.tables)

    @property
    def text(self) -> str:
        """In one line and without names of tables, for people."""
        count = len(self.tables)
        rows = f"{count} large table{'s' * (count != 1)} lost most of {'their' if count > 1 else 'its'} rows"
        return " and ".join(part for part in (self.size, rows if count else "") if part)


def suspect(new: Measure, before: Sequence[Measure], tolerance: Tolerance) -> Suspicion:
    """Hold a new backup against complete ones before it.

    Args:
        new: what was just made.
        before: complete ones of the same kind, the newest first, BASELINE at most; from one that was accepted on, what
            was before it does not count.
        tolerance: what is borne.
    """
    baseline = list(before[:BASELINE])
    accepted = next((number for number, each in enumerate(baseline) if each.accepted), None)
    if accepted is not None:
        baseline = baseline[: accepted + 1]
    elif seen(baseline) < FEWEST:
        return Suspicion()
    usual = median_low([each.bytes for each in baseline])
    size = ""
    if not tolerance.bears(usual, new.bytes):
        size = f"its dump has {show_size(new.bytes)}, where {show_size(usual)} are usual"
    return Suspicion(size=size, tables=tuple(_shrunk(new, baseline, tolerance)))


def seen(before: Sequence[Measure]) -> int:
    """How many complete backups there have been, those that retention has deleted too."""
    return max(len(before), before[0].nth) if before else 0


def _shrunk(new: Measure, baseline: Sequence[Measure], tolerance: Tolerance) -> list[Difference]:
    """Large tables that lost more rows than is borne, or are gone."""
    if not new.facts:
        return []
    usual = {
        fact: rows
        for fact, rows in _usual_rows(baseline).items()
        if rows >= LARGE and not any(_matches(fact.name, each) for each in tolerance.ignore)
    }
    rows_now = {fact: value for fact, value in new.facts.items() if fact in usual}
    return [
        each
        for each in differences(usual, rows_now, unproven=new.unproven)
        if isinstance(each.expected, int) and not tolerance.bears(each.expected, _number(each.found))
    ]


def _usual_rows(baseline: Sequence[Measure]) -> dict[Fact, int]:
    """The median of each table that all of them have, of which anything is known."""
    known = [each.facts for each in baseline if each.facts]
    return {
        fact: median_low([_number(facts[fact]) for facts in known])
        for fact in (known[0] if known else {})
        if fact.kind == ROWS and all(fact in facts for facts in known)
    }


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _matches(table: str, pattern: Exclusion) -> bool:
    """Whether a pattern means a table; without a schema it means that of every schema."""
    schema, name = ([*_steps(table), ""])[:2]
    return (pattern.schema is None or re.search(pattern.schema, schema) is not None) and (
        not pattern.table or re.search(pattern.table, name) is not None
    )


def _steps(name: str) -> list[str]:
    """The steps of a qualified name without their quotes."""
    return [quoted.replace('""', '"') if quoted else bare for quoted, bare in _STEP.findall(name)]
