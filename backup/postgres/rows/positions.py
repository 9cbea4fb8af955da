"""Sequences are set past the data that came into their tables, never back.

What is set stays set even where the transaction fails: sequences are in none. So it is the last thing that is done.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from psycopg import sql

from backup.domain.rows import Problem, Relation
from backup.postgres.connection import Connection
from backup.postgres.queries import read_query
from backup.postgres.rows.query import verbatim

_ADVANCE = """
WITH past AS (
    SELECT s.last_value::numeric AS last,
           s.last_value + {step} * pg_catalog.ceil((d.top - s.last_value) / {step}::numeric) AS next, s.is_called
    FROM {sequence} AS s,
         (SELECT {furthest}({column})::numeric AS top FROM {table} WHERE {column} BETWEEN {low} AND {high}) AS d)
SELECT pg_catalog.setval({name}::regclass,
    (CASE WHEN next BETWEEN {low} AND {high} THEN next ELSE next - {step} END)::bigint)
FROM past WHERE pg_catalog.sign({step}) * (next - last) > 0 OR next = last AND NOT is_called
"""
"""The first number at or past all that the column has, in steps from where the sequence stands: one that only gives
odd numbers goes on to. Numbers that it could never give do not count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbering:
    """A sequence that gives numbers to a column.

    Attributes:
        quoted: the sequence's name as SQL writes it.
        step, low, high: its increment and its bounds.
        settable, readable: what the role may do with it; `seen`: it may read the column.
    """

    quoted: str
    relation: Relation
    column: str
    step: int
    low: int
    high: int
    settable: bool
    readable: bool
    seen: bool

    def problems(self, role: str) -> Iterator[Problem]:
        """What is missing of the rights that it takes."""
        if not (self.settable and self.readable):
            yield Problem(
                text=f"{role} may not set the sequence {self.quoted} past the rows of {self.relation.label}",
                hint=f"GRANT SELECT, UPDATE ON SEQUENCE {self.quoted} TO {role};",
                denied=True,
            )
        if not self.seen:
            yield Problem(
                text=f"{role} may not read {self.column} of {self.relation.quoted}, which tells where {self.quoted}"
                " goes on",
                hint=f"GRANT SELECT ON {self.relation.quoted} TO {role};",
                denied=True,
            )

    def advance(self, connection: Connection) -> None:
        """Set it past what its column has, where it is not yet."""
        connection.execute(
            verbatim(_ADVANCE).format(
                step=sql.Literal(self.step),
                sequence=verbatim(self.quoted),
                name=sql.Literal(self.quoted),
                furthest=verbatim("pg_catalog.max" if self.step > 0 else "pg_catalog.min"),
                column=sql.Identifier(self.column),
                table=sql.Identifier(self.relation.schema, self.relation.name),
                low=sql.Literal(self.low),
                high=sql.Literal(self.high),
            )
        )


def read_numberings(connection: Connection, relations: Sequence[Relation]) -> tuple[Numbering, ...]:
    """Every sequence that gives numbers to columns of these tables, with each of its columns."""
    by_oid = {each.oid: each for each in relations}
    found = connection.execute(read_query("rows_sequences"), {"oids": list(by_oid)})
    return tuple(
        Numbering(
            quoted=quoted,
            relation=by_oid[oid],
            column=column,
            step=step,
            low=low,
            high=high,
            settable=settable,
            readable=readable,
            seen=seen,
        )
        for _, quoted, oid, column, step, low, high, settable, readable, seen in found
    )
