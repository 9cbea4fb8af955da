"""What stands in the way of rows that come back is put aside for a transaction, and then is as it was again.

Owns foreign keys that never wait and triggers. Where the transaction fails, the server puts them back by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from psycopg import sql

from backup.domain.row_return import Waiting
from backup.domain.rows import Problem
from backup.postgres.connection import Connection
from backup.postgres.queries import read_query
from backup.postgres.rows.query import verbatim

_ENABLE: Mapping[str, str] = MappingProxyType({"O": "ENABLE", "A": "ENABLE ALWAYS", "R": "ENABLE REPLICA"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """An enabled one: its table as SQL writes it, its name, pg_trigger's letter, and whether we may alter the table."""

    table: str
    name: str
    state: str
    alterable: bool


def read_triggers(connection: Connection, oids: Sequence[int]) -> tuple[Trigger, ...]:
    """Those of tables and their partitions that are enabled, but for the server's own."""
    found = connection.execute(read_query("rows_triggers"), {"oids": list(oids)})
    return tuple(
        Trigger(table=table, name=name, state=state, alterable=alterable) for table, name, state, alterable in found
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Easing:
    """Foreign keys and triggers that are put aside."""

    waiting: tuple[Waiting, ...]
    triggers: tuple[Trigger, ...]

    def problems(self, alterable: Mapping[int, bool], role: str) -> Iterator[Problem]:
        """Why that cannot be done: only a table's owner may alter it. `alterable`: by oid, whether we may."""
        for each in self.waiting:
            name = each.relation.quoted
            if not alterable[each.relation.oid]:
                constraint = sql.Identifier(each.reference.name).as_string(None)
                yield Problem(
                    text=f"the foreign key {each.reference.name} of {each.relation.label} goes in a circle and never"
                    f" waits, and {role} may not alter the table",
                    hint=f"ALTER TABLE {name} ALTER CONSTRAINT {constraint} DEFERRABLE; -- by the owner of the table",
                    denied=True,
                )
        for table in dict.fromkeys(each.table for each in self.triggers if not each.alterable):
            yield Problem(
                text=f"{role} may not disable the triggers of {table}, it is not its owner",
                hint="connect as the owner, or leave out --disable-triggers",
                denied=True,
            )

    def put_aside(self, connection: Connection) -> None:
        """Let every foreign key that can wait do so, and disable the triggers."""
        self._alter_keys(connection, "DEFERRABLE INITIALLY DEFERRED")
        _alter_triggers(connection, ((each, "DISABLE") for each in self.triggers))
        connection.execute("SET CONSTRAINTS ALL DEFERRED")

    def put_back(self, connection: Connection) -> None:
        """As it was. All foreign keys must have been checked: a table with checks to come cannot be altered."""
        self._alter_keys(connection, "NOT DEFERRABLE INITIALLY IMMEDIATE")
        _alter_triggers(connection, ((each, _ENABLE[each.state]) for each in self.triggers))

    def _alter_keys(self, connection: Connection, state: str) -> None:
        for each in self.waiting:
            table = sql.Identifier(each.relation.schema, each.relation.name)
            name = sql.Identifier(each.reference.name)
            connection.execute(verbatim("ALTER TABLE {} ALTER CONSTRAINT {} " + state).format(table, name))


def _alter_triggers(connection: Connection, states: Iterable[tuple[Trigger, str]]) -> None:
    for each, state in states:
        connection.execute(
            verbatim("ALTER TABLE ONLY {} {} TRIGGER {}").format(
                verbatim(each.table), verbatim(state), sql.Identifier(each.name)
            )
        )
