"""`diff` and `show --against`: what changed since a backup, or between two, each by its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from backup.errors import IntegrityFailed, NotFound, ProofMismatch
from tests.fixtures.postgres import NewDatabase, Server
from tests.support.command import Command, Finished

_TABLES = """
CREATE TABLE growing AS SELECT n FROM generate_series(1, 2000) AS n;
CREATE TABLE shrinking AS SELECT n FROM generate_series(1, 10) AS n;
CREATE TABLE emptied AS SELECT n FROM generate_series(1, 5) AS n;
CREATE TABLE changed (id int PRIMARY KEY, word text);
INSERT INTO changed VALUES (1, 'one'), (2, 'two');
CREATE TABLE dropped (id int);
CREATE INDEX by_word ON changed (word);
CREATE SEQUENCE counter;
"""
_CHANGES = """
INSERT INTO growing SELECT n FROM generate_series(1, 1000) AS n;
DELETE FROM shrinking WHERE n > 7;
DELETE FROM emptied;
UPDATE changed SET word = 'three' WHERE id = 2;
DROP TABLE dropped;
CREATE TABLE made (id int);
DROP INDEX by_word;
SELECT nextval('counter'), nextval('counter');
"""
_NAMES = {
    ("content", "public.changed"),
    ("position", "public.counter"),
    ("index", "public.by_word"),
    *(("rows", f"public.{name}") for name in ("dropped", "emptied", "growing", "made", "shrinking")),
}
_TOLD = {
    "public.growing": ["2,000", "3,000", "+1,000"],
    "public.shrinking": ["10", "7", "-3"],
    "public.emptied": ["5", "0", "emptied"],
    "public.dropped": ["0", "gone"],
    "public.made": ["0", "new"],
}


class Shop:
    """A database, a store, and the command set up for both."""

    def __init__(self, server: Server, database: str, home: Path) -> None:
        self.server = server
        self.database = database
        self.store = home / "store"
        self.store.mkdir()
        environ = {
            "PGPROOF_DATABASE_URL": server.url(database),
            "PGPROOF_PG_BIN": str(server.bin_dir),
            "PGPROOF_TARGET": "shop",
            "PGPROOF_STORE": str(self.store),
        }
        self.pgproof = Command(home=home, environ=environ)

    def run(self, script: str) -> None:
        with self.server.connect(self.database) as connection:
            connection.execute(script.encode())

    def back_up(self, **changes: str | None) -> str:
        made = self.pgproof("backup", "--json", **changes)
        assert made.code == 0, made
        return str(made.result["id"])


@pytest.fixture
def shop(pg18: Server, new_database: NewDatabase, tmp_path: Path) -> Shop:
    made = Shop(pg18, new_database(pg18), tmp_path)
    made.run(_TABLES)
    return made


def _names(ended: Finished) -> set[tuple[str, str]]:
    return {(each["kind"], each["name"]) for each in ended.result["differences"]}


def _difference(ended: Finished, kind: str, name: str) -> dict[str, Any]:
    (found,) = (each for each in ended.result["differences"] if (each["kind"], each["name"]) == (kind, name))
    assert isinstance(found, dict)
    return found


def _check_table(told: str) -> None:
    """Each table has its line, and what is not about rows has one too."""
    lines = [line.split() for line in told.splitlines()]
    for name, words in _TOLD.items():
        assert [name, *words] in lines, told
    assert "public.changed: as many rows, other values" in told
    assert "index public.by_word is missing" in told
    assert "position public.counter: expected 1 (not used yet), found 2" in told


def test_diff_finds_nothing_where_nothing_changed(shop: Shop) -> None:
    made = shop.back_up()
    ended = shop.pgproof("diff", "latest", "--json")
    assert ended.code == 0, ended
    assert ended.result == {"backup": made, "database": shop.database, "differences": [], "unproven": {}}
    told = shop.pgproof("diff", made)
    assert (told.code, told.stdout) == (0, f"{shop.database} now, against {made}: no difference\n")


def test_diff_names_everything_that_changed_and_exits_with_7(shop: Shop) -> None:
    made = shop.back_up()
    shop.run(_CHANGES)
    ended = shop.pgproof("diff", "latest", "--json")
    assert ended.code == ProofMismatch.exit_code, ended
    assert _names(ended) >= _NAMES
    grown = _difference(ended, "rows", "public.growing")
    assert (grown["expected"], grown["found"], grown["noted"]) == (2000, 3000, False)
    assert grown["text"] == "rows public.growing: expected 2,000, found 3,000"
    assert _difference(ended, "rows", "public.made")["expected"] is None
    assert _difference(ended, "rows", "public.dropped")["found"] is None
    assert ended.stderr == ""
    told = shop.pgproof("diff", made)
    assert told.code == ProofMismatch.exit_code
    _check_table(told.stdout)
    count = len([each for each in ended.result["differences"] if not each["noted"]])
    assert told.complaint == f"{shop.database} differs from the backup {made} in {count} facts"


def test_diff_changes_nothing_in_the_database_and_nothing_in_the_store(shop: Shop) -> None:
    shop.back_up()
    before = sorted(str(path) for path in shop.store.rglob("*"))
    assert shop.pgproof("diff", "latest").code == 0
    assert shop.pgproof("diff", "latest").code == 0
    assert sorted(str(path) for path in shop.store.rglob("*")) == before


def test_show_against_names_what_changed_between_two_backups(shop: Shop) -> None:
    older = shop.back_up()
    shop.run(_CHANGES)
    newer = shop.back_up()
    ended = shop.pgproof("show", "latest", "--against", older, "--json")
    assert ended.code == 0, ended
    assert (ended.result["backup"], ended.result["against"]) == (newer, older)
    assert _names(ended) >= _NAMES
    told = shop.pgproof("show", newer, "--against", older)
    assert told.code == 0
    assert told.stdout.startswith(f"{newer} against {older}\n")
    _check_table(told.stdout)


def test_show_against_itself_finds_nothing(shop: Shop) -> None:
    made = shop.back_up()
    ended = shop.pgproof("show", made, "--against", "latest", "--json")
    assert (ended.code, ended.result["differences"]) == (0, [])
    assert "no difference" in shop.pgproof("show", made, "--against", made).stdout


def test_where_only_rows_are_known_only_they_are_compared(shop: Shop) -> None:
    shop.back_up(PGPROOF_PROOF="rows")
    shop.run("UPDATE changed SET word = 'three' WHERE id = 2")
    ended = shop.pgproof("diff", "latest", "--json")
    assert (ended.code, ended.result["differences"]) == (0, [])
    shop.run("DELETE FROM changed")
    ended = shop.pgproof("diff", "latest", "--json")
    assert (ended.code, _names(ended)) == (ProofMismatch.exit_code, {("rows", "public.changed")})


def test_a_backup_without_a_proof_is_not_found_for_either(shop: Shop) -> None:
    proven = shop.back_up()
    without = shop.back_up(PGPROOF_PROOF="off")
    for arguments in (
        ("diff", without),
        ("show", without, "--against", proven),
        ("show", proven, "--against", without),
    ):
        ended = shop.pgproof(*arguments, "--json")
        assert ended.code == NotFound.exit_code, ended
        assert ended.error["message"] == f"the backup {without} has no proof"
        assert "PGPROOF_PROOF" in ended.error["hint"]


def test_a_damaged_proof_is_told(shop: Shop) -> None:
    shop.back_up()
    (path,) = shop.store.glob("*/*/proof.*.000")
    path.write_bytes(path.read_bytes()[:-1])
    ended = shop.pgproof("diff", "latest", "--json")
    assert ended.code == IntegrityFailed.exit_code, ended
    assert "proof.json" in ended.error["message"]
