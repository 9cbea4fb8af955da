"""Two maps of facts held against each other: the one comparison of the product. Pure.

Drill, restore, `diff`, `show --against` and the guard against suspect backups all ask `compare` or `differences`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from backup.domain.proof import (
    CONTENT,
    LARGE_OBJECT,
    LARGE_OBJECTS,
    NOTED,
    OF_TABLES,
    ROWS,
    Fact,
    Facts,
    Mode,
    Proof,
    Value,
    shown,
    unquoted,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A fact that two databases do not share. None where one has no such fact.

    Attributes:
        noted: it is told, and disproves nothing.
    """

    kind: str
    name: str
    expected: Value | None
    found: Value | None
    noted: bool = False

    @property
    def text(self) -> str:
        """In one line, for people: what is missing, what is too much, or what was expected and found instead."""
        fact = Fact(self.kind, self.name)
        if self.found is None:
            return f"{fact} is missing" + (f" ({shown(self.expected)})" if self.kind in OF_TABLES else "")
        if self.expected is None:
            return f"{fact} was not there"
        expected, found = _contrast(shown(self.expected), shown(self.found))
        return f"{fact}: expected {expected}, found {found}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What of two maps of facts is compared.

    Attributes:
        without: kinds that are not.
        only: kinds that are; None for all.
        tables: names (`schema.table`, as they are) whose rows are; those of others and large objects are not. None for
            all.
        left_out: names of relations (`schema.table`, quoted) and beginnings of names (`schema.`) that a dump was told
            to leave out: what is missing and tells one of them is noted.
        cut_keys: foreign keys to tables without their rows could not be restored: a missing one is noted.
    """

    without: frozenset[str] = frozenset()
    only: frozenset[str] | None = None
    tables: frozenset[str] | None = None
    left_out: frozenset[str] = frozenset()
    cut_keys: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What was expected, held against what was found.

    Attributes:
        unproven: of what nothing can be said, each with the reason.
        unread: tables that are known, but could not be read where they were restored, with the reason.
        tables, rows: that were compared.
    """

    mode: Mode
    differences: tuple[Difference, ...]
    unproven: Mapping[Fact, str]
    unread: Mapping[Fact, str]
    tables: int
    rows: int

    @property
    def differs(self) -> bool:
        """Whether something differs that matters."""
        return not all(difference.noted for difference in self.differences)

    @property
    def proves(self) -> bool:
        """Whether nothing differs that matters, all was read that is known, and that was not nothing at all."""
        nothing = not self.tables and any(fact.kind == ROWS for fact in self.unproven)
        return not self.differs and not self.unread and not nothing

    @property
    def text(self) -> str:
        """In one line, for people."""
        if self.differs:
            counted = sum(not each.noted for each in self.differences)
            return f"{counted} difference{'s' * (counted != 1)} from what the snapshot held"
        if self.unread:
            fact, why = next(iter(self.unread.items()))
            return f"not proven: {len(self.unread)} facts could not be read where it was restored, first {fact}: {why}"
        if not self.proves:
            return "not proven: the proof knows nothing of its tables"
        what = "every value" if self.mode == "full" else "the number of rows"
        single = [fact for fact in self.unproven if fact.name]
        missed = f", but of {len(single)} fact{'s' * (len(single) != 1)} nothing is known" if single else ""
        if kinds := sorted({fact.kind for fact in self.unproven if not fact.name}):
            missed += f"; of every {', '.join(kinds)} nothing is known"
        return f"proven: {what} of {self.tables} table{'s' * (self.tables != 1)}, {self.rows:,} rows{missed}"


def compare(expected: Proof, found: Proof, scope: Scope | None = None) -> Comparison:
    """Hold what was found against what was expected."""
    scope = scope or Scope()
    unproven = {**found.unproven, **expected.unproven}
    tables = [
        value
        for fact, value in expected.facts.items()
        if fact.kind == ROWS and fact in found.facts and _is_wanted(fact, scope)
    ]
    return Comparison(
        mode="full" if expected.mode == found.mode == "full" else "rows",
        differences=tuple(differences(expected.facts, found.facts, unproven=unproven, scope=scope)),
        unproven={fact: why for fact, why in sorted(unproven.items()) if _is_wanted(fact, scope)},
        unread={
            fact: why
            for fact, why in sorted(found.unproven.items())
            if fact.kind in OF_TABLES and fact in expected.facts and _is_wanted(fact, scope)
        },
        tables=len(tables),
        rows=sum(value for value in tables if isinstance(value, int)),
    )


def differences(
    expected: Facts,
    found: Facts,
    *,
    unproven: Collection[Fact] = (),
    scope: Scope | None = None,
) -> Iterator[Difference]:
    """Where two maps of facts differ, in order of kind and name.

    Of sequences nobody knows the position in a snapshot: what is found must lie within what is expected. What either
    side could not find out is no difference, nor is a fingerprint that only one side has where the table is on both,
    nor a large object by its number where one side knows them only all together.

    Args:
        expected: for example of a backup's snapshot.
        found: for example of the restored database.
        unproven: facts that count as equal; one without a name stands for its whole kind.
        scope: what is compared; everything without one.
    """
    scope = scope or Scope()
    silent = {fact.kind for fact in unproven if not fact.name}
    if LARGE_OBJECTS in silent or not (_names_objects(expected) and _names_objects(found)):
        silent.add(LARGE_OBJECT)
    for fact in sorted(expected.keys() | found.keys()):
        left, right = expected.get(fact), found.get(fact)
        if fact.kind in silent or fact in unproven or _agree(left, right) or not _is_wanted(fact, scope):
            continue
        if fact.kind == CONTENT and None in {left, right} and _is_there(fact.name, expected, found, unproven):
            continue
        noted = fact.kind in NOTED or (right is None and _is_excused(fact, left, scope))
        yield Difference(kind=fact.kind, name=fact.name, expected=left, found=right, noted=noted)


_OF_LARGE_OBJECTS = {LARGE_OBJECT, LARGE_OBJECTS, "large object acl"}


def _agree(left: Value | None, right: Value | None) -> bool:
    if isinstance(left, tuple) and isinstance(right, tuple):
        return left[0] <= right[0] and right[1] <= left[1]
    return left == right


def _is_excused(fact: Fact, value: Value | None, scope: Scope) -> bool:
    """Whether a fact may be missing: it tells of what was left out, or is a key to it."""
    if scope.cut_keys and fact.kind == "constraint" and str(value).startswith("FOREIGN KEY"):
        return True
    if scope.cut_keys and fact.kind == "comment" and fact.name.startswith("table constraint "):
        return True
    if not scope.left_out:
        return False
    if fact.kind == "schema" or fact.name.startswith("schema "):
        return f"{fact.name.removeprefix('schema ')}." in scope.left_out
    names = "|".join(re.escape(name) + ("" if name.endswith(".") else r'(?![\w$"])') for name in sorted(scope.left_out))
    return re.search(rf'(?<![\w$".])(?:{names})', f"{fact.name} {value}") is not None


def _is_there(table: str, expected: Facts, found: Facts, unproven: Collection[Fact]) -> bool:
    """Whether both sides have a table, or nobody knows."""
    rows = Fact(ROWS, table)
    return rows in unproven or (rows in expected and rows in found)


def _names_objects(side: Facts) -> bool:
    """Whether each large object is known by its number, as it is unless there are too many."""
    together = side.get(Fact(LARGE_OBJECTS, ""), "0 objects")
    return str(together).startswith("0 objects") or any(fact.kind == LARGE_OBJECT for fact in side)


def _is_wanted(fact: Fact, scope: Scope) -> bool:
    if fact.kind in scope.without or (scope.only is not None and fact.kind not in scope.only):
        return False
    if scope.tables is None:
        return True
    if fact.kind in OF_TABLES:
        return unquoted(fact.name) in scope.tables
    return fact.kind not in _OF_LARGE_OBJECTS and not fact.name.startswith("large object ")


def _contrast(left: str, right: str, around: int = 60) -> tuple[str, str]:
    """Two texts, of long ones only where they begin to differ."""
    if max(len(left), len(right)) <= 2 * around:
        return left, right
    same = next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))
    start, end = max(0, same - around), same + around

    def piece(text: str) -> str:
        return ("…" if start else "") + text[start:end] + ("…" if len(text) > end else "")

    return piece(left), piece(right)
