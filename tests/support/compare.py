"""Everything of a database that must be equal after a round trip, as one flat map, and what differs between two.

Owns how rows, sequences and names become comparable values. Needs a superuser's connection in autocommit mode.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from psycopg import sql

from backup.domain.proof import NOTED
from backup.postgres.catalogue import QUERIES
from tests.fixtures.postgres import Connection

_MORE = {
    "any owner": """SELECT type || ' ' || identity, pg_get_userbyid(refobjid) FROM pg_shdepend AS s
        JOIN pg_database AS d ON d.oid = s.dbid, pg_identify_object(classid, objid, objsubid)
        WHERE d.datname = current_database() AND s.deptype = 'o'""",
    "large object": "SELECT oid::text, length(lo_get(oid)) || ' ' || md5(lo_get(oid)) FROM pg_largeobject_metadata",
}
"""Whatever has another owner than the first superuser, under the name the server gives it; and large objects."""

_MOST_ROWS = 1000
"""Tables with more rows are compared by count and hash."""

_SETTINGS = {
    "search_path": "",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "xmloption": "content",
    "lc_monetary": "C",
    "row_security": "off",
}

_TABLES = """
    SELECT n.nspname, c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE (c.relkind IN ('r', 'v') OR c.relkind = 'm' AND c.relispopulated)
        AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
        AND NOT EXISTS (SELECT FROM pg_depend AS e WHERE e.objid = c.oid AND e.deptype = 'e')
"""
_SEQUENCES = """
    SELECT n.nspname, c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind = 'S'
"""
_ROWS = """
    SELECT CASE WHEN length(line) > 200 THEN 'md5 ' || md5(line) || ' of ' || length(line) ELSE line END
    FROM (SELECT (t.*)::text COLLATE "C" AS line FROM ONLY {} AS t) AS t ORDER BY line
"""
_HASH = """
    SELECT md5(string_agg(hash, '' ORDER BY hash))
    FROM (SELECT md5((t.*)::text) COLLATE "C" AS hash FROM ONLY {} AS t) AS t
"""


def facts(connection: Connection) -> dict[str, object]:
    """What the database of `connection` holds: `kind name` to text or, for rows, a tuple of texts."""
    found: dict[str, object] = {}
    with connection.transaction():
        for name, value in _SETTINGS.items():
            connection.execute("SELECT pg_catalog.set_config(%s, %s, true)", [name, value])
        for kind, query in (QUERIES | _MORE).items():
            if kind in NOTED:
                continue
            for name, value in connection.execute(query.encode()):
                key = f"{kind} {name}"
                assert key not in found, f"two facts are called {key}"
                found[key] = value
        found.update(_rows(connection))
        found.update(_positions(connection))
    return found


def difference(left: Mapping[str, object], right: Mapping[str, object], *, ignore: Collection[str] = ()) -> list[str]:
    """Lines that say where two maps of facts differ; empty if they do not.

    Args:
        left: what was expected.
        right: what was found.
        ignore: beginnings of keys that do not matter, for example `database`.
    """
    keys = sorted(key for key in left.keys() | right.keys() if not key.startswith(tuple(ignore)))
    return [line for key in keys for line in _differs(key, left, right)]


def _differs(key: str, left: Mapping[str, object], right: Mapping[str, object]) -> Iterator[str]:
    if key not in right:
        yield f"missing: {key}: {_short(left[key])}"
    elif key not in left:
        yield f"unexpected: {key}: {_short(right[key])}"
    elif left[key] != right[key]:
        yield f"different: {key}:\n    {_short(left[key], right[key])}\n    {_short(right[key], left[key])}"


def _short(value: object, other: object = None) -> str:
    """A value for people; of two that differ, only what the other has not."""
    if isinstance(value, tuple) and isinstance(other, tuple):
        rest = set(other)
        value = tuple(line for line in value if line not in rest) or f"{len(value)} rows"
    text = str(value)
    return text if len(text) <= 2000 else f"{text[:2000]} ..."


def _rows(connection: Connection) -> Iterator[tuple[str, object]]:
    """The rows of every table (its own alone), view and filled materialised view."""
    for schema, name in connection.execute(_TABLES).fetchall():
        table = sql.Identifier(schema, name)
        key = f"rows {table.as_string(connection)}"
        count = connection.execute(sql.SQL("SELECT count(*) FROM ONLY {}").format(table)).fetchone()
        assert count is not None
        if count[0] > _MOST_ROWS:
            hashed = connection.execute(sql.SQL(_HASH).format(table)).fetchone()
            yield key, (f"{count[0]} rows", *(hashed or ()))
        else:
            yield key, tuple(line for (line,) in connection.execute(sql.SQL(_ROWS).format(table)))


def _positions(connection: Connection) -> Iterator[tuple[str, object]]:
    """Where every sequence stands."""
    for schema, name in connection.execute(_SEQUENCES).fetchall():
        sequence = sql.Identifier(schema, name)
        found = connection.execute(sql.SQL("SELECT last_value, is_called FROM {}").format(sequence)).fetchone()
        yield f"position {sequence.as_string(connection)}", str(found)
