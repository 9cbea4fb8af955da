"""The lines of docs/restore-by-hand.md, run as they stand: what they restore is the database that was backed up.

Owns which sections are run together. Only the values of step 1 are exchanged for those of the test.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from backup.demo.s3_server import S3Server
from backup.stream.age import Identity
from tests.docs.pages import DOCS, blocks, require, run_bash, with_values
from tests.fixtures.postgres import NewDatabase, Server, running
from tests.support.compare import difference, facts
from tests.support.sink import ORDINARY, load_sink

PAGE = DOCS / "restore-by-hand.md"
VALUES = "1. Say what you want"
FROM_DIRECTORY = "From a directory"
FROM_BUCKET = "From a bucket"
CHECK = "3. Check it"
DECRYPT = "4. Decrypt it"
ROLES = "5. Bring back the roles"
OLD_NAME = "Under its old name"
NEW_NAME = "Under a new name"
LANES = "A dump in lanes"
LOOK = "7. Before you let anybody in"
ROWS = "A backup of rows"
AFTER_FETCHING = (CHECK, ROLES, OLD_NAME, NEW_NAME, LOOK)

TARGET = "shop"
NEW = "shop_by_hand"


@pytest.fixture
def source(pg18: Server, new_database: NewDatabase) -> str:
    """A database with every kind of object, and rows enough for several volumes."""
    name = new_database(pg18)
    with pg18.connect(name) as connection:
        load_sink(connection, ORDINARY)
        connection.execute("CREATE TABLE public.day AS SELECT md5(i::text) FROM generate_series(1, 150_000) i")
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


def back_up(server: Server, database: str, store: str, folder: Path, **environ: str) -> dict[str, str]:
    """Make a backup in several volumes with the command; the values of step 1 that mean it."""
    environ |= {"PGPROOF_DATABASE_URL": server.url(database), "PGPROOF_STORE": store, "PGPROOF_TARGET": TARGET}
    environ |= {"PGPROOF_VOLUME_SIZE": "1MiB", "PGPROOF_PG_BIN": str(server.bin_dir)}
    done = run_bash("pgproof backup", folder, server, **environ)
    assert done.returncode == 0, done.stderr
    return {"STORE": store, "TARGET": TARGET, "ID": done.stdout.split()[0], "NEW": NEW}


def run_lines(
    folder: Path, server: Server, *headings: str, values: dict[str, str], before: str = "", **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run the blocks under these headings as one script, behind some lines, as that server's superuser."""
    found = blocks(PAGE)
    script = before + with_values(found[VALUES] + "".join(found[heading] for heading in headings), values)
    environ |= {"PGHOST": server.host, "PGPORT": str(server.port)}
    environ |= {"PGUSER": server.superuser, "PGPASSWORD": server.password}
    return run_bash(script, folder, server, **environ)


def assert_is_restored(source: Server, name: str, destination: Server) -> None:
    with source.connect(name) as connection:
        wanted = facts(connection)
    for restored in (name, NEW):
        with destination.connect(restored) as connection:
            found = facts(connection)
        assert difference(wanted, found, ignore=() if restored == name else ("database",)) == []


def test_every_shell_line_of_the_page_is_run_by_a_test() -> None:
    assert set(blocks(PAGE)) == {VALUES, FROM_DIRECTORY, FROM_BUCKET, DECRYPT, *AFTER_FETCHING, LANES, ROWS}


def test_the_lines_restore_a_backup_from_a_directory(
    pg18: Server, source: str, empty_server: Server, tmp_path: Path
) -> None:
    require("zstd")
    values = back_up(pg18, source, str(tmp_path / "store"), tmp_path)

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
    values = back_up(pg18, source, store, tmp_path, **bucket_variables)
    endpoint = bucket_variables.pop("AWS_ENDPOINT_URL")  # an older aws knows it only as the page says it
    environ = bucket_variables | {"ENDPOINT": endpoint}

    done = run_lines(tmp_path, empty_server, FROM_BUCKET, *AFTER_FETCHING, values=values, **environ)

    assert done.returncode == 0, done.stderr
    assert_is_restored(pg18, source, empty_server)


def test_the_lines_restore_an_encrypted_backup_with_the_stock_age(
    pg18: Server, source: str, empty_server: Server, tmp_path: Path
) -> None:
    require("zstd")
    require("age")
    identity = Identity.new()
    key = tmp_path / "identity.txt"
    key.write_text(f"{identity.secret}\n")
    store = str(tmp_path / "store")
    values = back_up(pg18, source, store, tmp_path, PGPROOF_ENCRYPT_TO=identity.public)
    check, *rest = AFTER_FETCHING

    done = run_lines(
        tmp_path, empty_server, FROM_DIRECTORY, check, DECRYPT, *rest, values={**values, "IDENTITY": str(key)}
    )

    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "store").rglob("dump.pgc.zst.age.*"))) > 2
    assert_is_restored(pg18, source, empty_server)


@pytest.mark.parametrize("encrypted", [False, True])
def test_the_lines_restore_a_dump_in_lanes(
    pg18: Server, source: str, empty_server: Server, tmp_path: Path, *, encrypted: bool
) -> None:
    require("zstd")
    values: dict[str, str] = {}
    environ = {"PGPROOF_DUMP_JOBS": "3"}
    if encrypted:
        require("age")
        identity = Identity.new()
        key = tmp_path / "identity.txt"
        key.write_text(f"{identity.secret}\n")
        environ["PGPROOF_ENCRYPT_TO"], values["IDENTITY"] = identity.public, str(key)
    with pg18.connect(source) as connection:
        for name in ("Day.2", "night"):
            connection.execute(
                f'CREATE TABLE "{name}" AS SELECT md5(i::text) FROM generate_series(1, 99999) i'.encode()
            )
    values |= back_up(pg18, source, str(tmp_path / "store"), tmp_path, **environ)
    sections = (FROM_DIRECTORY, CHECK, *([DECRYPT] if encrypted else []), ROLES, LANES, LOOK)
    done = run_lines(tmp_path, empty_server, *sections, values=values)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "backup").glob("dump.?.pgc.zst.000"))) == 2
    with pg18.connect(source) as wanted, empty_server.connect(NEW) as found:
        assert difference(facts(wanted), facts(found), ignore=("database",)) == []


def test_the_lines_stop_at_a_lane_that_is_damaged(
    pg18: Server, source: str, empty_server: Server, tmp_path: Path
) -> None:
    require("zstd")
    values = back_up(pg18, source, str(tmp_path / "store"), tmp_path, PGPROOF_DUMP_JOBS="2")
    (volume, *_) = sorted((tmp_path / "store").rglob("dump.1.pgc.zst.000"))
    volume.write_bytes(volume.read_bytes()[:-100])
    by_hand = "set +e\n"  # as in a shell where somebody types: the next line is carried out all the same
    done = run_lines(tmp_path, empty_server, FROM_DIRECTORY, CHECK, ROLES, LANES, values=values, before=by_hand)
    assert done.returncode != 0
    assert "all lanes are in" not in done.stdout


def rows_of(server: Server, database: str) -> dict[str, object]:
    """Every table's rows as text, and where the sequences stand."""
    with server.connect(database) as connection:
        tables = connection.execute(
            """SELECT format('%I.%I', nspname, relname) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
            WHERE relkind = 'r' AND nspname !~ '^pg_' AND nspname <> 'information_schema' ORDER BY 1"""
        ).fetchall()
        found: dict[str, object] = {
            name: connection.execute(f"SELECT x::text FROM {name} AS x ORDER BY 1".encode()).fetchall()
            for (name,) in tables
        }
        found["keys"] = connection.execute(
            "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype IN ('p', 'f') ORDER BY 1, 2"
        ).fetchall()
        found["sequences"] = connection.execute(
            "SELECT sequencename, last_value FROM pg_sequences ORDER BY 1"
        ).fetchall()
        return found


def test_the_lines_restore_an_encrypted_backup_of_rows(
    pg18: Server, new_database: NewDatabase, empty_server: Server, tmp_path: Path
) -> None:
    require("zstd")
    require("age")
    name = new_database(pg18)
    with pg18.connect(name) as connection:
        load_sink(connection, ("types",))
        connection.execute(
            """CREATE TABLE "od d" (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, j jsonb, n int,
                twice int GENERATED ALWAYS AS (n * 2) STORED, other int REFERENCES "od d");
            INSERT INTO "od d" (j, n, other) VALUES ('null', 1, 2), (E'{"a": "\\\\n"}', 2, 1), (NULL, 3, NULL)"""
        )
    identity = Identity.new()
    key = tmp_path / "identity.txt"
    key.write_text(f"{identity.secret}\n")
    environ = {"PGPROOF_ENCRYPT_TO": identity.public, "PGPROOF_ENGINE": "rows"}
    values = back_up(pg18, name, str(tmp_path / "store"), tmp_path, **environ)
    sections = (FROM_DIRECTORY, CHECK, DECRYPT, ROWS)
    done = run_lines(tmp_path, empty_server, *sections, values={**values, "IDENTITY": str(key)})
    assert done.returncode == 0, done.stderr
    assert rows_of(empty_server, NEW) == rows_of(pg18, name), done.stderr


@pytest.mark.parametrize("damage", ["changed", "cut", "missing"])
def test_the_check_finds_a_file_that_is(damage: str, pg18: Server, new_database: NewDatabase, tmp_path: Path) -> None:
    values = back_up(pg18, new_database(pg18), str(tmp_path / "store"), tmp_path)
    file = tmp_path / "store" / TARGET / values["ID"] / "dump.pgc.zst.000"
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
    assert done.stderr.strip().rpartition("error: ")[2] in PAGE.read_text()
