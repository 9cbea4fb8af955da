"""The SQL that reads chosen rows: as JSON, or as plain columns. Names are quoted, the user's SQL stands as it is.

A table is called by its own name wherever the user's SQL stands, so that `orders.total` works there; every name of
ours begins with `pgproof_`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from psycopg import sql

from backup.domain.rows import ChosenTable, Relation

NOTHING = sql.SQL("")
_MANY = sql.SQL(
    "(SELECT coalesce(pg_catalog.json_agg(pg_catalog.row_to_json({inner}.*)), '[]') FROM ({rows}) AS {inner}) AS {name}"
)
_AS_WRITTEN = sql.SQL("CASE WHEN pg_catalog.num_nonnulls({0}) > 0 THEN pg_catalog.format('%s', {0}) END AS {0}")
"""By the output function of its type: a cast to text may be another function, and cuts the blanks of char(n)."""
_ONE = sql.SQL("(SELECT pg_catalog.row_to_json({inner}.*) FROM ({rows}) AS {inner}) AS {name}")


def verbatim(text: str) -> sql.SQL:
    """SQL of the user or of the server, as it is."""
    return sql.SQL(text)


def names(columns: Iterable[str], table: str | None = None) -> sql.Composable:
    """Column names, quoted, with commas between."""
    return sql.SQL(", ").join(sql.Identifier(*([table] if table else []), each) for each in columns)


def equal(left: Sequence[str], right: Sequence[str], equality: str) -> sql.Composable:
    """That two columns are equal, each a name behind its table's, by the operator in the schema `equality`."""
    form = sql.SQL("{} OPERATOR({}.=) {}")
    return form.format(sql.Identifier(*left), sql.Identifier(equality), sql.Identifier(*right))


def source(relation: Relation) -> sql.Composable:
    """What stands behind FROM: the table without those that inherit from it, or with its partitions."""
    only = NOTHING if relation.kind == "p" else sql.SQL("ONLY ")
    return only + sql.Identifier(relation.schema, relation.name)


def plain_query(table: ChosenTable, columns: Sequence[str], *, condition: sql.Composable | None = None) -> sql.Composed:
    """The chosen rows of a table with these columns, in the chosen order and number.

    Args:
        table: and what of it was chosen.
        columns: the user's are not asked here.
        condition: beside the user's own.
    """
    choice = table.choice
    conditions = [each for each in (condition, verbatim(choice.where) if choice.where else None) if each is not None]
    order = verbatim(choice.order_by) if choice.order_by else _order_of_limit(table)
    return sql.SQL("SELECT {} FROM {}{}{}{}").format(
        names(columns, table.relation.name),
        source(table.relation),
        # A line end behind each: a comment that ends the user's SQL ends there.
        sql.SQL(" WHERE ") + sql.SQL(" AND ").join(sql.SQL("({}\n)").format(each) for each in conditions)
        if conditions
        else NOTHING,
        sql.SQL(" ORDER BY {}\n").format(order) if order else NOTHING,
        sql.SQL(" LIMIT {}").format(sql.Literal(choice.limit)) if choice.limit is not None else NOTHING,
    )


def json_query(table: ChosenTable) -> sql.Composed:
    """Each chosen row as one JSON object on one line, rows of included tables inside."""
    row: sql.Composable = sql.SQL("pg_catalog.row_to_json(pgproof_row.*)")
    if not _one_line(table):  # where JSON is kept as it was written it may have line ends, but only between its tokens
        row = sql.SQL("pg_catalog.replace(pg_catalog.replace({}::text, E'\\n', ' '), E'\\r', ' ')").format(row)
    return sql.SQL("SELECT {} FROM ({}) AS pgproof_row").format(row, _rows(table, depth=0))


def line_query(table: ChosenTable) -> sql.Composed:
    """Each chosen row as one JSON object on one line, from which PostgreSQL makes that very row again.

    A value that JSON would not carry exactly is a string in it, as its type writes it.
    """
    columns = sql.SQL(", ").join(
        (sql.SQL("{0}") if each.exact else _AS_WRITTEN).format(sql.Identifier(each.name)) for each in table.columns
    )
    rows = plain_query(table, [each.name for each in table.columns])
    form = "SELECT pg_catalog.row_to_json(pgproof_row.*) FROM (SELECT {} FROM ({}) AS pgproof_0) AS pgproof_row"
    return sql.SQL(form).format(columns, rows)


def _rows(table: ChosenTable, *, depth: int, condition: sql.Composable | None = None) -> sql.Composable:
    """The rows of a table with those inside them; `condition` ties them to the row that they are in."""
    columns = [each.name for each in table.columns]
    if not table.nested:
        return plain_query(table, columns, condition=condition)
    outer = f"pgproof_{depth}"
    needed = [*columns, *(pair[0] for nested in table.nested for pair in nested.pairs)]
    inside = []
    for nested in table.nested:
        inner_table = nested.table.relation
        tie = sql.SQL(" AND ").join(
            equal(
                (inner_table.name, theirs),
                (outer, ours),
                # A foreign key compares as the column does to which it points.
                _equality(table.relation, ours) if nested.many else _equality(inner_table, theirs),
            )
            for ours, theirs in nested.pairs
        )
        rows = _rows(nested.table, depth=depth + 1, condition=tie)
        form = _MANY if nested.many else _ONE
        inner = sql.Identifier(f"pgproof_in_{depth}")
        inside.append(form.format(inner=inner, rows=rows, name=sql.Identifier(nested.name)))
    chosen = [sql.Identifier(outer, each) for each in columns]
    return sql.SQL("SELECT {} FROM ({}) AS {}").format(
        sql.SQL(", ").join([*chosen, *inside]),
        plain_query(table, list(dict.fromkeys(needed)), condition=condition),
        sql.Identifier(outer),
    )


def _equality(relation: Relation, name: str) -> str:
    column = relation.column(name)
    return column.equality if column else "pg_catalog"


def _order_of_limit(table: ChosenTable) -> sql.Composable | None:
    """Of included rows that are limited without an order: by the key."""
    key = table.relation.key
    return names(key.columns, table.relation.name) if key and table.choice.limit is not None else None


def _one_line(table: ChosenTable) -> bool:
    # json_agg puts line ends between its elements
    return all(each.one_line for each in table.columns) and not any(
        nested.many or not _one_line(nested.table) for nested in table.nested
    )
