"""Where sequences stand. They are in no transaction: of a snapshot's moment nobody can ask, only before and after it.

Owns what the two readings say of any moment between them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import psycopg

from backup.domain.proof import POSITION, Fact, Value
from backup.postgres.connection import Connection, is_lost
from backup.postgres.facts import reason_of
from backup.postgres.queries import read_query

_TOGETHER = 200
_PATIENCE, _IMPATIENCE = "3s", "200ms"
"""For the locks of many sequences, and, when it is known that somebody is in the way, of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a sequence stands.

    Attributes:
        value, called: of its row, `last_value` and `is_called`.
        logged: its `log_cnt`; whoever takes a number changes it.
        rises, cycles: which way it goes, and whether it goes round.
    """

    value: int
    called: bool
    logged: int
    rises: bool
    cycles: bool

    @property
    def place(self) -> tuple[int, bool]:
        """As a fact has it."""
        return self.value, self.called

    @property
    def progress(self) -> tuple[int, bool]:
        """What only grows while numbers are taken."""
        return self.value if self.rises else -self.value, self.called


@dataclass(frozen=True, slots=True, kw_only=True)
class Standings:
    """Where all of them stand, and which could not be read, with the reason."""

    found: Mapping[str, Standing] = field(default_factory=dict)
    unread: Mapping[Fact, str] = field(default_factory=dict)


def read_standings(connection: Connection) -> Standings:
    """Where every sequence stands now, whatever the transaction sees.

    Holds no lock afterwards: must be called outside of a transaction. Sets the session's lock_timeout.
    """
    names = connection.execute(read_query("sequences")).fetchall()
    found: dict[str, Standing] = {}
    unread: dict[Fact, str] = {}
    for start in range(0, len(names), _TOGETHER):
        batch = names[start : start + _TOGETHER]
        try:
            found |= _ask(connection, batch, _PATIENCE)
        except psycopg.Error as error:
            if is_lost(error):
                raise
            for name in batch:
                try:
                    found |= _ask(connection, [name], _IMPATIENCE)
                except psycopg.Error as single:
                    if is_lost(single):
                        raise
                    unread[Fact(POSITION, name[0])] = reason_of(single)
    return Standings(found=found, unread=unread)


def positions(before: Standings, after: Standings) -> tuple[dict[Fact, Value], dict[Fact, str]]:
    """The facts of what was read before and after, for any moment between, and what cannot be told of it."""
    found: dict[Fact, Value] = {}
    unproven = {**before.unread, **after.unread}
    for name, low in before.found.items():
        fact, high = Fact(POSITION, name), after.found.get(name)
        if high is None:
            unproven.setdefault(fact, "it was dropped or renamed meanwhile")
        elif low == high:
            found[fact] = (low.place, high.place)
        elif low.cycles or high.cycles:
            unproven[fact] = "it goes round, and numbers were taken meanwhile"
        elif high.progress < low.progress:
            unproven[fact] = "it was set back meanwhile"
        elif high.rises:
            found[fact] = (low.place, high.place)
        else:  # the first number of one that falls is called, and no higher than where it began
            found[fact] = ((high.value, False), (low.value, True))
    return found, unproven


def _ask(connection: Connection, batch: Iterable[tuple[str, bool, bool]], patience: str) -> dict[str, Standing]:
    names = list(batch)
    query = " UNION ALL ".join(
        f"SELECT {i}, last_value, is_called, log_cnt FROM {name}"  # noqa: S608 -- the server has quoted the names
        for i, (name, _, _) in enumerate(names)
    )
    connection.execute(f"SET lock_timeout = '{patience}'".encode())
    return {
        names[i][0]: Standing(value=value, called=called, logged=logged, rises=names[i][1], cycles=names[i][2])
        for i, value, called, logged in connection.execute(query.encode())
    }
