"""A small database with a backup, the command that drills it, and a folder for its throwaway server."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.fixtures.postgres import NewDatabase, Server
from tests.support.command import Command, Finished

TARGET = "shop"
_SHOP = """
CREATE TABLE customers (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text);
INSERT INTO customers (name) SELECT 'customer ' || n FROM generate_series(1, 100) AS n;
CREATE TABLE orders (id serial PRIMARY KEY, customer int REFERENCES customers, note text);
INSERT INTO orders (customer, note) SELECT 1 + n % 100, 'order ' || n FROM generate_series(1, 1000) AS n;
CREATE INDEX ON orders (customer);
CREATE VIEW regulars AS SELECT customer, count(*) AS orders FROM orders GROUP BY customer;
SELECT lo_from_bytea(4711, 'a large object');
"""
TABLES, ROWS = 2, 1100


@dataclass(frozen=True, slots=True, kw_only=True)
class Drilling:
    """A store with backups, the command set up for it, and where its throwaway servers live."""

    pgproof: Command
    server: Server
    database: str
    store: Path
    folder: Path

    def __call__(self, *arguments: str, **changes: str | None) -> Finished:
        """Run pgproof with --json."""
        return self.pgproof(*arguments, "--json", **changes)

    def back_up(self, **changes: str | None) -> str:
        """Make a backup; its id."""
        made = self("backup", **changes)
        assert made.code == 0, made
        return str(made.result["id"])

    def drilled(self, *arguments: str, backup: str = "latest", **changes: str | None) -> Finished:
        """Drill a backup. Whatever comes of it, no process and no file of the server is left."""
        ended = self("drill", backup, *arguments, **changes)
        assert "Traceback" not in ended.stderr, ended
        self.assert_nothing_left(ended)
        return ended

    def assert_nothing_left(self, ended: Finished) -> None:
        """No process and no file of a drill is there any more."""
        assert ended.left == ()
        assert servers_in(self.folder) == []
        assert list(self.folder.iterdir()) == []
        assert list((self.pgproof.home / "tmp").iterdir()) == []

    def run(self, script: str) -> None:
        """Carry out SQL statements in the database."""
        with self.server.connect(self.database) as connection:
            connection.execute(script.encode())

    def last_result(self) -> dict[str, Any]:
        """The result of the newest drill of the newest backup, as `show` has it."""
        shown: dict[str, Any] = self("show", "latest").result
        drills: list[dict[str, Any]] = shown["drills"]
        return drills[-1]

    def stored_drills(self) -> list[Path]:
        """The objects of all drills."""
        return sorted(self.store.glob("*/*/drills/*"))

    def part(self, role: str) -> Path:
        """The first object of a part of the only backup."""
        (found,) = self.store.glob(f"*/*/{role}.*.000")
        return found


@pytest.fixture(scope="session")
def shop(pg18: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drilling]:
    """A database that nobody may change, with one backup in a store that nobody may change."""
    name = f"shop_{secrets.token_hex(4)}"
    home = tmp_path_factory.mktemp("shop")
    with pg18.connect() as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    with pg18.connect(name) as connection:
        connection.execute(_SHOP)
    made = drilling_of(pg18, name, home)
    made.back_up()
    yield made
    with pg18.connect() as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short enough for a socket, and open to whom root runs a server as."""
    path = Path(tempfile.mkdtemp(prefix="drill-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def drilling(shop: Drilling, tmp_path: Path, folder: Path) -> Drilling:
    """The shop, with a copy of its store."""
    shutil.copytree(shop.store, tmp_path / "store")
    return drilling_of(shop.server, shop.database, tmp_path, folder)


@pytest.fixture
def own(pg18: Server, new_database: NewDatabase, tmp_path: Path, folder: Path) -> Drilling:
    """An empty database of the test's own, and an empty store."""
    return drilling_of(pg18, new_database(pg18), tmp_path, folder)


def drilling_of(server: Server, database: str, home: Path, folder: Path | None = None) -> Drilling:
    """A store in `home` for backups of a database."""
    store = home / "store"
    store.mkdir(exist_ok=True)
    (home / "home").mkdir(exist_ok=True)
    environ = {
        "PGPROOF_DATABASE_URL": server.url(database),
        "PGPROOF_PG_BIN": str(server.bin_dir),
        "PGPROOF_TARGET": TARGET,
        "PGPROOF_STORE": str(store),
        "PGPROOF_DRILL_FOLDER": str(folder or "/tmp"),
    }
    pgproof = Command(home=home / "home", environ=environ)
    return Drilling(pgproof=pgproof, server=server, database=database, store=store, folder=folder or Path("/tmp"))


def servers_in(folder: Path) -> list[psutil.Process]:
    """Processes of servers that live in a folder, by their command lines; of the test's environment they inherit none.

    The first process of a server, and others for the moment before they have a title.
    """
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        if len(words) > 2 and words[1] == "-D" and words[2].startswith(f"{folder}/"):
            found.append(process)
    return found
