"""Rows of large tables in a manifest whose proof is encrypted, so that the guard can look back. Pure.

A job that encrypts cannot read what it wrote, and a manifest names no tables. So each name stands there as a keyed
hash; the key is made of what the server alone says of itself, and is in no store.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Annotated

from pydantic import Field

from backup.domain.proof import ROWS, Fact, Facts

LARGE = 1000
"""Rows from which on a table is large. A guess: below that, half of the rows come and go in a day's work."""
_DIGEST = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class RowCounts:
    """What is known of tables that have a name only for those who know the key.

    Attributes:
        key: which key it was, as its hash; another server has another one, whose names mean nothing here.
        rows: by the hash of the table's name.
    """

    key: str
    rows: dict[str, Annotated[int, Field(ge=0)]]


def count_rows(facts: Facts, secret: str) -> RowCounts:
    """The rows of the large tables among `facts`, under the key that `secret` makes."""
    return RowCounts(
        key=_hash("", secret),
        rows={
            _hash(fact.name, secret): value
            for fact, value in facts.items()
            if fact.kind == ROWS and isinstance(value, int) and value >= LARGE
        },
    )


def named(counts: RowCounts, names: Iterable[str], secret: str) -> Facts:
    """The rows with their tables' names as far as `names` has them; nothing where the key is another one."""
    if counts.key != _hash("", secret):
        return {}
    known = {_hash(name, secret): name for name in names}
    return {Fact(ROWS, known.get(name, f"(gone, {name})")): rows for name, rows in counts.rows.items()}


def _hash(name: str, secret: str) -> str:
    return hashlib.blake2b(name.encode(), digest_size=_DIGEST, key=_key(secret)).hexdigest()


@cache
def _key(secret: str) -> bytes:
    """Slow on purpose, and 16 MiB: a server's identifier is a time and a process id, which could be gone through."""
    return hashlib.scrypt(secret.encode(), salt=b"pgproof rows", n=1 << 14, r=8, p=1, dklen=32)
