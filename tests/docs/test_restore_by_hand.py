"""The lines of docs/restore-by-hand.md, run as they stand: what they restore is the database that was backed up.

Owns which sections are run together. Only the values of step 1 are exchanged for those of the test.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from backup.demo.s3_server import S3Server
from tests.docs.generate import DOCS
from tests.fixtures.postgres import NewDatabase, Server, running
from tests.support.compare import difference, facts
from tests.support.services import missing
from tests.support.sink import ORDINARY, load_sink

PAGE = DOCS / "restore-by-hand.md"
VALUES = "1. Say what you want"
FROM_DIRECTORY = "From a directory"
FROM_BUCKET = "From a bucket"
CHECK = "3. Check it"
ROLES = "4. Bring back the roles"
OLD_NAME = "Under its old name"
NEW_NAME = "Under a new name"
LOOK = "6. Before you let anybody in"
AFTER_FETCHING = (CHECK, ROLES, OLD_NAME, NEW_NAME, LOOK)

TARGET = "shop"
NEW = "shop_by_hand"


def blocks() -> dict[str, str]:
    """The shell lines of the page by the heading that they stand under."""
    found: dict[str, str] = {}
    for section in re.split(r"^#{2,3} ", PAGE.read_text(), flags=re.MULTILINE)[1:]:
        heading, _, text = section.partition("\n")
        lines = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        if lines:
            assert len(lines) == 1, f"{heading} has several blocks"
            found[heading] = lines[0]
    return found


def with_values(block: str, values: dict[str, str]) -> str:
    """The block of step 1 with the test's values; the page asks for exactly these, and $ENDPOINT for a bucket."""
    assert set(re.findall(r"^(\w+)=", block, re.MULTILINE)) == values.keys() - {"ENDPOINT"}
    for name, value in values.items():
        block = re.sub(rf"^{name}=.*$", f"{name}={value}", block, flags=re.MULTILINE)
    return block + "".join(f"{name}={value}\n" for name, value in values.items() if name == "ENDPOINT")


@pytest.fixture
def source(pg18: Server, new_database: NewDatabase) -> str:
    """A database with every kind of object, and rows enough for several volumes."""
    name = new_database(pg18)
    with pg18.connect(name) as connection:
        load_sink(connection, ORDINARY)
        connection.execute("CREATE TABLE public.day AS SELECT md5(i::text) FROM generate_series(1, 20000) i")
    return name


@pytest.fixture
def bucket_variables(s3_server: S3Server, bucket: str) -> dict[str, str]:
    """An empty bucket, as Amazon's own tools and pgproof both find it."""
    return {
        "STORE": f"s3://{bucket}/prod",
        "AWS_ENDPOINT_URL": s3_server.endpoint,
        "AWS_ACCESS_KEY_ID": s3_server.access_key,
        "AWS_SECRET_ACCESS_KEY": s3_server.secret_key.get_secret_value(),
        "AWS_REGION": "us-east-1",
    }


@pytest.fixture
def empty_server(pg18: Server) -> Iterator[Server]:
    """A server that has nothing: where one restores after a loss."""
    with running(pg18.bin_dir) as server:
        yield server


def require(program: str) -> None:
    """A program that answers; a shim that leads nowhere is none."""
    found = shutil.which(program)
    if not found or subprocess.run([found, "--version"], capture_output=True, check=False).returncode:
        missing(f"there is no {program}")


def back_up(server: Server, database: str, store: str, **settings: str) -> str:
    """A backup made by the command, split into volumes; its id."""
    environ = os.environ | settings
    environ |= {"PGPROOF_DATABASE_URL": server.url(database), "PGPROOF_STORE": store, "PGPROOF_TARGET": TARGET}
    environ |= {"PGPROOF_VOLUME_SIZE": "64KiB", "PGPROOF_PG_BIN": str(server.bin_dir)}
    done = subprocess.run(
        [sys.executable, "-m", "backup", "backup"], env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[0]


def run_lines(
    folder: Path, server: Server, *headings: str, values: dict[str, str], **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run the blocks as one bash script; a command that fails ends it."""
    found = blocks()
    script = with_values(found[VALUES], values) + "".join(found[heading] for heading in headings)
    environ |= {
        "PATH": f"{server.bin_dir}:{os.environ['PATH']}",
        "HOME": str(folder),
        "PGHOST": server.host,
        "PGPORT": str(server.port),
        "PGUSER": server.superuser,
        "PGPASSWORD": server.password,
    }
    return subprocess.run(
        ["bash", "-eu", "-c", script], cwd=folder, env=environ, capture_output=True, text=True, check=False
    )


def assert_is_restored(source: Server, name: str, destination: Server) -> None:
    with source.connect(name) as connection:
        wanted = facts(connection)
    for restored in (name, NEW):
        with destination.connect(restored) as connection:
            found = facts(connection)
        assert difference(wanted, found, ignore=() if restored == name else ("database",)) == []


def test_every_shell_line_of_the_page_is_run_by_a_test() -> None:
    assert set(blocks()) == {VALUES, FROM_DIRECTORY, FROM_BUCKET, *AFTER_FETCHING}


def test_the_lines_restore_a_backup_from_a_directory(
    pg18: Server, source: str, empty_server: Server, tmp_path: Path
) -> None:
    require("zstd")
    store = tmp_path / "store"
    values = {"STORE": str(store), "TARGET": TARGET, "ID": back_up(pg18, source, str(store)), "NEW": NEW}

    done = run_lines(tmp_path, empty_server, FROM_DIRECTORY, *AFTER_FETCHING, values=values)

    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "backup").glob("dump.pgc.zst.*"))) > 2
    assert_is_restored(pg18, source, empty_server)


def test_the_lines_restore_a_backup_from_a_bucket(
    pg18: Server, source: str, empty_server: Server, bucket_variables: dict[str, str], tmp_path: Path
) -> None:
    require("zstd")
    require("aws")
    store = bucket_variables.pop("STORE")
    backup = back_up(pg18, source, store, **bucket_variables)
    endpoint = bucket_variables.pop("AWS_ENDPOINT_URL")  # the page says it another way, which older versions know too
    values = {"STORE": store, "TARGET": TARGET, "ID": backup, "NEW": NEW, "ENDPOINT": endpoint}

    done = run_lines(tmp_path, empty_server, FROM_BUCKET, *AFTER_FETCHING, values=values, **bucket_variables)

    assert done.returncode == 0, done.stderr
    assert_is_restored(pg18, source, empty_server)


@pytest.mark.parametrize("damage", ["changed", "cut", "missing"])
def test_the_check_finds_a_file_that_is(damage: str, pg18: Server, new_database: NewDatabase, tmp_path: Path) -> None:
    store = tmp_path / "store"
    backup = back_up(pg18, new_database(pg18), str(store))
    values = {"STORE": str(store), "TARGET": TARGET, "ID": backup, "NEW": NEW}
    file = store / TARGET / backup / "dump.pgc.zst.000"
    content = file.read_bytes()
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(content[:-1] + (bytes([content[-1] ^ 1]) if damage == "changed" else b""))

    done = run_lines(tmp_path, pg18, FROM_DIRECTORY, CHECK, values=values)

    assert done.returncode != 0
    assert re.search(r"^dump\.pgc\.zst\.000: FAILED", done.stdout, re.MULTILINE)


def test_what_pg_restore_says_of_a_cut_dump_is_on_the_page(pg18: Server, source: str, tmp_path: Path) -> None:
    dump = tmp_path / "dump.pgc"
    subprocess.run([pg18.bin_dir / "pg_dump", "-Fc", "-Z0", f"--file={dump}", pg18.url(source)], check=True)
    with dump.open("r+b") as file:
        file.truncate(dump.stat().st_size // 2)
    done = subprocess.run(
        [pg18.bin_dir / "pg_restore", "--file=/dev/null", dump], capture_output=True, text=True, check=False
    )
    said = done.stderr.strip().rpartition("error: ")[2]
    assert said in PAGE.read_text()
