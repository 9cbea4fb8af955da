"""The proof: what a database held in one snapshot, as a flat map of facts. Pure.

A fact has a kind, a name, and a value that PostgreSQL 14 to 18 say alike. Kinds of what tables hold:

    rows                a table: how many rows
    content             a table: fingerprint of all its values, whatever their order
    position            a sequence: the least and the greatest position it may have had, each [last_value, is_called]
    large object        one, by its number: bytes and MD5
    large objects       all of them: count, bytes, fingerprint

All other kinds (`index`, `policy`, `column` …) are what the catalogue says of an object, as text; see
`postgres/catalogue.py`. How two such maps are held against each other, says `comparison`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, TypeAdapter

from backup.domain.documents import read_document

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

LEFT_OUT = "a setting leaves it out"
ROWS_LEFT_OUT = "a setting leaves its rows out"
"""Reasons for which a fact is unproven that a dump was told of."""

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
NOTHING: Facts = MappingProxyType({})
_QUOTED = re.compile(r'"(?:[^"]|"")*"')


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
        stored = read_document(data, _STORED, newest=FORMAT, what=f"the proof of {where}")
        return cls(
            mode=stored.mode,
            server_version=stored.server_version,
            facts={Fact(kind, name): value for kind, group in stored.facts.items() for name, value in group.items()},
            unproven={Fact(kind, name): why for kind, group in stored.unproven.items() for name, why in group.items()},
            seconds=stored.seconds,
        )


def kept(text: str) -> str:
    """A definition as it is kept: a long one is cut, and marked with a hash of the whole."""
    if len(text) <= LONGEST:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{text[: LONGEST // 4]}… ({len(text)} characters, sha256 {digest})"


def unquoted(name: str) -> str:
    """A qualified name without its quotes."""
    return _QUOTED.sub(lambda match: match[0][1:-1].replace('""', '"'), name)


def shown(value: Value | None) -> str:
    """A value for people."""
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, tuple):
        low, high = (f"{number}" + ("" if called else " (not used yet)") for number, called in value)
        return low if low == high else f"{low} to {high}"
    return value or ""


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
