"""Reads of the catalogue what a choice of rows is checked against. Touches no user's table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from backup.domain.rows import Catalogue, Column, Key, Reference, Relation
from backup.postgres.connection import Connection
from backup.postgres.queries import read_query
from backup.postgres.snapshot import one_row

_COLUMN = (
    "name",
    "type",
    "type_oid",
    "readable",
    "one_line",
    "exact",
    "generated",
    "not_null",
    "collation",
    "filled",
    "quoted",
    "equality",
    "fixed",
)
"""What rows_columns.sql says of a column, in its order."""


def search_path(connection: Connection) -> list[str]:
    """The schemas in which a name without one is looked for; to be asked before the session is settled."""
    return list(one_row(connection, "SELECT pg_catalog.current_schemas(false)")[0])


def read_catalogue(connection: Connection, path: Sequence[str]) -> Catalogue:
    """All relations but the server's own, their columns, keys and foreign keys.

    Args:
        connection: settled, so that types are named with their schemas.
        path: the search path that the role had before.
    """
    (role,) = one_row(connection, "SELECT quote_ident(current_user)")
    rows = connection.execute(read_query("rows_relations"), {"path": list(path)}).fetchall()
    columns: dict[int, list[Column]] = defaultdict(list)
    for oid, *said in connection.execute(read_query("rows_columns"), {"oids": [row[0] for row in rows]}):
        columns[oid].append(Column(**dict(zip(_COLUMN, said, strict=True))))
    relations = (_relation(*row, columns=tuple(columns[row[0]])) for row in rows)
    return Catalogue(role=role, relations=tuple(relations))


def _relation(
    oid: int,
    schema: str,
    name: str,
    quoted: str,
    kind: str,
    *flags: bool | list[list[object]] | None,
    columns: tuple[Column, ...],
) -> Relation:
    *said, keys, references = flags
    visible, partition, usable, readable, hidden = map(bool, said)
    return Relation(
        oid=oid,
        schema=schema,
        name=name,
        quoted=quoted,
        kind=kind,
        visible=visible,
        partition=partition,
        usable=usable,
        readable=readable,
        hidden=hidden,
        columns=columns,
        keys=tuple(_key(*each) for each in _listed(keys)),
        references=tuple(_reference(*each) for each in _listed(references)),
    )


def _listed(value: object) -> Sequence[Sequence[object]]:
    return value if isinstance(value, list) else ()


def _key(columns: object, primary: object) -> Key:
    return Key(columns=_names(columns), primary=bool(primary))


def _reference(name: object, columns: object, to: object, to_columns: object, deferrable: object) -> Reference:
    return Reference(
        name=str(name),
        columns=_names(columns),
        to=int(str(to)),
        to_columns=_names(to_columns),
        deferrable=bool(deferrable),
    )


def _names(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else ()
