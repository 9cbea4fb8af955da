"""Lanes: the streams in which one dump leaves the server, and which table's rows take which. Pure.

Lane 0 has everything but the rows of the tables that another lane has: definitions, small tables, large objects. So
it always is there, and what has no size of its own counts for it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from backup.domain.sizes import show_size

MOST_JOBS = 16
"""Connections that read one dump: a bound against a slip of the hand, no server gives more with more."""

_WORTH = 256 << 20
"""Bytes of a database from which on two lanes are worth a second connection: at that size, another pg_dump takes as
long to start as it saves. See bench/README.md."""

_OF_ITSELF = 2
"""Lanes that are taken without being asked for: two, read to nowhere, took 0.67 of the time of one, and a server that
is at work beside has more to do than to be backed up."""

LARGE = 4 << 20
"""Bytes of a table from which on it may have another lane than 0: below it costs pg_dump more to look for it."""

_MOST_TABLES = 200
"""Of which others than lane 0 have the rows: pg_dump looks through the catalogue for each of them, and its command line
is bounded. A guess."""

_LOPSIDED = 1.25
"""From which on a table bounds the gain: so many times the share of a lane."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table with rows of its own, and the bytes that they take on the server, with what is stored out of line."""

    schema: str
    name: str
    bytes: int

    @property
    def pattern(self) -> str:
        """What pg_dump's --table and the like take for this table and no other."""
        return ".".join('"' + name.replace('"', '""') + '"' for name in (self.schema, self.name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """Who has what.

    Attributes:
        lanes: the tables of lane 1, of lane 2 and so on, none of them empty.
        bytes: of each lane, lane 0 first.
    """

    lanes: tuple[tuple[Table, ...], ...]
    bytes: tuple[int, ...]

    @property
    def apart(self) -> tuple[Table, ...]:
        """The tables whose rows lane 0 does not have."""
        return tuple(table for lane in self.lanes for table in lane)

    @property
    def shares(self) -> str:
        """How much each lane has, for people."""
        return " + ".join(show_size(size) for size in self.bytes)

    @property
    def bounded(self) -> bool:
        """Whether one lane has much more than its share: it is as slow as if there were fewer lanes."""
        return max(self.bytes) * len(self.bytes) > sum(self.bytes) * _LOPSIDED


def lane_name(number: int) -> str:
    """The name of a lane's part: `dump.pgc`, `dump.1.pgc` and so on."""
    return f"dump.{number}.pgc" if number else "dump.pgc"


def choose_jobs(wanted: int | None, *, database_bytes: int, cores: int) -> int:
    """How many lanes to make: as many as wanted, or what fits the database where nobody said.

    Args:
        wanted: None for whatever fits.
        database_bytes: on the server's disk.
        cores: that this process may use.
    """
    if wanted is not None:
        return min(wanted, MOST_JOBS)
    return min(cores, _OF_ITSELF) if database_bytes >= _WORTH else 1


def balance(tables: Collection[Table], *, jobs: int, rest: int = 0, large: int = LARGE) -> Balance:
    """Spread tables over lanes: the largest first, each to the lane that has least by then (Graham 1969, LPT).

    The longest lane is at most a third longer than in the best spreading there is, but for what lane 0 has anyway.

    Args:
        tables: with rows of their own, which are dumped.
        jobs: lanes, lane 0 among them.
        rest: bytes that lane 0 has beside them.
        large: bytes of a table that may be in another lane than 0.
    """
    ordered = sorted(tables, key=lambda table: (-table.bytes, table.schema, table.name))
    movable = [table for table in ordered if table.bytes >= large][:_MOST_TABLES]
    loads = [rest + sum(table.bytes for table in ordered[len(movable) :]), *([0] * (jobs - 1))]
    lanes: list[list[Table]] = [[] for _ in loads]
    for table in movable:
        lane = min(range(jobs), key=loads.__getitem__)
        loads[lane] += table.bytes
        lanes[lane].append(table)
    kept: Sequence[int] = [number for number in range(1, jobs) if lanes[number]]
    return Balance(
        lanes=tuple(tuple(lanes[number]) for number in kept),
        bytes=(loads[0], *(loads[number] for number in kept)),
    )
