"""Passwords: however they come in, they never come out, neither by a command line nor by a word of ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
from psycopg import sql

from backup.demo.s3_server import S3Server
from tests.failures.conftest import BucketPlace, DirectoryPlace, Shop, database_environ, s3_environ
from tests.fixtures.postgres import NewDatabase, NewRole, Role
from tests.support.command import Command, Finished

_PASSWORD = """p'w "%41 @/:?#&=\\ ü$x"""
"""Everything that needs quoting somewhere: in a URL, in keywords, in a passfile, in a shell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A role with that password, and a database of its own."""

    shop: Shop
    role: Role

    def url(self, *, password: bool) -> str:
        server = self.shop.server
        secret = f":{quote(_PASSWORD, safe='')}" if password else ""
        return f"postgresql://{self.role.name}{secret}@{server.host}:{server.port}/{self.shop.database}"


@pytest.fixture
def account(shop: Shop, new_database: NewDatabase, new_role: NewRole) -> Account:
    server = shop.server
    role = new_role(server, options="SUPERUSER")
    found = Account(shop=Shop(server=server, database=new_database(server)), role=role)
    with server.connect(found.shop.database) as connection:
        statement = sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role.name), sql.Literal(_PASSWORD))
        connection.execute(statement)
        connection.execute("CREATE TABLE orders AS SELECT generate_series(1, 1000) AS id")
    return found


@pytest.fixture
def noted(tmp_path: Path, shop: Shop) -> Path:
    """Programs that note their command lines in `argv` of this folder before they do their work."""
    folder = tmp_path / "noted"
    folder.mkdir()
    for name in ("pg_dump", "pg_dumpall", "pg_restore"):
        script = folder / name
        note = f"printf '%s\\n' \"$0 $*\" >> '{folder}/argv'"
        script.write_text(f'#!/bin/sh\n{note}\nexec "{shop.server.bin_dir}/{name}" "$@"\n')
        script.chmod(0o755)
    return folder


@pytest.fixture(params=["url", "keywords", "url file", "PGPASSWORD", "passfile", "service file"])
def environ(request: pytest.FixtureRequest, account: Account, tmp_path: Path) -> dict[str, str | None]:
    """Every way to tell the password."""
    server, database, user = account.shop.server, account.shop.database, account.role.name
    common: dict[str, str | None] = {
        **database_environ(server, account.url(password=False)),
        "PGPROOF_LOG_FORMAT": "json",
    }
    secret_file = tmp_path / "secret"
    match request.param:
        case "url":
            return {**common, "PGPROOF_DATABASE_URL": account.url(password=True)}
        case "keywords":
            return {**common, "PGPROOF_DATABASE_URL": server.conninfo(database, user=user, password=_PASSWORD)}
        case "url file":
            secret_file.write_text(account.url(password=True))
            return {**common, "PGPROOF_DATABASE_URL": None, "PGPROOF_DATABASE_URL_FILE": str(secret_file)}
        case "PGPASSWORD":
            return {**common, "PGPASSWORD": _PASSWORD}
        case "passfile":
            escaped = _PASSWORD.replace("\\", "\\\\").replace(":", "\\:")
            secret_file.write_text(f"*:*:*:{user}:{escaped}\n")
            secret_file.chmod(0o600)
            return {**common, "PGPASSFILE": str(secret_file)}
        case _:
            lines = {"host": server.host, "port": server.port, "user": user, "dbname": database, "password": _PASSWORD}
            secret_file.write_text("[shop]\n" + "".join(f"{name}={value}\n" for name, value in lines.items()))
            service = {"PGSERVICEFILE": str(secret_file), "PGSERVICE": "shop"}
            return {**common, "PGPROOF_DATABASE_URL": None, **service}


def test_a_password_is_in_no_command_line_no_event_no_manifest_and_no_setting_shown(
    pgproof: Command, folder: DirectoryPlace, account: Account, noted: Path, environ: dict[str, str | None]
) -> None:
    environ = {**environ, "PGPROOF_PG_BIN": str(noted)}
    runs = [
        pgproof("backup", "-v", "--json", **environ),
        pgproof("restore", "latest", "-v", "--json", **environ),
        pgproof("doctor", "-v", **environ),
        pgproof("config", **environ),
    ]
    assert [run.code for run in runs] == [0] * len(runs), runs
    programs = (noted / "argv").read_text()
    assert all(f"/{name} " in programs for name in ("pg_dump", "pg_dumpall", "pg_restore"))
    manifests = [path.read_text() for path in folder.folder.rglob("manifest.json")]
    assert len(manifests) == 1
    for text in (programs, *manifests, *_words(runs)):
        _expect_no_secret(text)
    assert len(account.shop.databases()) == 2


@pytest.mark.parametrize("why", ["wrong", "unreadable", "down"])
def test_a_password_is_in_no_failure(pgproof: Command, account: Account, why: str) -> None:
    url = {
        "wrong": account.url(password=True).replace(account.role.name, "nobody-of-that-name"),
        "unreadable": account.url(password=True) + "?no_such_option=1",
        "down": account.url(password=True).replace(f":{account.shop.server.port}/", ":1/"),
    }[why]
    ended = pgproof("backup", "-v", "--json", PGPROOF_DATABASE_URL=url)
    assert ended.code == {"wrong": 14, "unreadable": 3, "down": 4}[why], ended
    for text in _words([ended]):
        _expect_no_secret(text)


def test_the_keys_of_a_bucket_are_in_no_event_and_no_setting_shown(
    pgproof: Command, s3_server: S3Server, bucket: str, noted: Path
) -> None:
    place = BucketPlace(s3_server, bucket, s3_server.port)
    environ = {**s3_environ(s3_server, bucket), "PGPROOF_PG_BIN": str(noted)}
    runs = [pgproof(*words, "-v", **environ) for words in (["backup"], ["verify", "latest"], ["config"])]
    assert [run.code for run in runs] == [0] * len(runs), runs
    secret = s3_server.secret_key.get_secret_value()
    assert not any(secret in text for text in (*_words(runs), (noted / "argv").read_text()))
    assert place.left() != []


def test_a_password_that_libpq_takes_from_nowhere_but_the_address_is_refused_and_not_shown(
    pgproof: Command, account: Account
) -> None:
    ended = pgproof("backup", "--json", PGPROOF_DATABASE_URL=account.url(password=True) + "?sslpassword=key-secret")
    assert ended.code == 3, ended
    assert "service file" in ended.error["hint"]
    assert "key-secret" not in ended.stdout + ended.stderr


def _words(runs: list[Finished]) -> Iterator[str]:
    for run in runs:
        yield run.stdout
        yield run.stderr
        for line in run.stderr.splitlines():
            if line.startswith("{"):
                yield from map(str, json.loads(line).values())


def _expect_no_secret(text: str) -> None:
    forms = {
        _PASSWORD,
        quote(_PASSWORD, safe=""),
        json.dumps(_PASSWORD)[1:-1],
        json.dumps(_PASSWORD, ensure_ascii=False)[1:-1],
        _PASSWORD.replace("\\", "\\\\").replace("'", "\\'"),
        repr(_PASSWORD)[1:-1],
    }
    assert not [form for form in forms if form in text], text
    assert "%41" not in text, text  # nor a piece of it
    assert "%2541" not in text, text
