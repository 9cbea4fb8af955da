"""Reads of the catalogue what the rows engine keeps of a schema. Touches no user's table."""

from __future__ import annotations

from collections.abc import Sequence

from backup.domain.kept_schema import KeptPosition, KeptSchema, KeptTable, Stage, Statement
from backup.logs import log
from backup.postgres.connection import connect
from backup.postgres.queries import read_query
from backup.postgres.rows.reading import RowsReading
from backup.postgres.rows.types import Type
from backup.postgres.sequences import read_standings
from backup.postgres.session import settle

_AFTER_TYPES = 4
"""The first step of rows_schema.sql that may need the types of columns."""
_STAGES: dict[str, Stage] = {"before": "before", "after": "after"}


def partitions_of(rows: RowsReading, tables: Sequence[int]) -> list[int]:
    """Tables, by oid, with all their partitions."""
    query = """
        SELECT DISTINCT p.relid::oid::int8 FROM unnest(%(oids)s::oid[]) AS t (oid), pg_partition_tree(t.oid) AS p
        UNION SELECT unnest(%(oids)s::oid[])::int8"""
    return [oid for (oid,) in rows.ask(query, {"oids": list(tables)})]


def read_schema(rows: RowsReading, kept: tuple[KeptTable, ...], *, everything: bool) -> KeptSchema:
    """What makes the chosen tables again, and where their sequences stand now, when all rows were read.

    Args:
        rows: the chosen tables.
        kept: those of which there are rows.
        everything: sequences that belong to no table are kept too.
    """
    tables = partitions_of(rows, [each.relation.oid for each in rows.chosen])
    said = rows.ask(read_query("rows_schema"), {"tables": tables, "all_sequences": everything})
    statements = [
        (step, Statement(stage=_STAGES[stage], kind=kind, name=name, sql=text, otherwise=otherwise))
        for step, stage, kind, name, text, otherwise in said
        if stage in _STAGES
    ]
    sequences = {name for _, stage, _, name, _, _ in said if stage not in _STAGES}
    ((creation,),) = rows.ask(read_query("rows_creation"))
    return KeptSchema(
        creation=creation,
        statements=(
            *(each for step, each in statements if step < _AFTER_TYPES),
            *_types(rows),
            *(each for step, each in statements if step >= _AFTER_TYPES),
        ),
        tables=kept,
        positions=_positions(rows, sequences),
        missing=rows.unreadable,
    )


def _types(rows: RowsReading) -> list[Statement]:
    """What makes the types that columns need and that are of no extension."""
    oids = sorted({each.type_oid for table in rows.chosen for each in table.relation.columns})
    tables = {each.relation.quoted for each in rows.chosen}
    found = []
    for row in rows.ask(read_query("rows_types"), {"oids": oids}):
        each = Type(*row)
        if each.extension or each.name in tables:  # the type of a table's rows comes with it
            continue
        if each.definition is None:
            log.warning("a type can be made again only by hand", type=each.name)
            continue
        schema = f"CREATE SCHEMA IF NOT EXISTS {each.schema}"
        found.append(Statement(stage="before", kind="schema", name=each.schema, sql=schema))
        found.append(Statement(stage="before", kind="type", name=each.name, sql=each.definition))
    return list(dict.fromkeys(found))


def _positions(rows: RowsReading, sequences: set[str]) -> tuple[KeptPosition, ...]:
    with connect(rows.address, connect_timeout=rows.copying.connect_timeout) as connection:
        settle(connection)
        standings = read_standings(connection)
    for fact, why in standings.unread.items():
        if fact.name in sequences:
            log.warning("where a sequence stands is not known", sequence=fact.name, reason=why)
    return tuple(
        KeptPosition(quoted=name, value=each.value, called=each.called)
        for name, each in standings.found.items()
        if name in sequences
    )
