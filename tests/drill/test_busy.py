"""A database that is written to all the time: its backups are proven every time. `bench/busy.py` does it 20 times."""

from __future__ import annotations

from backup.domain.drill import Drill
from tests.drill.conftest import Drilling
from tests.drill.writer import writing
from tests.support.command import wait_until

_TIMES = 5
_RATE = 100
"""Transactions a second that must have been committed in the mean, else the test says nothing. A machine that does
nothing else makes ten times as many."""


def test_backups_of_a_busy_database_are_proven_every_time(own: Drilling) -> None:
    backups, rows = [], set()
    with writing(own.server, own.database) as writers:
        wait_until(lambda: writers.committed > 1000 or writers.failures)
        for _ in range(_TIMES):
            before = writers.committed
            backups.append(own.back_up())
            assert writers.committed > before + _RATE, "nothing was written while the backup was made"
            rows.add(own("show", "latest").result["proof"]["rows"])
        assert writers.failures == []
        assert writers.rate > _RATE
    for made in backups:
        ended = own.drilled(backup=made)
        assert ended.code == 0, ended
        found = Drill.from_json(ended.stdout.encode(), where="stdout")
        assert (found.verdict, found.tables, found.differences, found.unproven) == ("proven", 3, (), ())
    assert len(rows) > 1, "the backups should not be of one and the same state"
