"""How a value gets from JSON into a column of each type. SQL alone.

The server's own way does for nearly all: json_to_record reads a string as the type's own text form, of arrays and rows
too, and numbers digit by digit. Here are the types of which it makes something else than row_to_json has written.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from psycopg import sql

from backup.domain.rows import Column
from backup.postgres.connection import Connection
from backup.postgres.rows.query import verbatim

_KINDS = """
WITH RECURSIVE base (oid, at) AS (
    SELECT oid, oid FROM unnest(%(oids)s::oid[]) AS one (oid)
    UNION ALL SELECT base.oid, t.typbasetype FROM base JOIN pg_catalog.pg_type t ON t.oid = base.at
    WHERE t.typtype = 'd')
SELECT base.oid::int8, format_type(base.at, NULL), CASE
    WHEN base.at IN ('pg_catalog.json'::regtype, 'pg_catalog.jsonb'::regtype) THEN 'json'
    WHEN base.at IN ('pg_catalog.int2vector'::regtype, 'pg_catalog.oidvector'::regtype) THEN 'vector'
    ELSE 'hstore' END
FROM base JOIN pg_catalog.pg_type t ON t.oid = base.at
WHERE base.at IN ('pg_catalog.json'::regtype, 'pg_catalog.jsonb'::regtype,
                  'pg_catalog.int2vector'::regtype, 'pg_catalog.oidvector'::regtype)
   OR t.typname = 'hstore' AND EXISTS (
       SELECT FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
       WHERE d.classid = 'pg_catalog.pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e'
         AND e.extname = 'hstore')
"""


_VECTOR = "pg_catalog.translate({value}, '[],\"', '    ')::{type}"
_HSTORE = """CASE WHEN {value} IS NOT NULL THEN coalesce((
    SELECT {base}(pg_catalog.array_agg(p.key), pg_catalog.array_agg(p.value))
    FROM pg_catalog.json_each_text({value}) AS p), '') END::{type}"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How a column comes.

    Attributes:
        column: it.
        arrives_as: the type as which json_to_record gives it.
        made_by: of what that gives (`{value}`) what is stored, of the column's `{type}` over its `{base}`.
    """

    column: Column
    arrives_as: str
    made_by: str = "{value}"
    base: str = ""

    @property
    def defined(self) -> sql.Composable:
        """The column as json_to_record is told of it."""
        return verbatim("{} {}").format(sql.Identifier(self.column.name), verbatim(self.arrives_as))

    def value(self, table: str) -> sql.Composable:
        """What is stored, where that table is what json_to_record gives."""
        return verbatim(self.made_by).format(
            value=sql.Identifier(table, self.column.name), type=verbatim(self.column.type), base=verbatim(self.base)
        )


def read_forms(connection: Connection, columns: Sequence[Column], as_text: Collection[str]) -> list[Form]:
    """That of each column. `as_text`: those whose values are strings with PostgreSQL's text form."""
    found = connection.execute(_KINDS, {"oids": sorted({each.type_oid for each in columns})})
    kinds = {oid: (base, kind) for oid, base, kind in found}
    return [_form(each, *kinds.get(each.type_oid, ("", "")), is_text=each.name in as_text) for each in columns]


def _form(column: Column, base: str, kind: str, *, is_text: bool) -> Form:
    if kind == "json" and is_text:  # else a string would be taken for a JSON string
        return Form(column=column, arrives_as="pg_catalog.text", made_by="{value}::{type}")
    if kind == "vector" and not is_text:  # else an array that begins with 1, which none of these types does
        return Form(column=column, arrives_as="pg_catalog.text", made_by=_VECTOR)
    if kind == "hstore" and not is_text:  # else the text of an object, which is not that of the type
        return Form(column=column, arrives_as="pg_catalog.json", made_by=_HSTORE, base=base)
    return Form(column=column, arrives_as=column.type)
