"""What has to be done in a second database before chosen rows fit into it, and in which order. Pure.

Owns how the tables of two databases are compared. Nothing is ever taken away there: what differs is refused by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from backup.domain.rows import Catalogue, ChosenTable, Column, Key, Problem, Relation

_EXACT = ("smallint", "integer", "bigint", "uuid")
"""Types of keys whose equal values have the same bytes, as those of citext and numeric have not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncedTable:
    """What came of a table: rows that were read, and what became of them and of those there."""

    table: str
    read: int
    inserted: int
    updated: int
    unchanged: int
    deleted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TablePlan:
    """How a table gets its rows.

    Attributes:
        table: here, and what of it was chosen.
        there: as it is in the second database; None where it has to be made.
        key: by which rows are known again.
        columns: what is brought, in order.
        added: those of them that the table there does not have yet.
        notes: what a person should know.
    """

    table: ChosenTable
    there: Relation | None
    key: Key
    columns: tuple[Column, ...]
    added: tuple[Column, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """How it is called in results."""
        return self.table.label

    @property
    def compared(self) -> tuple[Column, ...]:
        """The columns that may differ between rows with the same key; also of the key, where equal is not the same.

        Without those that the server lets nobody change.
        """
        return tuple(
            each
            for each in self.columns
            if not each.fixed and (each.name not in self.key.columns or each.type not in _EXACT)
        )


def plan_sync(chosen: Sequence[ChosenTable], target: Catalogue) -> tuple[tuple[TablePlan, ...], tuple[Problem, ...]]:
    """The tables in the order in which rows can be put into them, and every reason why they cannot."""
    there = {(each.schema, each.name): each for each in target.relations}
    problems: list[Problem] = []
    plans = []
    for table in chosen:
        found = there.get((table.relation.schema, table.relation.name))
        wrong = list(_wrong(table, found, target.role))
        key = _key(table, found)
        if key is None:
            wrong.append(_without_key(table, found))
        elif not wrong:
            plans.append(_plan(table, found, key))
        problems += wrong
    try:
        return tuple(_ordered(plans)), tuple(problems)
    except CycleError as error:
        names = ", ".join(dict.fromkeys(str(each) for each in error.args[1]))
        hint = "ALTER TABLE … ALTER CONSTRAINT … DEFERRABLE; for one of them there"
        return (), (*problems, Problem(text=f"foreign keys go in a circle there: {names}", hint=hint))


def _wrong(table: ChosenTable, there: Relation | None, role: str) -> list[Problem]:
    relation, since = table.relation, table.choice.since_column
    found = []
    if since and since not in {each.name for each in table.columns}:
        found.append(Problem(text=f"{table.label}: since_column {since} is not among its columns"))
    if there is None:
        return found
    name = there.quoted
    if not there.is_table:
        found.append(Problem(text=f"{name} is no table in the second database", hint="rename it there"))
    if there.hidden:
        hint = f"ALTER ROLE {role} BYPASSRLS; -- in the second database"
        found.append(Problem(text=f"row-level security hides rows of {name} there from {role}", hint=hint, denied=True))
    wanted = {each.name: each for each in table.columns}
    for column in there.columns:
        here = wanted.get(column.name)
        if here and here.type != column.type:
            found.append(
                Problem(
                    text=f"{table.label}: {column.name} is {here.type} here and {column.type} there",
                    hint=f"ALTER TABLE {name} ALTER COLUMN {column.quoted} TYPE {here.type}; -- in the second database",
                )
            )
        elif here is None and column.not_null and not (column.filled or column.generated):
            why = "is not chosen" if relation.column(column.name) else "is not there any more"
            found.append(
                Problem(
                    text=f"{table.label}: {column.name} must not be null there, and {why} here",
                    hint=f"ALTER TABLE {name} ALTER COLUMN {column.quoted} DROP NOT NULL; -- in the second database",
                )
            )
    return found


def _key(table: ChosenTable, there: Relation | None) -> Key | None:
    """The best key of which all columns are chosen, and that the table there has too."""
    names = {each.name for each in table.columns}
    if there:
        names -= {each.name for each in there.columns if each.generated}
    known = None if there is None else {frozenset(each.columns) for each in there.keys}
    fitting = [
        key
        for key in table.relation.keys
        if names.issuperset(key.columns) and (known is None or frozenset(key.columns) in known)
    ]
    return min(fitting, key=lambda key: (not key.primary, len(key.columns), key.columns), default=None)


def _without_key(table: ChosenTable, there: Relation | None) -> Problem:
    relation = table.relation
    key = relation.key
    if key is None:
        return Problem(
            text=f"{table.label} has no primary key and no unique index on columns that are never null",
            hint=f"ALTER TABLE {relation.quoted} ADD PRIMARY KEY (…); -- or leave the table out",
        )
    missing = [name for name in key.columns if name not in {each.name for each in table.columns}]
    if missing:
        return Problem(
            text=f"{table.label}: {', '.join(missing)} of its key is left out",
            hint="name it in `columns`, or leave the table out",
        )
    made = [name for name in key.columns if there and (found := there.column(name)) and found.generated]
    if made:
        return Problem(
            text=f"{table.label}: {', '.join(made)} of its key is generated there, so rows cannot be known by it",
            hint="make it a plain column there, or leave the table out",
        )
    name = there.quoted if there else relation.quoted
    columns = ", ".join(column.quoted for each in key.columns if (column := relation.column(each)))
    return Problem(
        text=f"{table.label} there has no primary key or unique index on {columns}, never null",
        hint=f"ALTER TABLE {name} ADD PRIMARY KEY ({columns}); -- in the second database",
    )


def _plan(table: ChosenTable, there: Relation | None, key: Key) -> TablePlan:
    if there is None:
        return TablePlan(table=table, there=None, key=key, columns=table.columns)
    columns = []
    added = []
    for column in table.columns:
        found = there.column(column.name)
        if found is None:
            added.append(column)
        if found is None or not found.generated:
            columns.append(column if found is None else found)
    gone = [each.name for each in there.columns if table.relation.column(each.name) is None]
    notes = (
        [f"there are columns that are not here any more, they keep what they have: {', '.join(gone)}"] if gone else []
    )
    if gone and added:
        notes.append(
            f"new are {', '.join(each.name for each in added)}; was one renamed, rename it there and drop the new"
        )
    return TablePlan(table=table, there=there, key=key, columns=tuple(columns), added=tuple(added), notes=tuple(notes))


def _ordered(plans: Sequence[TablePlan]) -> list[TablePlan]:
    """Those that others there refer to first. Raises CycleError."""
    by_oid = {each.there.oid: each.label for each in plans if each.there}
    by_label = {each.label: each for each in plans}
    graph = {
        each.label: {
            by_oid[key.to]
            for key in (each.there.references if each.there else ())
            if key.to in by_oid and by_oid[key.to] != each.label and not key.deferrable
        }
        for each in plans
    }
    return [by_label[label] for label in TopologicalSorter(graph).static_order()]
