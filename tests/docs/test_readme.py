"""What a new user reads, done as it stands: README's lines back up and restore, its examples load, its links lead on.

Only names of servers, stores and files are exchanged for those of the test.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backup.demo.s3_server import S3Server
from backup.settings import load
from tests.docs.pages import DOCS, ROOT, blocks, require, run_bash, with_values
from tests.fixtures.postgres import NewDatabase, Server, running
from tests.notify.test_chat import PASSWORD, mailing
from tests.support.monitoring import free_port

README = ROOT / "README.md"
TONIGHT = "Lost a database tonight? Restore it"
MORE_WAYS = "More ways to restore"
FIRST_BACKUP = "First backup"
PROVE_IT = "Prove it"
WHAT_IS_KEPT = "What is kept"
ENCRYPT = "Encrypt it"
HEAR = "Hear of it"
SETTINGS = "The few settings that matter"
ROWS = "Rows as JSON"
SECOND_DATABASE = "A second database, kept up to date"
OVER_HTTP = "Over HTTP"
EVERY_NIGHT = "Every night, without a cluster"
BY_HAND = {"Install", "In Kubernetes"}
"""Not run here: an installation takes the network and minutes, and tests/cluster/test_pages.py has the cluster."""

TEN_TABLES = """
CREATE TABLE users (id int PRIMARY KEY, email text, password_hash text, session_token text, updated_at timestamptz);
CREATE TABLE profiles (id int PRIMARY KEY, user_id int REFERENCES users);
CREATE TABLE memberships (user_id int PRIMARY KEY);
CREATE TABLE groups (id int PRIMARY KEY);
CREATE TABLE roles (id int PRIMARY KEY);
CREATE TABLE wallets (user_id int PRIMARY KEY, balance numeric);
CREATE TABLE transactions (id int PRIMARY KEY, created_at timestamptz);
CREATE TABLE orders (id int PRIMARY KEY, created_at timestamptz DEFAULT now(), updated_at timestamptz);
CREATE TABLE products (id int PRIMARY KEY, name text, price numeric);
CREATE TABLE settings (name text PRIMARY KEY, value jsonb);
CREATE TABLE audit_log (id int PRIMARY KEY, payload jsonb);
INSERT INTO users VALUES (1, 'a@example.com', 'h4sh', 't0ken');
INSERT INTO transactions SELECT n, '2026-01-01Z'::timestamptz + n * interval '1 hour' FROM generate_series(1, 600) n;
"""
"""What the choice of rows on the page is made for, and one table that it reads inside another."""
PROSE = [README, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
FIRST_SCREEN = 45


@pytest.fixture
def shop(pg18: Server, new_database: NewDatabase) -> Server:
    """The server with the database of the page's examples."""
    name = new_database(pg18, name="shop")
    with pg18.connect(name) as connection:
        connection.execute("CREATE TABLE orders AS SELECT i AS id FROM generate_series(1, 1000) i")
        connection.execute("CREATE TABLE customers AS SELECT i AS id FROM generate_series(1, 10) i")
    return pg18


@pytest.fixture
def other_server(pg18: Server) -> Iterator[Server]:
    with running(pg18.bin_dir) as server:
        yield server


def run(script: str, folder: Path, server: Server, **environ: str) -> str:
    """What the lines print; they must end well."""
    done = run_bash(script, folder, server, PGPROOF_PG_BIN=str(server.bin_dir), **environ)
    assert done.returncode == 0, done.stderr
    return done.stdout


def counts(server: Server, database: str) -> tuple[int, ...]:
    with server.connect(database) as connection:
        row = connection.execute("SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM customers)").fetchone()
    assert row
    return row


def test_every_shell_line_is_run_by_a_test() -> None:
    assert set(blocks(README)) - BY_HAND == {
        TONIGHT,
        MORE_WAYS,
        FIRST_BACKUP,
        PROVE_IT,
        WHAT_IS_KEPT,
        ENCRYPT,
        HEAR,
        ROWS,
        SECOND_DATABASE,
        OVER_HTTP,
    }


def test_the_first_screen_restores_and_says_how_to_get_it() -> None:
    screen = "\n".join(README.read_text().splitlines()[:FIRST_SCREEN])
    for wanted in ("pgproof list", "--dry-run", "pgproof restore latest", "make install", "make demo", "make test"):
        assert wanted in screen


def test_the_lines_of_the_first_backup_make_verify_and_prove_one(shop: Server, tmp_path: Path) -> None:
    values = {"PGPROOF_DATABASE_URL": shop.url("shop"), "PGPROOF_STORE": str(tmp_path / "backups")}

    said = run(with_values(blocks(README)[FIRST_BACKUP], values), tmp_path, shop)

    assert re.search(r"\d{8}T\d{6}Z  shop  complete", said)
    assert " good " in said

    said = run(blocks(README)[PROVE_IT], tmp_path, shop, **values)

    assert re.search(r"proven \d+ min ago, restores in ", said)

    rules = {"PGPROOF_RETENTION": "keep-within=24h,daily=14"}
    said = run(with_values(blocks(README)[WHAT_IS_KEPT], rules), tmp_path, shop, **values)

    assert re.search(r"Z  kept +[\d.]+ KiB +the newest complete one, proven 1, keep-within, daily 1\n", said)


def test_what_the_lines_on_encryption_make_opens_what_is_backed_up_with_it(shop: Server, tmp_path: Path) -> None:
    values = {"PGPROOF_DATABASE_URL": shop.url("shop"), "PGPROOF_STORE": str(tmp_path / "backups")}
    key_new, export = blocks(README)[ENCRYPT].splitlines()
    public = run(key_new, tmp_path, shop).strip()
    name = export.removeprefix("export ").partition("=")[0]
    run("pgproof backup", tmp_path, shop, **values, **{name: public})
    (restore,) = re.findall(r"`(PGPROOF_IDENTITY_FILE=\S+ pgproof restore latest)`", README.read_text())
    run(f"{restore} --into shop_opened", tmp_path, shop, **values)
    assert counts(shop, "shop_opened") == (1000, 10)


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
def test_the_lines_on_notifications_send_a_mail(shop: Server, tmp_path: Path) -> None:
    with mailing(with_login=True) as mails:
        export, test = blocks(README)[HEAR].splitlines()
        name, _, address = export.removeprefix("export ").partition("=")
        ours = address.strip('"').replace("smtp.example.com", f"127.0.0.1:{mails.port}").replace("password", PASSWORD)
        said = run(test, tmp_path, shop, **{name: f"{ours}&mode=insecure"})
        assert re.search(r"E-Mail .* yes", said)
        assert [mail["subject"] for mail in mails.taken] == ["pgproof: this is a test"]


def test_the_line_on_rows_writes_them_as_json(shop: Server, tmp_path: Path) -> None:
    run(blocks(README)[ROWS], tmp_path, shop, PGPROOF_DATABASE_URL=shop.url("shop"))
    assert json.loads((tmp_path / "shop.json").read_text())["stats"] == {"customers": 10, "orders": 1000}


def test_the_lines_on_a_second_database_fill_it(shop: Server, other_server: Server, tmp_path: Path) -> None:
    with shop.connect("shop") as connection:
        connection.execute("ALTER TABLE orders ADD PRIMARY KEY (id); ALTER TABLE customers ADD PRIMARY KEY (id)")
    with other_server.connect() as connection:
        connection.execute("CREATE DATABASE shop")
    values = {"PGPROOF_SYNC_URL": other_server.url("shop")}
    lines = with_values(blocks(README)[SECOND_DATABASE], values)
    run(lines, tmp_path, shop, PGPROOF_DATABASE_URL=shop.url("shop"))
    assert counts(other_server, "shop") == (1000, 10)


@pytest.mark.parametrize("section", [ROWS, SECOND_DATABASE])
def test_the_choice_of_rows_that_a_page_shows_loads(section: str, tmp_path: Path) -> None:
    file = tmp_path / "pgproof.yaml"
    file.write_text(blocks(README, "yaml")[section])
    assert load({}, {}, file=file).rows.choice.tables["users"].exclude[0] == "password_hash"


def test_the_choice_of_rows_that_the_page_shows_exports_ten_tables_and_syncs_three(
    pg18: Server, other_server: Server, new_database: NewDatabase, tmp_path: Path
) -> None:
    name = new_database(pg18)
    with pg18.connect(name) as connection:
        connection.execute(TEN_TABLES)
    with other_server.connect() as connection:
        connection.execute("CREATE DATABASE reports")
    environ = {
        "PGPROOF_DATABASE_URL": pg18.url(name),
        "PGPROOF_SYNC_URL": other_server.url("reports"),
        "PGPROOF_CONFIG": "pgproof.yaml",
    }
    (tmp_path / "pgproof.yaml").write_text(blocks(README, "yaml")[ROWS])
    document = json.loads(run("pgproof export", tmp_path, pg18, **environ))
    assert len(document["stats"]) == 10
    assert document["stats"]["transactions"] == 500
    assert [row["id"] for row in document["data"]["transactions"]] == list(range(600, 100, -1))
    assert document["data"]["users"] == [{"id": 1, "email": "a@example.com", "updated_at": None, "profiles": []}]
    assert document["left_out"]["users"] == ["password_hash", "session_token"]

    (tmp_path / "pgproof.yaml").write_text(blocks(README, "yaml")[SECOND_DATABASE])
    run("pgproof sync", tmp_path, pg18, **environ)
    with other_server.connect("reports") as connection:
        made = connection.execute(
            "SELECT table_name, column_name FROM information_schema.columns\
            WHERE table_schema = 'public'"
        ).fetchall()
    assert {table for table, _ in made} == {"users", "products", "orders"}
    assert {column for table, column in made if table == "users"} == {"id", "email", "updated_at"}


def test_the_lines_of_the_first_screen_and_the_other_ways_restore(
    shop: Server, other_server: Server, s3_server: S3Server, bucket: str, tmp_path: Path
) -> None:
    values = {
        "PGPROOF_STORE": f"s3://{bucket}/prod",
        "PGPROOF_S3_ENDPOINT": s3_server.endpoint,
        "PGPROOF_S3_ACCESS_KEY": s3_server.access_key,
        "PGPROOF_S3_SECRET_KEY": s3_server.secret_key.get_secret_value(),
        "PGPROOF_DATABASE_URL": shop.url("shop"),
    }
    backup = run("pgproof backup", tmp_path, shop, **values).split()[0]
    restored = f"shop_restored_{backup.lower()}"

    said = run(with_values(blocks(README)[TONIGHT], values), tmp_path, shop)

    assert backup in said
    assert counts(shop, restored) == (1000, 10)
    with shop.connect() as connection:
        connection.execute("DROP DATABASE shop")
    more, replace, in_place = re.split(r"(?=pgproof restore \"\$ID\")", blocks(README)[MORE_WAYS])
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    more = more.replace("2026-11-22T08:30Z", f"{tomorrow:%Y-%m-%dT%H:%MZ}")
    run(more, tmp_path, shop, OTHER_SERVER=other_server.url("postgres"), **values)
    assert counts(shop, "shop") == counts(shop, "shop_morning") == counts(other_server, "shop") == (1000, 10)
    assert counts(shop, "shop_orders") == (1000, 0)
    for lines in (replace, in_place):
        with shop.connect("shop") as connection:
            connection.execute("DELETE FROM orders")
        run(lines, tmp_path, shop, ID=backup, **values)
        assert counts(shop, "shop") == (1000, 10)
    (kept,) = [name for name in shop.databases() if name.startswith("shop_replaced_")]
    assert counts(shop, kept) == (0, 10)
    assert run("pgproof list", tmp_path, shop, **values).count(" complete") == 3


def test_the_lines_over_http_fetch_the_rows_and_start_a_backup(shop: Server, tmp_path: Path) -> None:
    require("curl")
    port = str(free_port())
    environ = {"PGPROOF_DATABASE_URL": shop.url("shop"), "PGPROOF_STORE": str(tmp_path / "backups")}
    lines = blocks(README)[OVER_HTTP].replace(":8433/", f":{port}/") + "\nkill %1; wait %1"

    said = run(lines, tmp_path, shop, PGPROOF_SERVE_PORT=port, **environ)

    assert json.loads((tmp_path / "shop.json").read_text())["stats"] == {"customers": 10, "orders": 1000}
    assert [(each["kind"], each["state"]) for each in json.loads(said)["runs"]] == [("backup", "running")]


def test_the_file_of_settings_loads(shop: Server, tmp_path: Path) -> None:
    address = tmp_path / "database-url"
    address.write_text(shop.url("shop"))
    text = blocks(README, "yaml")[SETTINGS].replace("/etc/pgproof/database-url", str(address))
    (tmp_path / "pgproof.yaml").write_text(text)

    said = run("pgproof config --config pgproof.yaml", tmp_path, shop)

    assert 'url: "s3://backups/prod"' in said


def test_the_line_of_crontab_speaks_only_when_there_is_no_backup(shop: Server, tmp_path: Path) -> None:
    line = blocks(README, "crontab")[EVERY_NIGHT].removeprefix("0 3 * * * ").strip()
    for path, ours in {"/opt/pgproof/.venv/bin/": "", "/etc/": f"{tmp_path}/", "/var/log/": f"{tmp_path}/"}.items():
        assert path in line
        line = line.replace(path, ours)
    config = f"database: {{url_file: {tmp_path}/url}}\nstores: {{main: {{url: {tmp_path}/backups}}}}\n"
    (tmp_path / "pgproof.yaml").write_text(config)
    (tmp_path / "url").write_text(shop.url("shop"))
    assert run(line, tmp_path, shop) == ""
    assert "complete" in (tmp_path / "pgproof.log").read_text()

    (tmp_path / "url").write_text(shop.url("no_such_database"))
    assert run(line, tmp_path, shop) == "pgproof: no backup, exit code 4\n"


@pytest.mark.parametrize("page", PROSE, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_that_is_there(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PROSE, ids=lambda page: page.name)
def test_every_make_target_that_is_named_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = re.findall(r"(?:`|^)make ([a-z-]+)", page.read_text(), re.MULTILINE)
    assert set(named) <= targets


def test_the_command_of_ci_runs_what_the_page_says() -> None:
    script = ROOT / ".ci" / "run"
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    assert {"make test", "make check", "make test-cluster"} <= set(re.findall(r"make [a-z-]+", script.read_text()))
