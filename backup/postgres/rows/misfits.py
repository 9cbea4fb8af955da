"""Rows that do not fit are found and named: a batch that fails is tried in halves, each in a savepoint.

Left before right, and what fits stays: so a row that comes twice is told of its second place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

import psycopg

from backup.errors import RestoreFailed
from backup.postgres.connection import Connection, is_lost

TOLD = 10
"""Rows that do not fit and are named; whoever has more has seen enough."""

_NOT_OF_ROWS = ("08", "25", "28", "40", "42", "53", "55", "57", "58", "XX")
"""Classes of SQLSTATE that say nothing of a row: lines and locks, rights and names, a server without room."""

_WITH_WHOLE_ROW = ("23502", "23514")
"""Errors whose detail is all of a row: not null and check. It may hold what nobody should see."""


def told_row(number: int, key: dict[str, object]) -> str:
    """A row by its number and its key."""
    said = ", ".join(f"{name} {value}" for name, value in key.items() if value is not None)
    return f"row {number} ({said})" if said else f"row {number}"


def write_rows(
    connection: Connection,
    rows: tuple[int, int],
    write: Callable[[int, int], int],
    named: Callable[[int], str],
    *,
    table: str,
    known: str = "",
) -> int:
    """Write rows, from one number to another with both; returns how many were.

    Args:
        connection: in a transaction.
        rows: the numbers.
        write: writes those from a number to a number.
        named: tells one to people.
        table: how it is called.
        known: what to do where a row is there already.

    Raises:
        RestoreFailed: some do not fit; names up to TOLD of them.
        psycopg.Error: what is no fault of rows.
    """
    try:
        with connection.transaction():
            return write(*rows)
    except psycopg.Error as error:
        if not _is_of_rows(error):
            raise
        whole = error
    misfits = list(islice(_misfits(connection, rows, whole, write), TOLD))
    if not misfits:  # each half fits alone
        raise whole
    count = f"{TOLD} rows or more do" if len(misfits) == TOLD else "a row does" if len(misfits) == 1 else ""
    twice = any(isinstance(error, psycopg.errors.UniqueViolation) for _, error in misfits)
    raise RestoreFailed(
        f"{table}: {count or f'{len(misfits)} rows do'} not fit",
        detail="\n".join(f"{named(number)}: {_said(error)}" for number, error in misfits),
        hint="; ".join(filter(None, ("nothing was changed", known if twice else ""))),
    ) from whole


def _misfits(
    connection: Connection, rows: tuple[int, int], error: psycopg.Error, write: Callable[[int, int], int]
) -> Iterator[tuple[int, psycopg.Error]]:
    """Of rows that could not be written those that are to blame; those that are not are written on the way."""
    first, last = rows
    if first == last:
        yield first, error
        return
    middle = (first + last) // 2
    for half in ((first, middle), (middle + 1, last)):
        try:
            with connection.transaction():
                write(*half)
        except psycopg.Error as failed:
            if not _is_of_rows(failed):
                raise
            yield from _misfits(connection, half, failed, write)


def _is_of_rows(error: psycopg.Error) -> bool:
    return not is_lost(error) and not (error.sqlstate or "").startswith(_NOT_OF_ROWS)


def _said(error: psycopg.Error) -> str:
    detail = error.diag.message_detail if error.sqlstate not in _WITH_WHOLE_ROW else None
    return " ".join(filter(None, (error.diag.message_primary or str(error), f"({detail})" if detail else None)))
