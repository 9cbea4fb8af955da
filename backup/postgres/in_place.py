"""Restoring over what is there: its limits, found before anything is dropped.

One transaction replaces every object of the backup. It needs a lock for each, and PostgreSQL does not drop an object
that something newer depends on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from backup.domain.toc import Entry
from backup.errors import ClientMissing, RestoreFailed
from backup.postgres.clients import Client
from backup.postgres.connection import Connection
from backup.postgres.destination import listed
from backup.postgres.queries import read_query
from backup.postgres.snapshot import one_row

_LOCKS = """
SELECT current_setting('max_locks_per_transaction')::int
         * (current_setting('max_connections')::int + current_setting('max_prepared_transactions')::int),
       (SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE c.oid >= 16384 AND n.nspname <> 'information_schema'
          AND (n.nspname = 'pg_toast' OR n.nspname !~ '^pg_'))
       + (SELECT count(*) FROM pg_catalog.pg_largeobject_metadata)"""

_RELATIONS = {"TABLE", "VIEW", "MATERIALIZED VIEW", "FOREIGN TABLE", "SEQUENCE"}
_TYPES = {"TYPE", "DOMAIN", "SHELL TYPE"}
_FUNCTIONS = {"FUNCTION", "PROCEDURE", "AGGREGATE"}
_OF_TABLES = {"FK CONSTRAINT": "foreign key", "TRIGGER": "trigger", "POLICY": "policy"}


def refuse_newer_dependents(connection: Connection, entries: Iterable[Entry]) -> None:
    """Find objects that are not in the backup but depend on what it replaces.

    Raises:
        RestoreFailed: there are some; names them.
    """
    replaced = {key for entry in entries if (key := _key(entry))}
    newer = []
    connection.execute("SELECT pg_catalog.set_config('search_path', '', false)")  # so types are named in full
    for kind, schema, name, ref_kind, ref_schema, ref_name in connection.execute(read_query("dependents")):
        dependent = (kind, schema, _printed(name))
        used = (ref_kind, ref_schema, _printed(ref_name))
        if used in replaced and dependent not in replaced:
            newer.append(f"{kind} {schema}.{name} (on {ref_schema}.{ref_name})")
    if newer:
        raise RestoreFailed(
            f"newer than the backup, and in the way of replacing it in place: {listed(newer)}",
            hint="drop them first, or restore into a new database (without --in-place)",
        )


def notes_in_place(connection: Connection) -> tuple[str, ...]:
    """What a user has to know of this database before its objects are replaced."""
    (defaults,) = one_row(connection, "SELECT count(*) FROM pg_catalog.pg_default_acl")
    if not defaults:
        return ()
    return ("the database has default privileges: they apply to every object that is made again, too",)


def refuse_too_few_locks(connection: Connection, entries: Sequence[Entry]) -> None:
    """Compare the locks that one transaction would take with those that the server has.

    An estimate: each relation and large object that is there is locked to be dropped, and each new relation (a table
    with its TOAST table and that one's index counts thrice) to be made.

    Raises:
        RestoreFailed: they do not suffice.
    """
    capacity, present = one_row(connection, _LOCKS)
    weights = {"TABLE": 3, "MATERIALIZED VIEW": 3, "INDEX": 1, "CONSTRAINT": 1, "SEQUENCE": 1, "VIEW": 1, "TYPE": 1}
    needed = present + sum(weights.get(entry.kind, 0) for entry in entries)
    if needed > capacity:
        raise RestoreFailed(
            f"restoring in place would take about {needed} locks in one transaction, the server has {capacity}",
            hint=f"raise max_locks_per_transaction to {needed // 50 + 64} and restart it, or restore into a new"
            " database (without --in-place)",
        )


def refuse_without_psql(client: Client) -> None:
    """See to it that there is a psql beside pg_restore. Raises ClientMissing."""
    if not Path(client.program("psql")).is_file():
        raise ClientMissing(
            f"to restore lanes in place takes psql {client.version}, which is not beside pg_restore",
            hint="install the whole postgresql-client package, or restore into a new database (without --in-place)",
        )


def _key(entry: Entry) -> tuple[str, str, str] | None:
    """The entry as queries/dependents.sql names it, or None for a kind that nothing depends on there."""
    if entry.kind in _RELATIONS:
        return "relation", entry.schema, entry.name
    if entry.kind in _TYPES:
        kind = "relation" if re.search(r"CREATE TYPE .* AS \(\n", entry.sql) else "type"
        return kind, entry.schema, entry.name
    if entry.kind in _FUNCTIONS:
        return "function", entry.schema, entry.name
    if entry.kind in _OF_TABLES:
        return _OF_TABLES[entry.kind], entry.schema, entry.name
    return None


def _printed(name: str) -> str:
    """A name as pg_restore prints it."""
    return re.sub(r"[\r\n]", " ", name)
