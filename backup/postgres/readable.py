"""Whether a role may read all that pg_dump reads, and the GRANTs that are missing, ready to paste.

Owns the queries that find it out: of the catalogue alone, so that no user's table is touched or locked.
A hint is SQL through and through: an administrator pastes it whole, remarks in it are SQL comments.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from backup.domain.checks import Check
from backup.errors import AccessDenied
from backup.postgres.connection import Connection
from backup.postgres.queries import read_query

_SHOWN = 20
_LO_PRIVILEGE_FUNCTION = 180000
"""The first server version with has_largeobject_privilege (release notes of 18)."""

_ALL_LARGE_OBJECTS = (
    "DO $pgproof$ DECLARE lo oid; BEGIN FOR lo IN SELECT oid FROM pg_catalog.pg_largeobject_metadata LOOP"
    " EXECUTE 'GRANT SELECT ON LARGE OBJECT ' || lo || ' TO <role>'; END LOOP; END $pgproof$;"
)
_BASIC_PLANE = 0xFFFF
_QUOTED_OR_NOT = re.compile(r'"(?:[^"]|"")*"|[^".]+')


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """What was found of one kind of relation: how many there are, those not readable, and the schemas of those."""

    word: str
    count: int
    denied: tuple[str, ...]
    schemas: tuple[str, ...]


def check_readable(connection: Connection, *, filtered: bool, large_objects: bool = True) -> Iterator[Check]:
    """Schemas, tables, sequences, large objects and row-level security, in this order.

    Args:
        connection: in the database, with pg_catalog first in the search path.
        filtered: a setting leaves parts of the database out, perhaps those that cannot be read: only warn.
        large_objects: they are wanted.
    """
    row = connection.execute(read_query("relations")).fetchone()
    if row is None:
        raise LookupError("relations.sql gave no row")
    role, spaces, closed, tables, unread, table_spaces, sequences, unseen, sequence_spaces, hidden = row
    role = safe_identifier(role)
    yield _schemas(role, spaces, _safe(closed), filtered=filtered)
    for kind in (
        _Kind(word="table", count=tables, denied=_safe(unread), schemas=_safe(table_spaces)),
        _Kind(word="sequence", count=sequences, denied=_safe(unseen), schemas=_safe(sequence_spaces)),
    ):
        yield _relations(role, kind, filtered=filtered)
    if large_objects:
        yield _large_objects(role, connection)
    yield _row_security(role, _safe(hidden), filtered=filtered)


def safe_identifier(quoted: str) -> str:
    r"""A dotted name from quote_ident, in one line that no terminal trips over; to the server it is the same.

    Control characters and the like become escapes of `U&"…"` (documentation, "Identifiers with Unicode Escapes").
    """
    if quoted.isprintable():
        return quoted
    return ".".join(map(_escape, _QUOTED_OR_NOT.findall(quoted)))


def _escape(step: str) -> str:
    return step if step.isprintable() else "U&" + "".join(map(_escape_character, step))


def _escape_character(character: str) -> str:
    if character == "\\":
        return "\\\\"
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\{code:04X}" if code <= _BASIC_PLANE else f"\\+{code:06X}"


def _safe(names: list[str] | None) -> tuple[str, ...]:
    return tuple(map(safe_identifier, names or ()))


def _schemas(role: str, count: int, closed: tuple[str, ...], *, filtered: bool) -> Check:
    if not closed:
        return Check(name="schemas", verdict="ok", message=f"{_all(count)} usable")
    grants = [f"GRANT USAGE ON SCHEMA {name} TO {role};" for name in closed]
    return _denied("schemas", f"no USAGE on {_some(closed)}", grants, filtered=filtered)


def _relations(role: str, kind: _Kind, *, filtered: bool) -> Check:
    name, sql = f"{kind.word}s", kind.word.upper()
    if not kind.denied:
        return Check(name=name, verdict="ok", message=f"{_all(kind.count)} readable")
    if len(kind.denied) <= _SHOWN:
        grants = [f"GRANT SELECT ON {sql} {relation} TO {role};" for relation in kind.denied]
    else:
        grants = [f"GRANT SELECT ON ALL {sql}S IN SCHEMA {schema} TO {role};" for schema in kind.schemas]
    grants.append(f"-- or everything at once, later tables and sequences too: GRANT pg_read_all_data TO {role};")
    return _denied(name, f"no SELECT on {_some(kind.denied)}", grants, filtered=filtered)


def _large_objects(role: str, connection: Connection) -> Check:
    newer = connection.info.server_version >= _LO_PRIVILEGE_FUNCTION
    rows = connection.execute(read_query("large_objects_18" if newer else "large_objects_14")).fetchall()
    if not rows:
        return Check(name="large objects", verdict="ok", message="all readable")
    count = rows[0][1]
    if count <= len(rows):
        grants = [f"GRANT SELECT ON LARGE OBJECT {oid} TO {role};" for oid, _ in rows]
    else:
        grants = [_ALL_LARGE_OBJECTS.replace("<role>", role.replace("'", "''"))]
    grants.append("-- pg_read_all_data does not cover large objects, and each new one needs this again:")
    grants.append("-- where that is too often, back up as the role that owns them")
    # No filter of ours leaves out large objects, so these are never only a warning.
    return _denied("large objects", f"no SELECT on {_some([str(oid) for oid, _ in rows], count)}", grants)


def _row_security(role: str, hidden: tuple[str, ...], *, filtered: bool) -> Check:
    if not hidden:
        return Check(name="row security", verdict="ok", message="no policy hides rows")
    hint = [f"ALTER ROLE {role} BYPASSRLS;", "-- pg_read_all_data does not cover row-level security"]
    return _denied("row security", f"policies may hide rows of {_some(hidden)}", hint, filtered=filtered)


def _denied(name: str, message: str, hint: list[str], *, filtered: bool = False) -> Check:
    return Check(
        name=name,
        verdict="warn" if filtered else "fail",
        message=message,
        hint="\n".join(hint),
        error=AccessDenied,
    )


def _all(count: int) -> str:
    return f"all {count}" if count else "none there, so all"


def _some(names: list[str] | tuple[str, ...], count: int | None = None) -> str:
    """The first 20 names, and how many more there are."""
    more = (count or len(names)) - len(names[:_SHOWN])
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more else "")
