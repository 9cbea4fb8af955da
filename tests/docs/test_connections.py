"""docs/connections.md: its examples of addresses can be read, and its role for backups is enough, but no more."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from backup.postgres.address import Address
from tests.docs.pages import DOCS, blocks, run_bash
from tests.fixtures.postgres import Server, running

PAGE = DOCS / "connections.md"
ROLE = "A role for backups"
PASSWORD = "choose-one"


@pytest.fixture
def server(pg18: Server) -> Iterator[Server]:
    """A server of its own, with the database of the page's examples and a policy in it."""
    with running(pg18.bin_dir) as own:
        with own.connect() as connection:
            connection.execute("CREATE DATABASE shop")
        with own.connect("shop") as connection:
            connection.execute("CREATE SCHEMA sales CREATE TABLE orders (id int GENERATED ALWAYS AS IDENTITY)")
            connection.execute("ALTER TABLE sales.orders ENABLE ROW LEVEL SECURITY")
        yield own


def doctor(server: Server, folder: Path) -> int:
    """The exit status of doctor as the page's role."""
    address = server.url("shop", user="backup", password=PASSWORD)
    done = run_bash("pgproof doctor", folder, server, PGPROOF_DATABASE_URL=address, PGPROOF_PG_BIN=str(server.bin_dir))
    return done.returncode


def test_the_addresses_can_be_read() -> None:
    lines = re.findall(r"^(?:postgresql://|host=|service=).*$", PAGE.read_text(), re.MULTILINE)
    assert len(lines) == 4
    assert all(Address.parse(line).keywords for line in lines)


def test_the_role_can_back_up_everything_and_write_nothing(server: Server, tmp_path: Path) -> None:
    *grants, bypass = blocks(PAGE, "sql")[ROLE].splitlines()
    assert "BYPASSRLS" in bypass
    with server.connect("shop") as connection:
        for statement in grants:
            connection.execute(statement.encode())
        assert doctor(server, tmp_path) == 14
        connection.execute(bypass.encode())
    assert doctor(server, tmp_path) == 0
    with (
        psycopg.connect(server.url("shop", user="backup", password=PASSWORD)) as ours,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        ours.execute("INSERT INTO sales.orders DEFAULT VALUES")
