"""docs/retention.md, done as it stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import DOCS, blocks, run_bash, with_values
from tests.fixtures.postgres import NewDatabase, Server

PAGE = DOCS / "retention.md"
ID = "20261122T080000Z"


class Shop:
    """A database, two stores, and lines that are run with them."""

    def __init__(self, server: Server, database: str, folder: Path) -> None:
        self.server = server
        self.database = database
        self.folder = folder
        self.near, self.far = folder / "near", folder / "far"

    def run(self, lines: str, **more: str) -> tuple[int, str]:
        environ = {
            "PGPROOF_DATABASE_URL": self.server.url(self.database),
            "PGPROOF_TARGET": "shop",
            "PGPROOF_PG_BIN": str(self.server.bin_dir),
            "PGPROOF_STORE": str(self.near),
        }
        done = run_bash(lines, self.folder, self.server, **{**environ, **more})
        return done.returncode, done.stdout + done.stderr

    def execute(self, statement: str) -> None:
        with self.server.connect(self.database) as connection:
            connection.execute(statement.encode())


@pytest.fixture
def shop(pg18: Server, new_database: NewDatabase, tmp_path: Path) -> Shop:
    made = Shop(pg18, new_database(pg18), tmp_path)
    made.execute("CREATE TABLE orders AS SELECT generate_series(1, 5000) AS id")
    return made


def test_the_plan_of_the_page_is_shown(shop: Shop) -> None:
    assert shop.run("pgproof backup")[0] == 0
    rules = {"PGPROOF_RETENTION": "keep-within=24h,daily=14,monthly=12,min-proven=2"}
    code, said = shop.run(with_values(blocks(PAGE)["What is kept"], rules))
    assert code == 0
    assert "the newest complete one, keep-within, daily 1, monthly 1" in said


def test_a_suspect_backup_is_looked_at_and_accepted(shop: Shop) -> None:
    assert [shop.run("pgproof backup --label app=1")[0] for _ in range(3)] == [0, 0, 0]
    shop.execute("DELETE FROM orders WHERE id > 100")
    code, said = shop.run("pgproof backup")
    assert (code, "rows public.orders: expected 5,000, found 100" in said) == (12, True), said
    suspect = max(path.name for path in (shop.near / "shop").iterdir())
    code, said = shop.run(blocks(PAGE)["The guard"].replace(ID, suspect))
    assert code == 0, said
    assert "public.orders   5,000    100  -4,900" in said
    assert shop.run("pgproof backup")[0] == 0


def test_the_lines_about_several_stores_make_and_copy_backups(shop: Shop) -> None:
    both, copies = blocks(PAGE)["Several stores"].split("pgproof copy", 1)
    stores = {"PGPROOF_STORE": f"{shop.near},{shop.far}"}
    code, said = shop.run(with_values(both, stores))
    assert code == 0, said
    assert len(list(shop.near.rglob("manifest.json"))) == len(list(shop.far.rglob("manifest.json"))) == 1
    archive = shop.folder / "archive"
    lines = f"pgproof copy{copies}".replace("s3://backups/prod", str(shop.far)).replace("30d", "1s")
    lines = lines.replace("s3://archive/prod", str(archive)).replace("/backups", str(shop.near))
    code, said = shop.run(f"sleep 2\n{lines}", **stores)
    assert code == 0, said
    assert len(list(archive.rglob("manifest.json"))) == 1
