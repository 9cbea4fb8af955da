"""`pgproof restore` as it is typed: names, references, confirmation, the safety backup; and the memory it all takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.postgres import NewDatabase, Server
from tests.support.pgproof import rows, run

_LIMIT = 128 << 10
"""KiB that a process of ours may hold at any size of a database."""

_MEASURED = """
import sys
from pathlib import Path
from backup.cli.main import main
try:
    main()
finally:
    (peak,) = [line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line]
    print("peak", peak, file=sys.stderr)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """A database and a store, and the command with both in its environment."""

    server: Server
    name: str
    store: Path
    environ: dict[str, str] = field(repr=False)

    def pgproof(self, *arguments: str, code: int = 0) -> Any:  # noqa: ANN401 - JSON is of any type
        """What the command prints as JSON, or its error."""
        done = self._run([sys.executable, "-m", "backup", *arguments, "--json"])
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout) if code == 0 else done.stderr + done.stdout

    def told(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """What the command prints for people."""
        done = self._run([sys.executable, "-m", "backup", *arguments])
        assert done.returncode == 0, done.stderr
        return done

    def peak(self, *arguments: str) -> int:
        """The most memory that the command held, in KiB."""
        done = self._run([sys.executable, "-c", _MEASURED, *arguments])
        assert done.returncode == 0, done.stderr
        return int(done.stderr.split()[-1])

    def _run(self, argv: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(argv, env=self.environ, capture_output=True, text=True, check=False, timeout=250)

    def databases(self) -> list[str]:
        return [name for name in self.server.databases() if name.startswith(self.name)]


@pytest.fixture
def shop(pg18: Server, new_database: NewDatabase, tmp_path: Path) -> Shop:
    name = new_database(pg18)
    run(pg18, name, "CREATE TABLE orders (id int PRIMARY KEY); INSERT INTO orders VALUES (1)")
    environ = {
        "PATH": f"{pg18.bin_dir}:{os.environ['PATH']}",
        "PGPROOF_DATABASE_URL": pg18.url(name),
        "PGPROOF_STORE": str(tmp_path / "store"),
        "HOME": str(tmp_path),
    }
    return Shop(server=pg18, name=name, store=tmp_path / "store", environ=environ)


def ids(shop: Shop) -> list[str]:
    return [backup["id"] for backup in shop.pgproof("list")["backups"]]


def test_the_new_database_is_called_after_the_backup(shop: Shop) -> None:
    made = shop.pgproof("backup")["id"]
    shop.pgproof("restore", "latest")
    again = f"{shop.name}_restored_{made.lower()}"
    assert shop.databases() == [shop.name, again]
    assert rows(shop.server, again, "SELECT id FROM orders") == [(1,)]
    assert "exists already" in shop.pgproof("restore", "latest", code=2)


def test_latest_an_id_and_a_time_mean_their_backups(shop: Shop) -> None:
    first = shop.pgproof("backup")
    run(shop.server, shop.name, "INSERT INTO orders VALUES (2)")
    second = shop.pgproof("backup")
    between = datetime.fromisoformat(second["snapshot"]["time"]) - timedelta(microseconds=1)
    asked: dict[str, Callable[[], str]] = {
        "latest": lambda: "latest",
        "id": lambda: str(first["id"]),
        "time": between.isoformat,
    }
    for name, reference in asked.items():
        shop.pgproof("restore", reference(), "--into", f"{shop.name}_{name}")
    counted = {name: rows(shop.server, f"{shop.name}_{name}", "SELECT count(*) FROM orders")[0][0] for name in asked}
    assert counted == {"latest": 2, "id": 1, "time": 1}


def test_in_place_wants_the_name_of_the_database_and_makes_a_safety_backup_first(shop: Shop) -> None:
    made = shop.pgproof("backup")["id"]
    run(shop.server, shop.name, "UPDATE orders SET id = 2")
    for wrong in ([], ["--confirm", "other"]):
        assert f"--confirm {shop.name}" in shop.pgproof("restore", made, "--in-place", *wrong, code=2)
    assert "exclude each other" in shop.pgproof("restore", made, "--in-place", "--into", "x", code=2)
    assert rows(shop.server, shop.name, "SELECT id FROM orders") == [(2,)]
    shop.pgproof("restore", made, "--in-place", "--confirm", shop.name)
    assert rows(shop.server, shop.name, "SELECT id FROM orders") == [(1,)]
    (safety,) = {*ids(shop)} - {made}
    shop.pgproof("restore", safety, "--into", f"{shop.name}_safe")
    assert rows(shop.server, f"{shop.name}_safe", "SELECT id FROM orders") == [(2,)]


def test_without_a_safety_backup_none_is_made(shop: Shop) -> None:
    made = shop.pgproof("backup")["id"]
    shop.pgproof("restore", made, "--in-place", "--confirm", shop.name, "--no-safety-backup")
    assert ids(shop) == [made]


@pytest.mark.parametrize("stray", [["--confirm", "shop"], ["--no-safety-backup"]])
def test_what_goes_with_in_place_is_refused_without_it(shop: Shop, stray: list[str]) -> None:
    assert f"{stray[0]} goes with --in-place" in shop.pgproof("restore", "latest", *stray, code=2)


def test_steps_and_notes_are_one_block_and_told_once(shop: Shop) -> None:
    shop.pgproof("backup")
    asked = ("restore", "latest", "--table", "orders")
    _, steps = shop.told(*asked, "--dry-run").stdout.split("\n\n")
    assert len(steps.splitlines()) > 3
    assert "\nnote: rows of public.orders only" in steps
    done = shop.told(*asked)
    assert (done.stdout + done.stderr).count("rows of public.orders only") == 1


def test_a_dry_run_says_what_would_be_done_and_leaves_everything_as_it_is(shop: Shop) -> None:
    shop.pgproof("backup")
    before = sorted((path, path.stat().st_mtime_ns) for path in shop.store.rglob("*"))
    plan = shop.pgproof("restore", "latest", "--dry-run", "--table", "orders")
    assert plan["database"].startswith(f"{shop.name}_restored_")
    assert any("orders" in step for step in plan["steps"])
    assert shop.pgproof("restore", "latest", "--dry-run", "--in-place")["database"] == shop.name
    assert shop.databases() == [shop.name]
    assert sorted((path, path.stat().st_mtime_ns) for path in shop.store.rglob("*")) == before


def test_an_unknown_table_is_code_9(shop: Shop) -> None:
    shop.pgproof("backup")
    assert "public.orders" in shop.pgproof("restore", "latest", "--table", "order", code=9)


def test_a_row_of_200_megabytes_takes_no_more_memory_than_a_small_one(shop: Shop) -> None:
    # slow: the row itself is what is promised, and 400 MB pass each way
    run(shop.server, shop.name, "CREATE TABLE wide AS SELECT decode(repeat('0a1b', 100 << 20), 'hex') AS b")
    again = f"{shop.name}_again"
    assert shop.peak("backup") < _LIMIT
    assert shop.peak("restore", "latest", "--into", again) < _LIMIT
    assert rows(shop.server, again, "SELECT length(b), md5(b) FROM wide") == rows(
        shop.server, shop.name, "SELECT length(b), md5(b) FROM wide"
    )
