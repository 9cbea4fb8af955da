"""Somebody who writes all the time: hundreds of transactions a second while a database is backed up.

Owns the tables that are written to; what is in them is of no matter, that no two moments are alike is.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from tests.fixtures.postgres import Server

_TABLES = """
CREATE TABLE accounts (id int PRIMARY KEY, balance bigint NOT NULL);
INSERT INTO accounts SELECT n, 1000 FROM generate_series(1, 1000) AS n;
CREATE TABLE moves (id serial PRIMARY KEY, source int, target int, amount int, at timestamptz DEFAULT now());
CREATE TABLE notes (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note text, doc jsonb);
CREATE SEQUENCE numbers;
CREATE INDEX ON moves (source);
INSERT INTO notes (note, doc) SELECT md5(n::text), jsonb_build_object('n', n) FROM generate_series(1, 20000) AS n;
"""
_MOVE = """
WITH taken AS (UPDATE accounts SET balance = balance - %(amount)s WHERE id = %(source)s)
INSERT INTO moves (source, target, amount) VALUES (%(source)s, %(target)s, %(amount)s)
"""
_REST = (
    "UPDATE accounts SET balance = balance + %(amount)s WHERE id = %(target)s",
    "INSERT INTO notes (note, doc) VALUES (%(amount)s::text, jsonb_build_object('n', nextval('numbers')))",
    "DELETE FROM notes WHERE id = 10 * %(source)s + %(amount)s",
    "UPDATE notes SET note = md5(note) WHERE id = 20 * %(source)s",
)
_WRITERS = 3


class Writers:
    """Threads that write until the context ends.

    Attributes:
        committed: transactions so far.
        failures: what went wrong, which nothing should.
    """

    def __init__(self, server: Server, database: str) -> None:
        self._url = server.url(database)
        self._ended = threading.Event()
        self._begun = time.monotonic()
        self.committed = 0
        self.failures: list[str] = []
        self._threads = [threading.Thread(target=self._write, args=(n,), daemon=True) for n in range(_WRITERS)]

    @property
    def rate(self) -> float:
        """Transactions a second since the start."""
        return self.committed / (time.monotonic() - self._begun)

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _write(self, seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311 -- no secret
        try:
            with psycopg.connect(self._url, autocommit=True) as connection:
                while not self._ended.is_set():
                    values = {
                        "source": chance.randint(1, 1000),
                        "target": chance.randint(1, 1000),
                        "amount": chance.randint(1, 100),
                    }
                    for statement in (_MOVE, chance.choice(_REST)):
                        connection.execute(statement.encode(), values)
                        self.committed += 1
        except psycopg.Error as error:
            self.failures.append(str(error))


@contextmanager
def writing(server: Server, database: str) -> Iterator[Writers]:
    """Fill an empty database, and write to it until the context ends."""
    with server.connect(database) as connection:
        connection.execute(_TABLES)
    writers = Writers(server, database)
    writers.start()
    try:
        yield writers
    finally:
        writers.stop()
