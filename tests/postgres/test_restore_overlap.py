"""What a restore of lanes does at the same time, and that it does not go on when that is of no use."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from backup.errors import RestoreFailed
from backup.stores.directory import DirectoryStore
from backup.stream.readers import ByteReader, Counted
from tests.fixtures.postgres import NewDatabase, Server
from tests.postgres.test_restore_lanes import EAGER
from tests.support.pgproof import backed_up, lanes, make_restorer, restored
from tests.support.proofs import fill

_PATIENCE = 20.0


class HeldStore(DirectoryStore):
    """A folder of which one object is held up when it is read for the second time, to be loaded, behind some bytes."""

    def __init__(self, folder: Path, name: str, *, behind: int, act: Callable[[], None]) -> None:
        super().__init__(folder)
        self._name = name
        self._behind = behind
        self._act: Callable[[], None] | None = act
        self._opened = 0
        self.read = 0

    @contextmanager
    def open(self, key: str) -> Iterator[ByteReader]:
        with super().open(key) as reader:
            if not key.endswith(self._name):
                yield reader
                return
            self._opened += 1
            yield Counted(reader, self._count) if self._opened > 1 else reader

    def _count(self, size: int) -> None:
        self.read += size
        if self._act and self.read > self._behind:
            act, self._act = self._act, None
            act()


def until(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def test_the_key_of_a_table_in_a_lane_is_made_while_the_first_lane_is_loaded(
    pg18: Server, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(pg18)
    fill(
        pg18,
        name,
        "CREATE TABLE large AS SELECT generate_series(1, 30000) AS id",
        "ALTER TABLE large ADD CONSTRAINT large_key PRIMARY KEY (id)",
        "CREATE TABLE larger AS SELECT generate_series(1, 40000) AS id",
    )
    backup = backed_up(pg18, name, store, dump=lanes(2))
    assert len(backup.lanes) == 1
    made: list[bool] = []

    def is_made() -> bool:
        with pg18.connect() as connection:
            found = connection.execute("SELECT datname FROM pg_database WHERE datname ~ '__restoring_'").fetchall()
        for (database,) in found:
            with pg18.connect(database) as connection:
                if connection.execute("SELECT 1 FROM pg_constraint WHERE conname = 'large_key'").fetchone():
                    return True
        return False

    held = HeldStore(Path(store.url), "dump.pgc.000", behind=0, act=lambda: made.append(until(is_made)))
    restored(backup, held, make_restorer(pg18, options=EAGER), f"{name}_again", jobs=2)
    assert made == [True]


def test_a_lane_whose_session_is_ended_is_not_read_to_its_end(
    pg18: Server, new_database: NewDatabase, store: DirectoryStore
) -> None:
    name = new_database(pg18)
    fill(
        pg18,
        name,
        "CREATE TABLE large AS SELECT i AS id, repeat(md5(i::text), 20) AS t FROM generate_series(1, 60000) AS i",
        "CREATE TABLE larger AS SELECT * FROM large",
        "INSERT INTO larger SELECT i FROM generate_series(1, 5000) AS i",
    )
    backup = backed_up(pg18, name, store, dump=lanes(2))
    (lane,) = backup.lanes
    assert lane.raw_bytes > 35 << 20

    def end() -> None:
        def is_ended() -> bool:
            with pg18.connect() as connection:
                return bool(
                    connection.execute(
                        "SELECT pg_terminate_backend(a.pid, 5000) FROM pg_stat_progress_copy AS c"
                        " JOIN pg_stat_activity AS a USING (pid) WHERE a.query LIKE 'COPY public.large %FROM%'"
                    ).fetchall()
                )

        assert until(is_ended)

    held = HeldStore(Path(store.url), "dump.1.pgc.000", behind=8 << 20, act=end)
    with pytest.raises(RestoreFailed, match=r"closed the connection|terminating connection"):
        restored(backup, held, make_restorer(pg18), f"{name}_again", jobs=2)
    assert held.read < 20 << 20
