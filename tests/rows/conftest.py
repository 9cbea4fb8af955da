"""A shop's database, the command on it, and a second server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString

import pytest

from tests.fixtures.postgres import Connection, NewDatabase, Server
from tests.support.command import Command, Finished
from tests.support.returning import Base

_SHOP = """
CREATE TABLE users (id bigint PRIMARY KEY, email text NOT NULL UNIQUE, name text, password_hash text, "API_Key" text);
CREATE TABLE profiles (id int PRIMARY KEY, user_id bigint REFERENCES users, bio text, reset_token text);
CREATE TABLE transactions (id int PRIMARY KEY, user_id bigint REFERENCES users, amount numeric, created_at timestamptz);
CREATE TABLE wallets (user_id bigint PRIMARY KEY REFERENCES users, balance numeric(20, 8));
CREATE VIEW rich AS SELECT * FROM wallets WHERE balance > 1000;
INSERT INTO users
SELECT n, 'u' || n || '@example.com', 'User ' || n, md5(n::text), 'k' || n FROM generate_series(1, 5) n;
INSERT INTO profiles SELECT n, 1 + n % 3, 'bio ' || n, 't' || n FROM generate_series(1, 7) n;
INSERT INTO transactions
SELECT n, 1 + n % 5, n + 0.5,
    '2026-01-01T00:00:00Z'::timestamptz + n * interval '1 minute' FROM generate_series(1, 40) n;
INSERT INTO wallets SELECT n, n * 1000.00000001 FROM generate_series(1, 5) n;
"""


@dataclass(frozen=True, slots=True)
class Shop:
    """A database, and pgproof run on it."""

    server: Server
    name: str
    run: Command

    def connect(self) -> Connection:
        return self.server.connect(self.name)

    def sql(self, statement: LiteralString) -> list[tuple[Any, ...]]:
        with self.connect() as connection:
            found = connection.execute(statement)
            return found.fetchall() if found.description else []

    def configured(self, rows: Mapping[str, object]) -> Shop:
        """With these settings of rows in a file."""
        file = self.run.home / "pgproof.yaml"
        file.write_text(json.dumps({"rows": rows}))
        return Shop(self.server, self.name, self.run.changed(PGPROOF_CONFIG=str(file)))

    def export(self, *tables: str, **rows: object) -> dict[str, Any]:
        """The document that `export` writes to stdout."""
        ended = (self.configured(rows) if rows else self).run("export", *(f"--table={each}" for each in tables))
        assert ended.code == 0, ended.stderr
        document: dict[str, Any] = json.loads(ended.stdout)
        assert document["success"] is True
        assert document["stats"] == {name: len(lines) for name, lines in document["data"].items()}
        return document

    def refused(self, **rows: object) -> Finished:
        """How `export` ends that cannot be carried out."""
        ended = self.configured(rows).run("export")
        assert ended.stdout == ""
        assert ended.code != 0
        return ended


def shop_on(server: Server, name: str, folder: Path) -> Shop:
    command = Command(
        home=folder, environ={"PGPROOF_DATABASE_URL": server.url(name), "PGPROOF_PG_BIN": str(server.bin_dir)}
    )
    return Shop(server, name, command)


@pytest.fixture
def empty(pg18: Server, new_database: NewDatabase, tmp_path: Path) -> Shop:
    return shop_on(pg18, new_database(pg18), tmp_path)


@pytest.fixture
def shop(empty: Shop) -> Shop:
    empty.sql(_SHOP)
    return empty


@pytest.fixture
def base(any_server: Server, new_database: NewDatabase) -> Base:
    name = new_database(any_server)
    return Base(any_server, name, any_server.url(name))
