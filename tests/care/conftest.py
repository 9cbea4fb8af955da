"""A small database with one backup in a store of the test's own, the command for both, and a way to backups of old.

A backup's key says when it was made. So one that is copied under an older id is an old backup, for all that reads it.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from backup.domain.ids import BackupId
from backup.ports import Store
from backup.stores.directory import DirectoryStore
from backup.stream.readers import BytesReader, read_exactly
from tests.failures.conftest import TARGET, database_environ
from tests.fixtures.postgres import NewDatabase, Server
from tests.support.command import Command, Finished, wait_until

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
ROWS = 3000
_MOST = 1 << 30
_SHOP = f"""
CREATE TABLE customers AS SELECT n AS id, 'customer ' || n AS name FROM generate_series(1, 10) n;
CREATE TABLE orders AS SELECT n AS id, sha512(int4send(n)) AS note FROM generate_series(1, {ROWS}) n;
"""
"""A large table for the guard, and a small one; half a second to back up."""
_LARGE = """
CREATE TABLE orders AS SELECT n AS id, encode(sha512(int4send(n)), 'hex') AS note FROM generate_series(1, 100000) n
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """A database, the command that backs it up, and the folder where the backups go if nothing else is said."""

    pgproof: Command
    server: Server
    database: str
    folder: Path

    def __call__(self, *arguments: str, **changes: str | None) -> Finished:
        """Run pgproof with --json."""
        ended = self.pgproof(*arguments, "--json", **changes)
        assert "Traceback" not in ended.stderr, ended
        assert ended.left == ()
        return ended

    def back_up(self, **changes: str | None) -> str:
        """Make a backup; its id."""
        made = self("backup", **changes)
        assert made.code == 0, made
        return str(made.result["id"])

    def prune(self, *arguments: str, **changes: str | None) -> dict[str, Any]:
        """Prune the only store; what is said of it."""
        ended = self("prune", *arguments, **changes)
        assert ended.code == 0, ended
        (pruning,) = ended.result["prunings"]
        found: dict[str, Any] = pruning
        return found

    def backups(self, **changes: str | None) -> list[dict[str, Any]]:
        """What `list` says of the only store, the newest first."""
        found: list[dict[str, Any]] = self("list", **changes).result["backups"]
        return found

    def ids(self, **changes: str | None) -> list[str]:
        """Of all that are listed, the newest first."""
        return [each["id"] for each in self.backups(**changes)]

    def run(self, script: str) -> None:
        """Carry out SQL statements in the database."""
        with self.server.connect(self.database) as connection:
            connection.execute(script.encode())

    @property
    def store(self) -> DirectoryStore:
        return DirectoryStore(self.folder)

    def of(self, backup: str) -> Path:
        """The folder of a backup."""
        return self.folder / TARGET / backup

    def with_file(self, document: Mapping[str, object]) -> Shop:
        """The same with a file of settings instead of PGPROOF_STORE."""
        path = self.pgproof.home / "pgproof.yaml"
        path.write_text(json.dumps(document))  # JSON is YAML
        return replace(self, pgproof=self.pgproof.changed(PGPROOF_CONFIG=str(path), PGPROOF_STORE=None))


@pytest.fixture(scope="session")
def made_once(pg18: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The database and a store with one backup of it, which nobody may change."""
    name = f"care_{secrets.token_hex(4)}"
    with pg18.connect() as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    made = shop_of(pg18, name, tmp_path_factory.mktemp("care"))
    made.run(_SHOP)
    first = made.back_up()
    wait_until(lambda: now() >= moment_of(first) + timedelta(seconds=1))  # so that what runs now is newer
    yield made
    with pg18.connect() as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def shop(made_once: Shop, tmp_path: Path) -> Shop:
    """The database that nobody may change, with a copy of the store that has one backup."""
    shutil.copytree(made_once.folder, tmp_path / "store")
    return shop_of(made_once.server, made_once.database, tmp_path)


@pytest.fixture
def own(pg18: Server, new_database: NewDatabase, tmp_path: Path) -> Shop:
    """Such a database of the test's own, and an empty store."""
    made = shop_of(pg18, new_database(pg18), tmp_path)
    made.run(_SHOP)
    return made


@pytest.fixture(scope="session")
def large_once(pg18: Server) -> Iterator[str]:
    """The name of a database whose dump has 14 MB: long enough to lose a store on the way."""
    name = f"large_{secrets.token_hex(4)}"
    with pg18.connect() as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    with pg18.connect(name) as connection:
        connection.execute(_LARGE)
    yield name
    with pg18.connect() as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def large(pg18: Server, large_once: str, tmp_path: Path) -> Shop:
    """That database, which nobody may change, and an empty store."""
    return shop_of(pg18, large_once, tmp_path, PGPROOF_COMPRESSION="none", PGPROOF_PROOF="off")


def shop_of(server: Server, database: str, home: Path, **settings: str) -> Shop:
    """A database with a store in `home`, and the command for both, with more settings."""
    (home / "home").mkdir(exist_ok=True)
    folder = home / "store"
    environ = {
        **database_environ(server, server.url(database)),
        "PGPROOF_STORE": str(folder),
        "PGPROOF_GLOBALS": "off",  # takes a while, and matters to nothing here
        **settings,
    }
    return Shop(pgproof=Command(home=home / "home", environ=environ), server=server, database=database, folder=folder)


def now() -> datetime:
    return datetime.now(UTC)


def moment_of(backup: str) -> datetime:
    """When a backup was made, by its id."""
    parsed = BackupId.parse(backup)
    assert parsed, backup
    return parsed.started


def plant(store: Store, backup: str, *ages: timedelta, to: Store | None = None, target: str = TARGET) -> list[str]:
    """Copy a backup under the ids of such that were made so long before now; these ids."""
    objects = {stored.key.partition(backup)[2]: stored.key for stored in store.list(f"{TARGET}/{backup}/")}
    assert objects, backup
    made = []
    for age in ages:
        planted = str(BackupId.at(now() - age))
        for name, key in objects.items():
            (to or store).put(f"{target}/{planted}{name}", BytesReader(content_of(store, key)))
        made.append(planted)
    return made


def content_of(store: Store, key: str) -> bytes:
    """An object as a whole."""
    with store.open(key) as reader:
        return read_exactly(reader, _MOST)


def all_of(store: Store, prefix: str = "") -> dict[str, bytes]:
    """Every object of a store."""
    return {stored.key: content_of(store, stored.key) for stored in list(store.list(prefix))}


def keys_of(store: Store, prefix: str = "") -> list[str]:
    """The keys of a store."""
    return [stored.key for stored in store.list(prefix)]


def make_old(folder: Path, age: timedelta) -> None:
    """Let all files in a folder (or a file alone) be written so long ago."""
    moment = (now() - age).timestamp()
    for path in [folder, *folder.rglob("*")]:
        os.utime(path, (moment, moment))


def reasons(pruning: Mapping[str, Any], *, keep: bool = True) -> dict[str, str]:
    """Why runs are kept (or go), by their ids."""
    return {each["id"]: each["reason"] for each in pruning["runs"] if each["keep"] is keep}
