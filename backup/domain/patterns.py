"""Patterns of pg_dump and psql as regular expressions of PostgreSQL. Pure.

pg_dump reads its patterns itself; this reading of them only says what the proof need not look at.
Source of the rules: PostgreSQL's manual, psql, "Patterns", and `patternToSQLRegex` of its sources.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

_PIECE = re.compile(r'"(?P<quoted>(?:[^"]|"")*)(?:"|$)|(?P<array>\[(?=\]))|.', re.DOTALL)
_TRANSLATED = {"*": ".*", "?": ".", "$": r"\$"}
_SPECIAL = re.compile(r"([\\^$.|?*+(){}\[\]])")


class Exclusion(NamedTuple):
    """The tables that a pattern means, as expressions on schema and name.

    Without a schema it means those that the search path finds by their name alone.
    """

    schema: str | None
    table: str


def excluded(schemas: Iterable[str], tables: Iterable[str]) -> tuple[Exclusion, ...]:
    """What patterns of schemas and of tables mean."""
    found = [Exclusion(_whole(_expressions(pattern)[-1]), "") for pattern in schemas]
    for pattern in tables:
        *schema, table = _expressions(pattern)
        found.append(Exclusion(_whole(schema[-1]) if schema else None, _whole(table)))
    return tuple(found)


def exactly(schema: str, tables: Iterable[str]) -> Exclusion:
    """These tables of a schema, and no others."""
    return Exclusion(_whole(_as_it_is(schema)), _whole("|".join(map(_as_it_is, tables))))


def _as_it_is(name: str) -> str:
    return _SPECIAL.sub(r"\\\1", name)


def _whole(expression: str) -> str:
    return f"^({expression})$"


def _expressions(pattern: str) -> list[str]:
    """The names that a pattern has, split at its dots, each as an expression."""
    names = [""]
    for match in _PIECE.finditer(pattern):
        piece, quoted = match[0], match["quoted"]
        if quoted is not None:
            names[-1] += _as_it_is(quoted.replace('""', '"'))
        elif match["array"]:
            names[-1] += r"\["
        elif piece == ".":
            names.append("")
        else:
            names[-1] += _TRANSLATED.get(piece, piece.lower() if piece.isascii() else piece)
    return names
