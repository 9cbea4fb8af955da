"""Whether rows fit into tables that are there, in which order they come, and which foreign keys have to wait. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

from backup.domain.rows import Catalogue, Problem, Reference, Relation
from backup.domain.words import nearest

_KINDS = {"v": "a view", "m": "a materialized view", "f": "a foreign table", "S": "a sequence"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnedTable:
    """What came of a table: rows that were read, and what became of them."""

    table: str
    read: int
    inserted: int
    updated: int
    unchanged: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnChoice:
    """What comes back, and how.

    Attributes:
        tables: only these, as `find_table` takes them; empty for all.
        upsert: rows that are there already are updated, where they differ; else they are an error.
        disable_triggers: those of users do not fire.
    """

    tables: tuple[str, ...] = ()
    upsert: bool = False
    disable_triggers: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedReturn:
    """What bringing rows back would do, for people.

    Attributes:
        database: into which they come.
        server: its version.
        rows: by table.
        steps: in order.
    """

    database: str
    server: str
    rows: dict[str, int]
    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A foreign key that can be checked only when all rows are there, and as it is never waits."""

    relation: Relation
    reference: Reference


def find_table(name: str, catalogue: Catalogue) -> Relation | Problem:
    """The table that a result or a person calls so: by its label, by its name on the search path, or quoted."""
    for fits in (
        lambda each: name == each.label,
        lambda each: name == each.quoted,
        lambda each: each.visible and name == each.name,
        lambda each: name == f"{each.schema}.{each.name}",
    ):
        found = next((each for each in catalogue.relations if fits(each)), None)
        if found:
            return found
    known = [each.label for each in catalogue.relations if each.is_table]
    return Problem(
        text=f"there is no table {name} in the database{nearest(name, known)}",
        hint="make it first, or choose the tables that come back with --table",
    )


def problems_of(relation: Relation, columns: Sequence[str], catalogue: Catalogue, *, upsert: bool) -> list[Problem]:
    """Every reason why rows with these columns cannot come into a table, but for the rights to write."""
    return [*_wrong_table(relation, catalogue.role), *_wrong_columns(relation, columns, upsert=upsert)]


def _wrong_table(relation: Relation, role: str) -> Iterator[Problem]:
    name = relation.quoted
    if not relation.is_table:
        what = _KINDS.get(relation.kind, "no table")
        yield Problem(text=f"{name} is {what}", hint="rows come back into tables alone; leave it out")
    if not relation.usable:
        yield Problem(
            text=f"{role} may not use the schema of {name}",
            hint=f"GRANT USAGE ON SCHEMA {relation.quoted_schema} TO {role};",
            denied=True,
        )
    if relation.hidden:
        yield Problem(
            text=f"row-level security hides rows of {name} from {role}",
            hint=f"ALTER ROLE {role} BYPASSRLS;",
            denied=True,
        )


def _wrong_columns(relation: Relation, columns: Sequence[str], *, upsert: bool) -> Iterator[Problem]:
    if not relation.is_table:
        return
    label = relation.label
    known = [each.name for each in relation.columns]
    for name in columns:
        if name not in known:
            yield Problem(
                text=f"{label} has no column {name}{nearest(name, known)}",
                hint="rows of an include, which an export nests inside others, are not restored; add any other column"
                " to the table",
            )
    for column in relation.columns:
        if column.name not in columns and column.not_null and not (column.filled or column.generated):
            yield Problem(
                text=f"{label}: {column.name} must not be null, has no default, and is not in the rows",
                hint=f"ALTER TABLE {relation.quoted} ALTER COLUMN {column.quoted} SET DEFAULT …;",
            )
    if upsert and relation.key is None:
        yield Problem(
            text=f"{label} has no primary key and no unique index on columns that are never null: which rows are there"
            " already cannot be told",
            hint=f"ALTER TABLE {relation.quoted} ADD PRIMARY KEY (…); -- or leave out --upsert",
        )
    elif upsert and relation.key:
        missing = [name for name in relation.key.columns if name not in columns]
        if missing:
            yield Problem(
                text=f"{label}: {', '.join(missing)} of its key is not in the rows: which are there already cannot be"
                " told",
                hint="leave out --upsert, or the table",
            )


def in_order(
    relations: Iterable[Relation], alterable: Collection[int]
) -> tuple[tuple[Relation, ...], tuple[Waiting, ...]]:
    """Those that others refer to first, and the foreign keys that have to wait since they go in a circle.

    `alterable`: oids of tables that the role may alter; where there is a choice, keys of these have to wait.
    """
    by_oid = {each.oid: each for each in sorted(relations, key=lambda each: (each.schema, each.name))}
    waiting = {
        (each.oid, key.name): Waiting(relation=each, reference=key)
        for each in by_oid.values()
        for key in each.references
        if key.to == each.oid and not key.deferrable
    }
    while True:
        graph = {
            oid: {
                key.to
                for key in each.references
                if key.to in by_oid and key.to != oid and not key.deferrable and (oid, key.name) not in waiting
            }
            for oid, each in by_oid.items()
        }
        try:
            order = list(TopologicalSorter(graph).static_order())
        except CycleError as error:
            circle: list[int] = error.args[1]
            steps = list(pairwise(circle))  # the second of a step refers to the first
            to, oid = next((step for step in steps if step[1] in alterable), steps[0])
            waiting |= {
                (oid, key.name): Waiting(relation=by_oid[oid], reference=key)
                for key in by_oid[oid].references
                if key.to == to and not key.deferrable
            }
        else:
            return tuple(by_oid[oid] for oid in order), tuple(waiting.values())
