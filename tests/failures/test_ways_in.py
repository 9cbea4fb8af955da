"""Addresses of every kind that libpq understands, and what keeps a command from starting at all."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest

from backup.errors import ConfigurationError, EncryptionMissing
from tests.failures.conftest import DirectoryPlace, Shop, check_failure, database_environ
from tests.fixtures.postgres import NewDatabase, Server
from tests.support.command import Command


@pytest.fixture
def tls_shop(system_tls: Server, new_database: NewDatabase) -> Shop:
    found = Shop(server=system_tls, database=new_database(system_tls))
    with found.server.connect(found.database) as connection:
        connection.execute("CREATE TABLE orders AS SELECT generate_series(1, 1000) AS id")
    return found


@pytest.mark.parametrize("mode", ["require", "verify-full"])
def test_an_encrypted_line_that_is_asked_for_is_used_by_all_and_doctor_says_so(
    pgproof: Command, tls_shop: Shop, tmp_path: Path, mode: str
) -> None:
    certificate = tls_shop.server.certificate
    assert certificate is not None
    authority = tmp_path / "authority.pem"
    authority.write_bytes(certificate.authority)
    options = f"?sslmode={mode}" + (f"&sslrootcert={authority}" if mode == "verify-full" else "")
    environ = database_environ(tls_shop.server, tls_shop.url + options)
    checks = pgproof("doctor", "--json", **environ).result["checks"]
    (encryption,) = (check for check in checks if check["name"] == "encryption")
    assert encryption["verdict"] == "ok"
    assert "TLSv1" in encryption["message"]
    assert ("host name checked" in encryption["message"]) == (mode == "verify-full")
    made = pgproof("backup", "--json", **environ)
    assert made.code == 0, made
    restored = pgproof("restore", "latest", "--json", **environ)
    assert restored.code == 0, restored
    with tls_shop.server.connect(restored.result["database"]) as connection:
        assert connection.execute("SELECT count(*) FROM orders").fetchone() == (1000,)


def test_a_certificate_of_a_stranger_is_4_with_a_hint(pgproof: Command, tls_shop: Shop, tmp_path: Path) -> None:
    empty = tmp_path / "authority.pem"
    certificate = tls_shop.server.certificate
    assert certificate is not None
    empty.write_bytes(certificate.chain)
    url = f"{tls_shop.url}?sslmode=verify-full&sslrootcert={empty}"
    ended = pgproof("backup", "--json", **database_environ(tls_shop.server, url))
    check_failure(ended, EncryptionMissing, says="no encrypted line", hint="sslrootcert", retryable=False)


def test_an_encrypted_line_to_a_server_that_has_none_is_4_with_a_hint(
    pgproof: Command, folder: DirectoryPlace, shop: Shop
) -> None:
    ended = pgproof("backup", "--json", PGPROOF_DATABASE_URL=f"{shop.url}?sslmode=require")
    check_failure(ended, EncryptionMissing, says="no encrypted line", hint="sslmode", retryable=False)
    assert folder.left() == []


def test_a_unix_socket_is_an_address(pgproof: Command, shop: Shop) -> None:
    ended = pgproof("backup", "--json", PGPROOF_DATABASE_URL=shop.server.socket_url(shop.database))
    assert ended.code == 0, ended


def test_a_service_of_libpq_is_an_address(pgproof: Command, shop: Shop, tmp_path: Path) -> None:
    services = tmp_path / "services"
    server = shop.server
    services.write_text(
        f"[mine]\nhost={server.host}\nport={server.port}\nuser={server.superuser}\ndbname={shop.database}\n"
    )
    ended = pgproof(
        "backup",
        "--json",
        PGPROOF_DATABASE_URL="service=mine",
        PGSERVICEFILE=str(services),
        PGPASSWORD=server.password,
    )
    assert ended.code == 0, ended
    assert ended.result["database"]["name"] == shop.database


def test_variables_of_libpq_alone_are_an_address(pgproof: Command, shop: Shop) -> None:
    server = shop.server
    ended = pgproof(
        "backup",
        "--json",
        PGPROOF_DATABASE_URL=None,
        PGPROOF_TARGET=None,
        PGHOST=server.host,
        PGPORT=str(server.port),
        PGUSER=server.superuser,
        PGPASSWORD=server.password,
        PGDATABASE=shop.database,
    )
    assert ended.code == 0, ended
    assert ended.result["target"] == shop.database


def test_of_several_hosts_the_first_that_answers_is_used_by_all(pgproof: Command, shop: Shop) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        dead = probe.getsockname()[1]
        server = shop.server
        both = f"{server.host}:{dead},{server.host}:{server.port}"
        url = shop.url.replace(f"{server.host}:{server.port}", both)
        ended = pgproof("backup", "--json", PGPROOF_DATABASE_URL=url)
    assert ended.code == 0, ended


def test_without_a_store_it_is_3(pgproof: Command) -> None:
    ended = pgproof("backup", "--json", PGPROOF_STORE=None)
    check_failure(ended, ConfigurationError, says="no store is set", hint="PGPROOF_STORE", retryable=False)


def test_without_a_database_it_is_3(pgproof: Command) -> None:
    ended = pgproof("backup", "--json", PGPROOF_DATABASE_URL=None)
    check_failure(ended, ConfigurationError, says="no database is set", hint="PGPROOF_DATABASE_URL", retryable=False)


def test_all_problems_of_the_settings_are_told_at_once(pgproof: Command) -> None:
    ended = pgproof(
        "backup", "--json", PGPROOF_ZSTD_LEVEL="99", PGPROOF_VOLUME_SIZE="a lot", PGPROOF_LOCK_WAIT_TIMEOUT="-1"
    )
    assert ended.code == 3, ended
    for name in ("PGPROOF_ZSTD_LEVEL", "PGPROOF_VOLUME_SIZE", "PGPROOF_LOCK_WAIT_TIMEOUT"):
        assert name in ended.stderr


def test_a_reader_that_closes_our_stdout_ends_the_command_quietly(pgproof: Command, tmp_path: Path) -> None:
    assert pgproof("backup").code == 0
    for words in (("list",), ("list", "--json"), ("config", "--reference")):
        piped = pgproof.behind("sh", "-c", '{ "$@"; echo $? > status; } | true', "sh")
        ended = piped(*words)
        assert "Traceback" not in ended.stderr, ended
        assert "rror" not in ended.stderr, ended
        assert (pgproof.home / "status").read_text().strip() in {"0", "141"}
    del tmp_path


def test_a_folder_of_the_path_that_is_no_folder_or_empty_is_passed_over(pgproof: Command, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (pgproof.home / "pg_dump").mkdir()
    path = f"{tmp_path}/file:{tmp_path}/missing::{pgproof.home}:/usr/bin:/bin"
    assert pgproof("backup", PATH=path).code == 0


def test_without_a_terminal_and_without_a_home_everything_works(pgproof: Command) -> None:
    ended = pgproof("backup", HOME="/nonexistent", TERM="dumb")
    assert ended.code == 0, ended
    assert "\x1b" not in ended.stdout + ended.stderr


def test_the_installed_command_is_the_same(pgproof: Command, shop: Shop) -> None:
    script = Path(__file__).parents[2] / ".venv" / "bin" / "pgproof"
    if not script.exists():
        pytest.skip("it is not installed in .venv")
    environ = {**pgproof.environ, "PATH": "/usr/bin:/bin"}
    ended = subprocess.run([script, "backup", "--json"], env=environ, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended
    assert shop.sessions() == []
