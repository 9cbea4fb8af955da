"""Types that columns need in a second database: made there where they are missing, refused where they differ."""

from __future__ import annotations

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


@dataclass(frozen=True, slots=True, kw_only=True)
class TypePlan:
    """Types to make, in order, and why rows cannot be brought."""

    missing: tuple[Type, ...]
    problems: tuple[Problem, ...]

    def make(self, target: Connection) -> None:
        """Make them."""
        for each in self.missing:
            target.execute(verbatim(f"CREATE SCHEMA IF NOT EXISTS {each.schema}"))
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
            problems += _labels_missing(target, each, labels or [])
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
