"""Whose backup is meant, what a safety backup holds, and what one hears of a backup that leaves things out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import pytest

from tests.fixtures.postgres import NewDatabase, Server
from tests.support.pgproof import rows, run

_NOTHING: Mapping[str, str] = MappingProxyType({})
_CRM = {"PGPROOF_TARGET": "crm"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """A database with two tables, and the command with it and an empty folder in its environment."""

    server: Server
    name: str
    store: Path
    environ: Mapping[str, str] = field(repr=False)

    def __call__(
        self, *arguments: str, code: int = 0, also: Mapping[str, str] = _NOTHING
    ) -> subprocess.CompletedProcess[str]:
        environ = {**self.environ, **also}
        done = subprocess.run(
            [sys.executable, "-m", "backup", *arguments],
            env={name: value for name, value in environ.items() if value},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == code, done.stderr + done.stdout
        return done

    def made(self, also: Mapping[str, str] = _NOTHING) -> str:
        """Make a backup and return its id."""
        return str(json.loads(self("backup", "--json", also=also).stdout)["id"])


@pytest.fixture
def shop(pg18: Server, new_database: NewDatabase, tmp_path: Path) -> Shop:
    name = new_database(pg18)
    run(pg18, name, "CREATE TABLE orders AS SELECT 1 AS id; CREATE TABLE sessions AS SELECT 7 AS id")
    environ = {
        "PATH": f"{pg18.bin_dir}:{os.environ['PATH']}",
        "PGPROOF_DATABASE_URL": pg18.url(name),
        "PGPROOF_STORE": str(tmp_path / "store"),
        "HOME": str(tmp_path),
    }
    return Shop(server=pg18, name=name, store=tmp_path / "store", environ=environ)


def test_a_safety_backup_leaves_nothing_out_whatever_the_settings_say(shop: Shop) -> None:
    filters = {"PGPROOF_EXCLUDE_TABLE_DATA": "public.sessions"}
    wanted = shop.made(filters)
    restored = shop("restore", "latest", "--in-place", "--confirm", shop.name, also=filters)
    assert "left parts of the database out" in restored.stdout
    assert "left parts of the database out" in restored.stderr
    assert rows(shop.server, shop.name, "SELECT count(*) FROM sessions") == [(0,)]
    listed = json.loads(shop("list", "--json").stdout)["backups"]
    (safety,) = [each["id"] for each in listed if each["purpose"] == "safety"]
    assert safety != wanted
    shop("restore", safety, "--into", f"{shop.name}_safe")
    assert rows(shop.server, f"{shop.name}_safe", "SELECT id FROM sessions") == [(7,)]


def test_a_dry_run_says_that_a_backup_leaves_things_out(shop: Shop) -> None:
    shop.made({"PGPROOF_EXCLUDE_TABLES": "public.sessions"})
    assert "left parts of the database out" in shop("restore", "latest", "--dry-run").stdout
    done = shop("restore", "latest")
    assert (done.stdout + done.stderr).count("left parts of the database out") == 1


def test_a_database_without_a_backup_never_gets_that_of_another(shop: Shop) -> None:
    shop.made(_CRM)
    parts = {
        "PGPROOF_DATABASE_URL": "",
        "PGHOST": shop.server.host,
        "PGPORT": str(shop.server.port),
        "PGUSER": shop.server.superuser,
        "PGPASSWORD": shop.server.password,
    }
    assert "crm" in shop("restore", "latest", code=9, also={**parts, "PGDATABASE": shop.name}).stderr
    assert "--target" in shop("restore", "latest", code=2, also=parts).stderr
    shop("restore", "latest", "--into", f"{shop.name}_again", also={**parts, **_CRM})


def test_pgdatabase_names_the_target(shop: Shop) -> None:
    made = shop.made()
    shop.made(_CRM)
    found = shop(
        "show", "latest", "--json", also={"PGPROOF_DATABASE_URL": "", "PGHOST": "127.0.0.1", "PGDATABASE": shop.name}
    )
    assert json.loads(found.stdout)["id"] == made


def test_a_target_that_was_renamed_in_the_store_is_still_good(shop: Shop) -> None:
    made = shop.made()
    shutil.move(shop.store / shop.name, shop.store / "moved")
    shop("verify", made, also={"PGPROOF_TARGET": "moved"})
    shop("restore", made, "--into", f"{shop.name}_moved", also={"PGPROOF_TARGET": "moved"})
    assert rows(shop.server, f"{shop.name}_moved", "SELECT id FROM orders") == [(1,)]


def test_a_volume_that_leads_elsewhere_is_damage(shop: Shop) -> None:
    made = shop.made()
    manifest = shop.store / shop.name / made / "manifest.json"
    manifest.write_text(manifest.read_text().replace("dump.pgc.zst.000", "../../../etc/passwd"))
    assert "is damaged" in shop("verify", made, code=7).stderr


def test_verify_of_all_goes_on_behind_a_damaged_one_and_is_one_json_document(shop: Shop) -> None:
    damaged, good, other = shop.made(), shop.made(), shop.made(_CRM)
    volume = shop.store / shop.name / damaged / "dump.pgc.zst.000"
    volume.write_bytes(volume.read_bytes()[:-1])
    found = json.loads(shop("verify", "--all", "--json", code=7).stdout)
    assert [each["id"] for each in found["verified"]] == [good]
    assert [(each["id"], each["code"]) for each in found["failed"]] == [(damaged, "integrity_failed")]
    every = json.loads(shop("verify", "--all", "--json", code=7, also={"PGPROOF_DATABASE_URL": ""}).stdout)
    assert {each["id"] for each in every["verified"]} == {good, other}
    told = shop("verify", "--all", code=7)
    assert "DAMAGED" in told.stdout
    assert f"1 of 2 backups could not be verified: {damaged}" in told.stderr


def test_tables_and_the_other_server_may_be_named_in_the_environment(shop: Shop, tmp_path: Path) -> None:
    run(shop.server, shop.name, 'CREATE TABLE "order lines" AS SELECT 3 AS id')
    shop.made()
    address = tmp_path / "address"
    address.write_text(shop.server.url("postgres") + "\n")
    elsewhere = replace(shop, environ={**shop.environ, "PGPROOF_RESTORE_TARGET_URL_FILE": str(address)})
    elsewhere("restore", "latest", "--into", f"{shop.name}_t", also={"PGPROOF_RESTORE_TABLES": "orders,order lines"})
    assert rows(shop.server, f"{shop.name}_t", 'SELECT id FROM "order lines"') == [(3,)]
    assert rows(shop.server, f"{shop.name}_t", "SELECT count(*) FROM sessions") == [(0,)]


def test_a_warning_of_the_checks_is_told_and_the_manifest_names_no_table(shop: Shop) -> None:
    run(shop.server, shop.name, "CREATE ROLE ro; GRANT SELECT ON orders TO ro")
    try:
        limited = {"PGPROOF_EXCLUDE_TABLES": "public.sessions", "PGOPTIONS": "-c role=ro"}
        done = shop("backup", "--json", also=limited)
        assert "public.sessions" in done.stderr
        assert "sessions" not in done.stdout
    finally:
        run(shop.server, shop.name, "DROP OWNED BY ro; DROP ROLE ro")
