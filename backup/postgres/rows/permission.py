"""What a role may do with tables that rows come into, and the grants that it lacks."""

from __future__ import annotations

from collections.abc import Sequence

from backup.domain.rows import Problem, Relation
from backup.postgres.connection import Connection
from backup.postgres.queries import read_query
from backup.postgres.snapshot import one_row


def rights_on(
    connection: Connection, relation: Relation, columns: Sequence[str], role: str, *, upsert: bool
) -> tuple[bool, list[Problem]]:
    """Whether the role may alter a table, and what it lacks to write these columns."""
    if not relation.is_table:
        return True, []
    alterable, insert, update, select = one_row(
        connection, read_query("rows_rights"), {"oid": relation.oid, "columns": list(columns)}
    )
    wanted = {"INSERT": insert, **({"SELECT": select, "UPDATE": update} if upsert else {})}
    missing = ", ".join(right for right, given in wanted.items() if not given)
    if not missing:
        return alterable, []
    hint = f"GRANT {missing} ON {relation.quoted} TO {role};"
    return alterable, [Problem(text=f"{role} may not write to {relation.quoted}", hint=hint, denied=True)]


def temporary_tables(connection: Connection, role: str) -> list[Problem]:
    """What it lacks to make temporary tables."""
    may, database = one_row(
        connection,
        "SELECT pg_catalog.has_database_privilege(current_database(), 'TEMPORARY'),"
        " pg_catalog.quote_ident(current_database())",
    )
    if may:
        return []
    hint = f"GRANT TEMPORARY ON DATABASE {database} TO {role};"
    return [Problem(text=f"{role} may not make temporary tables, in which rows arrive", hint=hint, denied=True)]
