"""What others changed since a snapshot: the same questions, asked in it and from outside of it.

PostgreSQL describes many objects as they are now, whatever a snapshot sees, and finds tables by the names that they
have now. What was changed in between would be told of the wrong table, or as it never was in the dump.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from backup.domain.proof import Fact
from backup.postgres.connection import Connection
from backup.postgres.queries import read_query

_CONCERNED = {
    "relation": ("constraint", "not null constraint", "trigger", "rule", "policy", "index", "view", "sequence"),
    "type": ("type", "column", "routine"),
}
"""Kinds of facts that tell the name of another object as it is now; of the rest each tells itself."""
_NAMED_AFTER = ("acl", "owner", "comment")
"""Kinds of facts that are about an object that may be gone."""


class Shape(NamedTuple):
    """What the name of a table gives: the table, its file, a hash of its columns."""

    table: int
    file: int
    columns: str | None


Versions = Mapping[tuple[str, int], str]
"""By kind of fact and number of the object: what changes with it."""


def read_shapes(connection: Connection) -> dict[str, Shape]:
    """The shapes of all tables, by qualified and quoted name."""
    return {name: Shape(*rest) for name, *rest in connection.execute(read_query("shapes"))}


def moved_tables(then: Mapping[str, Shape], now: Mapping[str, Shape]) -> dict[str, str]:
    """Tables that cannot be looked at any more as they were, with the reason. To be asked when they are locked."""
    return {name: why for name, shape in then.items() if (why := _moved(shape, now.get(name)))}


def read_versions(connection: Connection) -> Versions:
    """The versions of everything that can be changed whatever locks a reader holds."""
    return {(kind, number): version for kind, number, version in connection.execute(read_query("versions"))}


def moved_kinds(then: Versions, now: Versions) -> dict[Fact, str]:
    """Kinds of facts, as facts without a name, of which one was changed. What is new is not in the snapshot."""
    found: dict[Fact, str] = {}
    for key, version in then.items():
        kind, why = key[0], f"a {key[0]} was changed while the dump was made"
        if now.get(key) != version:
            kinds = (*_CONCERNED.get(kind, (kind,)), *(() if key in now else _NAMED_AFTER))
            found |= {Fact(each, ""): why for each in kinds}
    return found


def _moved(then: Shape, now: Shape | None) -> str | None:
    if now is None or now.table != then.table:
        return "it was dropped, renamed or replaced while the dump began"
    if now.file != then.file:
        return "it was truncated or rewritten while the dump began"
    return None if now.columns == then.columns else "its columns were changed while the dump began"
