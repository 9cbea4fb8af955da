"""What is easily overlooked: notes without names, drills and copies among several stores, what a prune cannot read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backup.domain.marks import FAILED, Mark
from backup.stores.directory import DirectoryStore
from backup.stream.readers import BytesReader
from tests.care.conftest import DAY, HOUR, Shop, moment_of, now, plant, reasons
from tests.failures.conftest import TARGET
from tests.fixtures.postgres import NewRole


def test_the_note_of_a_failed_run_says_its_kind_and_no_name(own: Shop, new_role: NewRole) -> None:
    role = new_role(own.server)
    own.run(f"CREATE TABLE payroll (id int); GRANT CONNECT ON DATABASE {own.database} TO {role.name}")
    url = own.server.url(own.database, user=role.name, password=role.password)
    ended = own("backup", PGPROOF_DATABASE_URL=url)
    assert (ended.code, "payroll" in ended.stderr) == (14, True)
    (note,) = own.folder.rglob(FAILED)
    said = Mark.from_json(note.read_bytes(), where="it")
    assert (said.text, said.exit_code) == ("access denied", 14)
    assert "payroll" not in note.read_text()


def test_a_drill_is_known_in_every_store_that_has_the_very_same_backup(shop: Shop, tmp_path: Path) -> None:
    (first,) = shop.ids()
    second, third = DirectoryStore(tmp_path / "second"), DirectoryStore(tmp_path / "third")
    plant(shop.store, first, now() - moment_of(first), to=second)
    plant(shop.store, first, 2 * HOUR, to=third)
    stores = {"PGPROOF_STORE": f"{shop.folder},{second.url},{third.url}"}
    assert shop("drill", first, **stores).code == 0
    known = {
        each["store"]: each["drill"] and each["drill"]["verdict"] for each in shop("list", **stores).result["backups"]
    }
    assert known == {str(shop.folder): "proven", second.url: "proven", third.url: None}


def test_what_a_drill_says_of_damaged_bytes_is_said_of_one_store_alone(shop: Shop, tmp_path: Path) -> None:
    (first,) = shop.ids()
    second = DirectoryStore(tmp_path / "second")
    plant(shop.store, first, now() - moment_of(first), to=second)
    stores = {"PGPROOF_STORE": f"{shop.folder},{second.url}"}
    assert shop("drill", first, **stores).code == 0
    next(shop.of(first).glob("dump.*")).write_bytes(b"rotten")
    assert shop("drill", first, **stores).code == 7
    assert shop("show", "latest-proven", PGPROOF_STORE=second.url).code == 0
    assert shop("show", "latest-proven").code == 9


def test_an_old_backup_whose_manifest_cannot_be_read_is_kept_and_told(shop: Shop) -> None:
    (first,) = shop.ids()
    newer_format, plain = plant(shop.store, first, 3 * DAY, 4 * DAY)
    manifest = shop.of(newer_format) / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": 99}))
    planned = shop.prune("--dry-run")
    assert reasons(planned, keep=False).keys() == {plain}
    done = shop.prune()
    assert reasons(done, keep=False).keys() == {plain}
    assert reasons(done)[newer_format] == "its manifest cannot be read"
    assert manifest.exists()


def test_a_copy_that_the_other_store_would_not_keep_is_told_and_can_be_held(shop: Shop, tmp_path: Path) -> None:
    (first,) = shop.ids()
    old, older = plant(shop.store, first, 40 * DAY, 50 * DAY)
    cloud = DirectoryStore(tmp_path / "cloud")
    stores = {"PGPROOF_STORE": f"{shop.folder},{cloud.url}"}
    assert shop("copy", first, "--to", cloud.url, **stores).stderr.count("does not keep") == 0
    told = shop("copy", older, "--to", cloud.url, **stores)
    assert (told.code, told.stderr.count("does not keep what was copied")) == (0, 1)
    held = shop("copy", old, "--to", cloud.url, "--hold", **stores)
    assert (held.code, held.stderr.count("does not keep what was copied")) == (0, 0)
    assert shop("prune", "--store", cloud.url, **stores).code == 0
    assert {path.name for path in (Path(cloud.url) / TARGET).iterdir()} == {first, old}


def test_a_safety_backup_that_too_few_stores_hold_stops_the_restore_before_it_overwrites(
    own: Shop, tmp_path: Path
) -> None:
    made = own.back_up()
    own.run("DELETE FROM orders")
    lost = tmp_path / "not" / "mounted"
    stores = {"PGPROOF_STORE": f"{own.folder},{lost}"}
    ended = own("restore", made, "--in-place", "--confirm", own.database, **stores)
    assert (ended.code, f"{lost} does not have it" in ended.complaint) == (8, True)
    assert ended.complaint.startswith("nothing was restored: the safety backup ")
    with own.server.connect(own.database) as connection:
        assert connection.execute("SELECT count(*) FROM orders").fetchone() == (0,)


@pytest.mark.parametrize("harm", ["missing", "cut"])
def test_while_the_newest_backup_lacks_bytes_nothing_is_deleted(shop: Shop, harm: str) -> None:
    (first,) = shop.ids()
    old = plant(shop.store, first, 3 * DAY, 4 * DAY)
    dump = next(shop.of(first).glob("dump.*"))
    if harm == "missing":
        dump.unlink()
    else:
        dump.write_bytes(b"cut")
    done = shop.prune("--retention", "keep-last=1")
    assert done["stopped"] == f"the newest backup, {first}, is damaged"
    assert set(reasons(done)) == {first, *old}


def test_a_proven_backup_that_lacks_bytes_takes_no_other_proven_one_s_place(shop: Shop) -> None:
    (first,) = shop.ids()
    assert shop("drill", first).code == 0
    broken, whole = plant(shop.store, first, 3 * DAY, 4 * DAY)
    next(shop.of(broken).glob("dump.*")).unlink()
    for drill in shop.of(first).glob("drills/*"):
        drill.unlink()
    done = shop.prune()
    assert reasons(done)[whole] == "proven 1"


def test_while_the_newest_backup_is_disproved_nothing_is_deleted(shop: Shop) -> None:
    (first,) = shop.ids()
    plant(shop.store, first, 3 * DAY)
    dump = next(shop.of(first).glob("dump.*"))
    data = bytearray(dump.read_bytes())
    data[len(data) // 2] ^= 255
    dump.write_bytes(data)
    assert shop("drill", first).code == 7
    assert shop.prune()["stopped"] == f"the newest backup, {first}, is disproved by a drill"


def test_a_backup_whose_drill_cannot_be_read_is_kept(shop: Shop) -> None:
    (first,) = shop.ids()
    (old,) = plant(shop.store, first, 3 * DAY)
    shop.store.put(f"{TARGET}/{old}/drills/20261123T043000.000001Z.json", BytesReader(b"{"))
    assert reasons(shop.prune())[old] == "the result of a drill cannot be read"


def test_a_copy_that_lost_a_part_is_made_whole_by_copying_again(shop: Shop, tmp_path: Path) -> None:
    (first,) = shop.ids()
    second = DirectoryStore(tmp_path / "second")
    stores = {"PGPROOF_STORE": f"{shop.folder},{second.url}"}
    assert shop("copy", first, "--to", second.url, **stores).code == 0
    next(Path(second.url).rglob("dump.*")).unlink()
    assert shop("copy", first, "--to", second.url, **stores).code == 0
    assert shop("verify", first, PGPROOF_STORE=second.url).code == 0
