"""The proof: what a database held in one snapshot, as a flat map of facts, and what differs between two. Pure.

A fact has a kind, a name, and a value that PostgreSQL 14 to 18 say alike. Kinds of what tables hold:

    rows                a table: how many rows
    content             a table: fingerprint of all its values, whatever their order
    position            a sequence: the least and the greatest position it may have had, each [last_value, is_called]
    large object        one, by its number: bytes and MD5
    large objects       all of them: count, bytes, fingerprint

All other kinds (`index`, `policy`, `column` …) are what the catalogue says of an object, as text; see
`postgres/queries`. Every comparison of the product is `differences` of two such maps.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, TypeAdapter, ValidationError

from backup.errors import DAMAGED, IntegrityFailed

FORMAT = 1
PROOF_NAME = "proof.json"
PROOF_LIMIT = 1 << 30
"""Bytes that a reader takes; 5,000 tables of 20 columns make some 20 MiB."""

ROWS, CONTENT, POSITION, LARGE_OBJECT, LARGE_OBJECTS = "rows", "content", "position", "large object", "large objects"
OF_TABLES = (ROWS, CONTENT)
NOTED = frozenset({"extension version", "tablespace"})
"""Kinds that are told and disprove nothing: what a server has of extensions and tablespaces is its own affair."""

OWNERS = frozenset({"owner"})
PRIVILEGES = frozenset({"acl", "database acl", "large object acl", "default privileges"})
OF_DATABASE = frozenset({"database", "database acl", "database setting"})

LONGEST = 1000
"""Characters of a definition that are kept; of a longer one the beginning and a hash."""

Mode = Literal["full", "rows"]
Value = int | str | tuple[tuple[int, bool], tuple[int, bool]]


class Fact(NamedTuple):
    """What a fact is about."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}".rstrip()


Facts = Mapping[Fact, Value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """A proof in figures, for the manifest: no names.

    Attributes:
        tables: that hold rows of their own.
        rows: of those that were counted.
        fingerprinted, counted: tables of which all values, or only the rows, are known.
        unproven: tables of which nothing is known, or less than was asked for.
    """

    mode: Mode
    tables: Annotated[int, Field(ge=0)]
    rows: Annotated[int, Field(ge=0)]
    fingerprinted: Annotated[int, Field(ge=0)]
    counted: Annotated[int, Field(ge=0)]
    unproven: Annotated[int, Field(ge=0)]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What a snapshot held.

    Attributes:
        mode: what was asked for: all values, or rows alone.
        server_version: as in `18.6`.
        unproven: facts that could not be found out, each with the reason.
        seconds: it took to find out.
    """

    mode: Mode
    server_version: str
    facts: Facts
    unproven: Mapping[Fact, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def totals(self) -> Totals:
        """It in figures."""
        rows = {fact.name: value for fact, value in self.facts.items() if fact.kind == ROWS}
        content = {fact.name for fact in self.facts if fact.kind == CONTENT}
        short = {fact.name for fact in self.unproven if fact.kind in OF_TABLES}
        return Totals(
            mode=self.mode,
            tables=len(rows.keys() | short),
            rows=sum(value for value in rows.values() if isinstance(value, int)),
            fingerprinted=len(content),
            counted=len(rows.keys() - content),
            unproven=len(short),
            seconds=round(self.seconds, 3),
        )

    def to_json(self) -> bytes:
        """As it is stored: facts grouped by kind, both in order."""
        document = {
            "format": FORMAT,
            "mode": self.mode,
            "server_version": self.server_version,
            "seconds": round(self.seconds, 3),
            "facts": _grouped(self.facts),
            "unproven": _grouped(self.unproven),
        }
        return json.dumps(document, ensure_ascii=False, indent=1).encode("utf-8", "surrogatepass") + b"\n"

    @classmethod
    def from_json(cls, data: bytes, *, where: str) -> Proof:
        """Read what `to_json` wrote. `where` it was, for the message.

        Raises:
            IntegrityFailed: it is damaged, or of a newer format.
        """
        try:
            stored = _STORED.validate_json(data)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(step) for step in first["loc"])
            raise IntegrityFailed(
                f"the proof of {where} is damaged", detail=f"{place}: {first['msg']}", hint=DAMAGED
            ) from error
        if stored.format > FORMAT:
            raise IntegrityFailed(
                f"the proof of {where} has format {stored.format}, this pgproof reads up to {FORMAT}",
                hint="use a newer pgproof",
            )
        return cls(
            mode=stored.mode,
            server_version=stored.server_version,
            facts={Fact(kind, name): value for kind, group in stored.facts.items() for name, value in group.items()},
            unproven={Fact(kind, name): why for kind, group in stored.unproven.items() for name, why in group.items()},
            seconds=stored.seconds,
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


def differences(
    expected: Facts,
    found: Facts,
    *,
    unproven: Collection[Fact] = (),
    without: Collection[str] = (),
    tables: Collection[str] | None = None,
    partial: bool = False,
) -> Iterator[Difference]:
    """Where two maps of facts differ, in order of kind and name.

    Of sequences nobody knows the position in a snapshot: what is found must lie within what is expected. What either
    side could not find out is no difference, nor is a fingerprint that only one side has though it has the rows.

    Args:
        expected: for example of a backup's snapshot.
        found: for example of the restored database.
        unproven: facts that count as equal; one without a name stands for its whole kind.
        without: kinds that are not compared.
        tables: names of tables whose rows are compared, those of others and large objects are not; None for all.
        partial: what is missing was perhaps left out on purpose, and is noted.
    """
    silent = {*without, *(fact.kind for fact in unproven if not fact.name)}
    for fact in sorted(expected.keys() | found.keys()):
        left, right = expected.get(fact), found.get(fact)
        if fact.kind in silent or fact in unproven or _agree(left, right):
            continue
        if tables is not None and not _is_wanted(fact, tables):
            continue
        if fact.kind == CONTENT and None in {left, right} and _are_known(fact, expected, found):
            continue
        noted = fact.kind in NOTED or (partial and right is None)
        yield Difference(kind=fact.kind, name=fact.name, expected=left, found=right, noted=noted)


def kept(text: str) -> str:
    """A definition as it is kept: a long one is cut, and marked with a hash of the whole."""
    if len(text) <= LONGEST:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{text[: LONGEST // 4]}… ({len(text)} characters, sha256 {digest})"


def shown(value: Value | None) -> str:
    """A value for people."""
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, tuple):
        low, high = (f"{number}" + ("" if called else " (not used yet)") for number, called in value)
        return low if low == high else f"{low} to {high}"
    return value or ""


def _agree(left: Value | None, right: Value | None) -> bool:
    if isinstance(left, tuple) and isinstance(right, tuple):
        return left[0] <= right[0] and right[1] <= left[1]
    return left == right


def _are_known(fact: Fact, *sides: Facts) -> bool:
    return all(Fact(ROWS, fact.name) in side for side in sides)


def _is_wanted(fact: Fact, tables: Collection[str]) -> bool:
    return fact.name in tables if fact.kind in OF_TABLES else fact.kind not in {LARGE_OBJECT, LARGE_OBJECTS}


def _contrast(left: str, right: str, around: int = 60) -> tuple[str, str]:
    """Two texts, of long ones only where they begin to differ."""
    if max(len(left), len(right)) <= 2 * around:
        return left, right
    same = next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))
    start, end = max(0, same - around), same + around

    def piece(text: str) -> str:
        return ("…" if start else "") + text[start:end] + ("…" if len(text) > end else "")

    return piece(left), piece(right)


def _grouped(facts: Mapping[Fact, Value] | Mapping[Fact, str]) -> dict[str, dict[str, Value]]:
    grouped: dict[str, dict[str, Value]] = {}
    for fact in sorted(facts):
        grouped.setdefault(fact.kind, {})[fact.name] = facts[fact]
    return grouped


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stored:
    format: int
    mode: Mode
    server_version: str
    facts: dict[str, dict[str, Value]]
    unproven: dict[str, dict[str, str]] = field(default_factory=dict)
    seconds: float = 0.0


_STORED = TypeAdapter(_Stored)
