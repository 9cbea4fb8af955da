"""Patterns of pg_dump and psql as regular expressions of PostgreSQL. Pure.

pg_dump reads its patterns itself; this reading of them only says what the proof need not look at.
Source of the rules: PostgreSQL's manual, psql, "Patterns".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_PIECE = re.compile(r'"(?:[^"]|"")*"|.', re.DOTALL)
_TRANSLATED = {"*": ".*", "?": ".", "$": r"\$"}


def excluded(schemas: Iterable[str], tables: Iterable[str]) -> tuple[str, ...]:
    """Expressions that match `schema.table` where one of these patterns does."""
    found = [rf"^({_expression(pattern)[-1]})\." for pattern in schemas]
    for pattern in tables:
        *schema, table = _expression(pattern)
        found.append(rf"^({schema[-1] if schema else '.*'})\.({table})$")
    return tuple(found)


def _expression(pattern: str) -> list[str]:
    """The names that a pattern has, split at its dots, each as an expression."""
    names = [""]
    for piece in _pieces(pattern):
        if piece == ".":
            names.append("")
        elif piece.startswith('"') and len(piece) > 1:
            names[-1] += re.sub(r"([\\^$.|?*+(){}\[\]])", r"\\\1", piece[1:-1].replace('""', '"'))
        else:
            names[-1] += _TRANSLATED.get(piece, piece.lower())
    return names


def _pieces(pattern: str) -> Iterator[str]:
    return (match[0] for match in _PIECE.finditer(pattern))
