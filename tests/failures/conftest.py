"""A database, stores and the command, for tests that break something for real and look at what is left."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from backup.demo.s3_server import S3Server
from backup.domain.marks import FAILED, Mark
from backup.errors import PgproofError
from tests.failures.holding import Gate
from tests.fixtures.postgres import Server
from tests.fixtures.s3 import s3_store, unfinished_uploads
from tests.support.command import Command, Finished

TARGET = "shop"
ROWS = 150_000
_SHOP = f"""
CREATE TABLE customers (id int PRIMARY KEY, name text);
INSERT INTO customers SELECT n, 'customer ' || n FROM generate_series(1, 1000) n;
CREATE TABLE orders (id int PRIMARY KEY, note text);
INSERT INTO orders
SELECT n, encode(sha512(int4send(n)), 'base64') || encode(sha512(int4send(-n)), 'base64')
FROM generate_series(1, {ROWS}) n;
"""
"""28 MB of rows that hardly compress: long enough to break something on the way."""


class Place(Protocol):
    """A store as a test sees it."""

    @property
    def environ(self) -> Mapping[str, str]:
        """The settings of pgproof for it."""

    def left(self) -> list[str]:
        """Everything in it but notes of failed runs: objects, files in the making, unfinished uploads."""

    def path(self, key: str) -> Path | None:
        """The file of an object, where it is one."""


@dataclass(frozen=True, slots=True)
class DirectoryPlace:
    """A folder; also what is hidden in it counts."""

    folder: Path

    @property
    def environ(self) -> Mapping[str, str]:
        return {"PGPROOF_STORE": str(self.folder)}

    def left(self) -> list[str]:
        noted = {place for note in self.folder.rglob(FAILED) for place in (note, *note.parents)}
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path not in noted)

    def notes(self) -> list[Mark]:
        """What failed runs have said of themselves."""
        return [Mark.from_json(note.read_bytes(), where=str(note)) for note in sorted(self.folder.rglob(FAILED))]

    def path(self, key: str) -> Path | None:
        return self.folder / key


@dataclass(frozen=True, slots=True)
class BucketPlace:
    """A bucket, reached directly or through a proxy."""

    server: S3Server
    bucket: str
    port: int

    @property
    def environ(self) -> Mapping[str, str]:
        return s3_environ(self.server, self.bucket, port=self.port)

    def left(self) -> list[str]:
        store = s3_store(self.server, self.bucket)
        keys = [found.key for found in store.list("") if not found.key.endswith(f"/{FAILED}")]
        return [*keys, *unfinished_uploads(store)]

    def path(self, key: str) -> Path | None:
        del key
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """A database on a server that is backed up."""

    server: Server
    database: str

    @property
    def url(self) -> str:
        return self.server.url(self.database)

    def sessions(self) -> list[str]:
        """Names of the programs of ours that are connected to the server."""
        with self.server.connect() as connection:
            rows = connection.execute(
                "SELECT application_name FROM pg_stat_activity WHERE application_name IN"
                " ('pgproof', 'pg_dump', 'pg_restore', 'pg_dumpall') AND backend_type = 'client backend'"
            )
            return [name for (name,) in rows]

    def end_sessions(self, program: str) -> None:
        """As an administrator, or a server that shuts down, does."""
        with self.server.connect() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s AND datname = %s",
                [program, self.database],
            )

    def databases(self) -> list[str]:
        """Databases of the server that come from this one."""
        return [name for name in self.server.databases() if name.startswith(self.database)]


@pytest.fixture(scope="session")
def shop(pg18: Server) -> Iterator[Shop]:
    """Nobody may change it."""
    name = f"shop_{secrets.token_hex(4)}"
    with pg18.connect() as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    with pg18.connect(name) as connection:
        connection.execute(_SHOP)
    yield Shop(server=pg18, database=name)
    with pg18.connect() as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def folder(tmp_path: Path) -> DirectoryPlace:
    path = tmp_path / "store"
    path.mkdir()
    return DirectoryPlace(path)


@pytest.fixture(params=["directory", "s3"])
def place(request: pytest.FixtureRequest) -> Place:
    """Every kind of store."""
    if request.param == "directory":
        found: Place = request.getfixturevalue("folder")
        return found
    server: S3Server = request.getfixturevalue("s3_server")
    return BucketPlace(server, request.getfixturevalue("bucket"), server.port)


@pytest.fixture
def pgproof(tmp_path: Path, shop: Shop, folder: DirectoryPlace) -> Command:
    """The command, set up to back up the shop into a folder."""
    home = tmp_path / "home"
    home.mkdir()
    return Command(home=home, environ={**database_environ(shop.server, shop.url), **folder.environ})


@pytest.fixture
def gate(tmp_path: Path, shop: Shop) -> Gate:
    """Programs whose pg_dump waits for the test."""
    return Gate(tmp_path / "gate", shop.server.bin_dir)


def database_environ(server: Server, url: str) -> dict[str, str]:
    """Settings for a database and the programs of its server."""
    return {"PGPROOF_DATABASE_URL": url, "PGPROOF_PG_BIN": str(server.bin_dir), "PGPROOF_TARGET": TARGET}


def s3_environ(server: S3Server, bucket: str, *, port: int | None = None) -> dict[str, str]:
    """Settings for a bucket; `port` of a proxy before its server."""
    return {
        "PGPROOF_STORE": f"s3://{bucket}",
        "PGPROOF_S3_ENDPOINT": f"http://127.0.0.1:{port or server.port}",
        "PGPROOF_S3_REGION": "us-east-1",
        "PGPROOF_S3_ACCESS_KEY": server.access_key,
        "PGPROOF_S3_SECRET_KEY": server.secret_key.get_secret_value(),
        "PGPROOF_S3_PART_SIZE": "5MiB",
    }


def check_failure(ended: Finished, kind: type[PgproofError], *, says: str, hint: str, retryable: bool) -> None:
    """A command with --json failed as `kind`: status, one clear line with an advice, the same as JSON, no trace.

    Args:
        says: what the line must hold, beside its form: lower case, no full stop.
        hint: what the advice must hold.
        retryable: whether a job may try it again.
    """
    __tracebackhide__ = True
    told = f"\n{ended.stdout}\n{ended.stderr}"
    assert ended.code == kind.exit_code, told
    error = ended.error
    assert error["exit_code"] == ended.code, told
    assert error["code"] == kind("").code, told
    assert error["retryable"] is retryable, told
    assert ended.complaint == error["message"], told
    assert says in ended.complaint, told
    assert not ended.complaint.endswith("."), told
    assert hint in (error["hint"] or ""), told
    assert not hint or hint.splitlines()[0] in ended.hint, told
    assert "Traceback" not in ended.stderr, told
    assert ended.left == (), told
