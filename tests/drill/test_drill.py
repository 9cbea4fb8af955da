"""What a drill says of a backup, how it ends, and what is kept of it."""

from __future__ import annotations

import json

import pytest

from backup.errors import IntegrityFailed, NotFound, ProofMismatch, RestoreFailed
from tests.drill.conftest import ROWS, TABLES, TARGET, Drilling

_FICKLE = """
CREATE FUNCTION stamp(int) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT clock_timestamp()::text';
CREATE TABLE letters (id int, stamp text GENERATED ALWAYS AS (stamp(id)) STORED);
INSERT INTO letters VALUES (1), (2);
CREATE TABLE steady (id int);
"""
"""A table that no dump brings back as it was: its values are made anew."""
_BROKEN = """
CREATE FUNCTION good(int) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT true';
CREATE TABLE orders (id int CHECK (good(id)));
INSERT INTO orders VALUES (1);
CREATE OR REPLACE FUNCTION good(int) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT $1 / 0 = 1';
"""
"""A table that no dump brings back at all."""
_EITHER = pytest.mark.parametrize(
    ("role", "told"), [("dump", "it did not restore"), ("proof", "its proof cannot be read")], ids=["dump", "proof"]
)


def test_a_drill_proves_a_backup_and_keeps_all_that_it_found(drilling: Drilling) -> None:
    ended = drilling.drilled()
    assert ended.code == 0, ended
    result = ended.result
    assert result["verdict"] == "proven"
    assert result["text"] == f"proven: every value of {TABLES} tables, {ROWS:,} rows"
    assert (result["mode"], result["tables"], result["rows"], result["sample"]) == ("full", TABLES, ROWS, 1)
    assert (result["differences"], result["difference_count"], result["unproven"], result["error"]) == ([], 0, [], None)
    assert result["server_version"].startswith("18.")
    assert set(result["seconds"]) == {"server", "checks", "schema", "load", "indexes", "finish", "proof"}
    restoring = sum(result["seconds"][phase] for phase in ("checks", "schema", "load", "indexes", "finish"))
    assert result["restore_seconds"] == pytest.approx(restoring, abs=0.01)
    manifest = json.loads((drilling.store / TARGET / result["backup"] / "manifest.json").read_text())
    stored = sum(volume["bytes"] for part in manifest["parts"] for volume in part["volumes"])
    assert result["stored_bytes"] == stored
    (kept,) = drilling.stored_drills()
    assert json.loads(kept.read_text()) == result
    assert kept.parent.parent.name == result["backup"]


def test_a_drill_tells_people_that_it_proved_the_backup_and_how_long_a_restore_takes(drilling: Drilling) -> None:
    ended = drilling.pgproof("drill", "latest")
    assert ended.code == 0, ended
    for said in ("verdict          proven", f"every value of {TABLES} tables", "time to restore", "PostgreSQL 18."):
        assert said in ended.stdout


def test_list_and_show_see_what_the_newest_drill_said(drilling: Drilling) -> None:
    assert drilling("list").result["backups"][0]["drill"] is None
    assert drilling("show", "latest").result["drills"] == []
    assert drilling.drilled().code == 0
    assert drilling("list").result["backups"][0]["drill"]["verdict"] == "proven"
    assert drilling.last_result()["verdict"] == "proven"
    assert ", restores in " in drilling.pgproof("list").stdout
    assert "proven: every value of" in drilling.pgproof("show", "latest").stdout
    assert drilling.drilled("--check", "SELECT false").code == ProofMismatch.exit_code
    assert drilling("list").result["backups"][0]["drill"]["verdict"] == "differs"
    verdicts = [each["verdict"] for each in drilling("show", "latest").result["drills"]]
    assert verdicts == ["proven", "differs"]


def test_latest_proven_is_the_newest_whose_last_drill_proved_it(drilling: Drilling) -> None:
    first = drilling("show", "latest").result["id"]
    none = drilling("show", "latest-proven")
    assert (none.code, none.error["code"]) == (NotFound.exit_code, "not_found")
    assert "pgproof drill latest" in none.error["hint"]
    assert drilling.drilled().code == 0
    second = drilling.back_up()
    assert drilling("show", "latest-proven").result["id"] == first
    assert drilling.drilled().code == 0
    assert drilling("show", "latest-proven").result["id"] == second
    assert drilling.drilled("--check", "SELECT false").code == ProofMismatch.exit_code
    assert drilling("show", "latest-proven").result["id"] == first


def test_what_does_not_come_back_as_it_was_is_told_by_name(own: Drilling) -> None:
    own.run(_FICKLE)
    own.back_up()
    ended = own.drilled()
    assert ended.code == ProofMismatch.exit_code, ended
    (difference,) = ended.result["differences"]
    assert (difference["kind"], difference["name"]) == ("content", "public.letters")
    assert difference["expected"] != difference["found"]
    assert ended.result["verdict"] == "differs"
    assert ended.result["text"] == "1 difference from what the snapshot held"
    assert own.last_result() == ended.result
    told = own.pgproof("drill", "latest")
    assert told.code == ProofMismatch.exit_code
    assert told.complaint.endswith("is not proven: 1 difference from what the snapshot held")
    assert "content public.letters: expected" in told.stdout
    assert "content public.letters: expected" in told.stderr


def test_a_backup_that_cannot_be_loaded_is_stored_as_failed(own: Drilling) -> None:
    own.run(_BROKEN)
    own.back_up()
    ended = own.drilled()
    assert ended.code == RestoreFailed.exit_code, ended
    assert "division by zero" in ended.error["message"]
    result = own.last_result()
    assert result["verdict"] == "failed"
    assert result["text"].startswith("it did not restore: ")
    assert "division by zero" in result["text"]
    assert "COPY orders" in result["error"]
    assert result["restore_seconds"] is None
    assert result["server_version"].startswith("18.")


@_EITHER
def test_a_damaged_object_is_stored_as_failed(drilling: Drilling, role: str, told: str) -> None:
    path = drilling.part(role)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    ended = drilling.drilled()
    assert (ended.code, ended.error["code"]) == (IntegrityFailed.exit_code, "integrity_failed"), ended
    assert ended.error["message"] == f"{path.name.partition('.zst')[0]} cannot be decompressed"
    result = drilling.last_result()
    assert result["verdict"] == "failed"
    assert result["text"] == f"{told}: {ended.error['message']}"


@_EITHER
def test_an_object_that_is_gone_is_stored_as_failed(drilling: Drilling, role: str, told: str) -> None:
    path = drilling.part(role)
    path.unlink()
    ended = drilling.drilled()
    assert ended.code == IntegrityFailed.exit_code, ended
    assert path.name in ended.error["message"]
    assert drilling.last_result()["text"] == f"{told}: {ended.error['message']}"


def test_a_backup_without_a_proof_restores_and_is_unproven(own: Drilling) -> None:
    own.run("CREATE TABLE t AS SELECT 1 AS id")
    own.back_up(PGPROOF_PROOF="off")
    ended = own.drilled()
    assert ended.code == ProofMismatch.exit_code, ended
    assert ended.result["verdict"] == "unproven"
    assert ended.result["text"] == "it restores, but the backup has no proof to compare it with"
    assert ended.result["restore_seconds"] > 0
    assert own.last_result() == ended.result
    assert "PGPROOF_PROOF=full" in own.pgproof("drill", "latest").hint
    assert own("show", "latest-proven").code == NotFound.exit_code


def test_where_rows_alone_are_known_rows_alone_are_proven(own: Drilling) -> None:
    own.run("CREATE TABLE t AS SELECT generate_series(1, 5) AS id")
    own.back_up(PGPROOF_PROOF="rows")
    ended = own.drilled()
    assert ended.code == 0, ended
    assert ended.result["mode"] == "rows"
    assert ended.result["text"] == "proven: the number of rows of 1 table, 5 rows"


def test_what_a_setting_left_out_of_the_backup_is_noted_and_no_difference(own: Drilling) -> None:
    own.run("CREATE TABLE orders AS SELECT 1 AS id; CREATE TABLE customers AS SELECT 1 AS id")
    own.back_up(PGPROOF_EXCLUDE_TABLES="public.orders")
    ended = own.drilled()
    assert ended.code == 0, ended
    assert ended.result["text"].startswith("proven: every value of 1 table, 1 rows")
    assert {each["noted"] for each in ended.result["differences"]} == {True}
    assert "public.orders" in {each["name"] for each in ended.result["differences"]}


def test_rows_that_a_setting_left_out_are_unproven_by_name(drilling: Drilling) -> None:
    drilling.back_up(PGPROOF_EXCLUDE_TABLE_DATA="public.orders")
    ended = drilling.drilled()
    assert ended.code == 0, ended
    unproven = ended.result["unproven"]
    assert unproven == ["rows public.orders: a setting leaves its rows out"]
    assert ended.result["text"].endswith("100 rows, but of 1 fact nothing is known")


def test_an_empty_database_is_proven(own: Drilling) -> None:
    own.back_up()
    ended = own.drilled()
    assert ended.code == 0, ended
    assert ended.result["text"] == "proven: every value of 0 tables, 0 rows"
