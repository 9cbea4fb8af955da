"""Types that columns need in a second database: made there where they are missing, refused where they differ."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from psycopg import sql

from backup.domain.row_sync import TablePlan
from backup.domain.rows import Problem
from backup.postgres.connection import Connection
from backup.postgres.queries import read_query
from backup.postgres.rows.query import verbatim
from backup.postgres.rows.reading import RowsReading
from backup.postgres.snapshot import one_row

_LABELS = """
SELECT array_agg(enumlabel::text) FROM pg_enum WHERE enumtypid = to_regtype(%(name)s)"""


@dataclass(frozen=True, slots=True)
class Type:
    """A type as rows_types.sql says it; `definition` makes it anew, where that can be said."""

    name: str
    schema: str
    kind: str
    extension: str | None
    labels: list[str] | None
    definition: str | None

    @property
    def parts(self) -> str:
        """What it is made of: its definition without what only forbids values."""
        return re.split(r" NOT NULL| DEFAULT | CONSTRAINT ", (self.definition or "").partition(" AS ")[2], maxsplit=1)[
            0
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class TypePlan:
    """Types to make, in order, and why rows cannot be brought."""

    missing: tuple[Type, ...]
    problems: tuple[Problem, ...]

    def make(self, target: Connection) -> None:
        """Make them."""
        for each in self.missing:
            make_schema(target, each.schema)
            target.execute(verbatim(each.definition or ""))


def plan_types(source: RowsReading, target: Connection, plans: Iterable[TablePlan]) -> TypePlan:
    """What of the types of all columns is missing in the second database."""
    columns = (each for plan in plans for each in plan.table.columns if each.name in {one.name for one in plan.columns})
    oids = sorted({each.type_oid for each in columns})
    missing, problems = [], []
    for row in source.ask(read_query("rows_types"), {"oids": oids}):
        each = Type(*row)
        there, labels = one_row(
            target,
            f"SELECT to_regtype(%(name)s) IS NOT NULL, ({_LABELS})",
            {"name": each.name},
        )
        if there:
            problems += [*_labels_missing(target, each, labels or []), *_made_otherwise(target, each)]
        elif each.extension:
            hint = f"CREATE EXTENSION {sql.Identifier(each.extension).as_string(target)} SCHEMA {each.schema};"
            text = f"the second database has no type {each.name}, of the extension {each.extension}"
            problems.append(Problem(text=text, hint=f"{hint} -- in the second database"))
        elif each.definition is None:
            text = f"the second database has no type {each.name}, which can be made only by hand"
            problems.append(Problem(text=text, hint="make it there, or leave out the columns that are of it"))
        else:
            missing.append(each)
    return TypePlan(missing=tuple(missing), problems=tuple(problems))


def make_schema(target: Connection, quoted: str) -> None:
    """Make a schema where it is missing: one that is there needs no right to make any."""
    (there,) = one_row(target, "SELECT to_regnamespace(%(name)s) IS NOT NULL", {"name": quoted})
    if not there:
        target.execute(verbatim(f"CREATE SCHEMA {quoted}"))


def _made_otherwise(target: Connection, each: Type) -> list[Problem]:
    """A type of the same name that has other parts: its values would be others there, without any error."""
    rows = target.execute(
        read_query("rows_types").replace("%(oids)s", "ARRAY[to_regtype(%(name)s)::oid]"), {"name": each.name}
    ).fetchall()
    found = next((there for row in rows if (there := Type(*row)).name == each.name), None)
    if found is None or each.kind == "e" or each.extension or found.parts == each.parts:
        return []
    text = f"the second database has another type {each.name}: {found.parts or found.kind} there, {each.parts} here"
    return [Problem(text=text, hint="make it the same there, or leave out the columns that are of it")]


def _labels_missing(target: Connection, each: Type, labels: list[str]) -> list[Problem]:
    """A label that is added can be used only after the transaction that added it: it cannot be done on the way."""
    lacking = [label for label in each.labels or [] if label not in labels]
    if not lacking:
        return []
    statements = (
        f"ALTER TYPE {each.name} ADD VALUE {sql.Literal(label).as_string(target)}; -- in the second database"
        for label in lacking
    )
    return [Problem(text=f"{each.name} there does not know {', '.join(lacking)}", hint="\n".join(statements))]
