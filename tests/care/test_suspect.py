"""A suspect backup through the command: stored, marked, told, passed over, until it is accepted."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from backup.demo.s3_server import S3Server
from backup.domain.marks import ACCEPTED, Mark
from tests.care.conftest import DAY, HOUR, ROWS, Shop, all_of, keys_of, make_old, moment_of, now, plant
from tests.failures.conftest import TARGET, s3_environ
from tests.fixtures.s3 import s3_store
from tests.support.command import Finished
from tests.support.receiver import receiving

LOSE = f"DELETE FROM orders WHERE id > {ROWS // 3}"


@pytest.fixture
def regular(own: Shop, made_once: Shop) -> Shop:
    """Three backups, of three days; the oldest is one that retention would not keep."""
    shutil.copytree(made_once.folder, own.folder)  # of another database, with the same in it
    (first,) = own.ids()
    plant(own.store, first, 20 * HOUR, 3 * DAY)
    return own


def suspected(shop: Shop, **changes: str | None) -> tuple[str, Finished]:
    """Make a backup that must be suspect; its id, and how that ended."""
    ended = shop("backup", **changes)
    assert (ended.code, ended.error["code"], ended.error["retryable"]) == (12, "backup_suspect", False), ended
    return ended.complaint.split()[0], ended


def test_a_backup_of_a_database_that_lost_its_rows_is_stored_marked_and_told_and_nothing_is_deleted(
    regular: Shop,
) -> None:
    before = regular.ids()
    regular.run(LOSE)
    with receiving() as receiver:
        suspect, ended = suspected(regular, PGPROOF_WEBHOOK_URL=receiver.url())
    assert "is stored, but suspect" in ended.complaint
    assert "1 large table lost most of its rows" in ended.complaint
    assert f"accept {suspect}" in ended.hint
    assert f"rows public.orders: expected {ROWS:,}, found {ROWS // 3:,}" in ended.stderr
    (message,) = receiver.messages
    assert message.json["type"] == "backup.suspect"
    assert suspect in str(message.json["data"])
    newest, *others = regular.backups()
    assert (newest["id"], newest["status"]) == (suspect, "suspect")
    assert [each["id"] for each in others] == before
    assert regular("verify", suspect).code == 0
    done = regular.prune(PGPROOF_RETENTION="keep-last=1")
    assert done["stopped"] == f"the newest backup, {suspect}, is suspect"
    assert regular.ids() == [suspect, *before]


def test_latest_does_not_mean_a_suspect_backup_and_says_so(regular: Shop) -> None:
    (first, *_) = regular.ids()
    regular.run("TRUNCATE orders")
    suspect, _ = suspected(regular)
    shown = regular("show", "latest")
    assert shown.result["id"] == first
    assert shown.stderr.count("passed over a newer backup") == 1
    assert suspect in shown.stderr
    assert regular("show", suspect).result["status"] == "suspect"
    drift = regular("show", suspect, "--against", "latest").result["differences"]
    assert ("rows", "public.orders") in {(each["kind"], each["name"]) for each in drift}


def test_once_it_is_accepted_it_counts_and_later_ones_are_measured_by_it(regular: Shop) -> None:
    oldest = regular.ids()[-1]
    regular.run(LOSE)
    suspect, _ = suspected(regular)
    stored = all_of(regular.store)
    done = regular("accept", suspect, "--reason", "archived last year's orders")
    assert done.code == 0, done
    assert done.result == {"id": suspect, "done": "accepted", "stores": [str(regular.folder)]}
    key = f"{TARGET}/{suspect}/{ACCEPTED}"
    mark = Mark.from_json((regular.folder / key).read_bytes(), where=key)
    assert mark.text == "archived last year's orders"
    assert {name: data for name, data in all_of(regular.store).items() if name != key} == stored
    assert regular.backups()[0]["accepted"]
    assert "suspect, accepted" in regular.pgproof("list").stdout
    latest = regular("show", "latest")
    assert (latest.result["id"], latest.stderr) == (suspect, "")
    made = regular.back_up()
    assert not regular.of(oldest).exists()
    assert regular.ids()[:2] == [made, suspect]
    regular.run("TRUNCATE customers")
    regular.run("DELETE FROM orders WHERE id > 1")
    suspected(regular)


def test_a_suspect_one_that_was_not_accepted_does_not_become_what_is_usual(regular: Shop) -> None:
    regular.run(LOSE)
    found = [suspected(regular)[0] for _ in range(3)]
    assert regular.ids()[:3] == found[::-1]


def test_what_is_accepted_is_so_in_every_store_that_has_it(
    own: Shop, s3_server: S3Server, bucket: str, tmp_path: Path
) -> None:
    both = {**s3_environ(s3_server, bucket), "PGPROOF_STORE": f"{own.folder},s3://{bucket}"}
    first = own.back_up(**both)
    cloud = s3_store(s3_server, bucket)
    plant(own.store, first, 2 * HOUR, 3 * HOUR)
    own.run(LOSE)
    suspect, _ = suspected(own, **both)
    done = own("accept", suspect, **both)
    assert done.result["stores"] == [str(own.folder), f"s3://{bucket}"]
    key = f"{TARGET}/{suspect}/{ACCEPTED}"
    assert key in keys_of(own.store)
    assert key in keys_of(cloud)
    own.back_up(**both)
    third = {**both, "PGPROOF_STORE": f"{tmp_path / 'empty'},{own.folder}"}
    assert own("accept", suspect, **third).result["stores"] == [str(own.folder)]


def test_only_a_suspect_backup_can_be_accepted(shop: Shop) -> None:
    (first,) = shop.ids()
    before = keys_of(shop.store)
    ended = shop("accept", first)
    assert (ended.code, "is complete, not suspect" in ended.complaint) == (2, True)
    assert shop("accept", "20250101T000000Z").code == 9
    assert keys_of(shop.store) == before


def test_the_first_three_backups_of_a_target_are_not_suspect_whatever_they_hold(own: Shop) -> None:
    first = own.back_up()
    plant(own.store, first, 2 * HOUR)
    own.run("TRUNCATE orders")
    own.back_up()
    assert [each["status"] for each in own.backups()] == ["complete"] * 3


@pytest.mark.parametrize(
    "setting",
    [
        {"PGPROOF_GUARD_SHRINK": "100"},
        {"PGPROOF_GUARD_SHRINK": "99", "PGPROOF_GUARD_IGNORE": "public.ord*"},
        {"PGPROOF_GUARD_SHRINK": "95", "PGPROOF_PROOF": "off"},
    ],
    ids=["any shrinking", "the table is ignored", "the size alone"],
)
def test_a_target_whose_size_is_legitimately_jumping_can_be_told_so(regular: Shop, setting: dict[str, str]) -> None:
    regular.run("DELETE FROM orders WHERE id > 200")
    regular.back_up(**setting)
    suspected(regular, PGPROOF_GUARD_SHRINK="80")


def test_without_a_proof_the_size_of_the_dump_still_tells(regular: Shop) -> None:
    regular.run("TRUNCATE orders")
    suspect, ended = suspected(regular, PGPROOF_PROOF="off")
    assert "its dump has" in ended.complaint
    assert regular("show", suspect).result["proof"] is None


def test_a_filter_that_leaves_most_of_it_out_for_the_first_time_is_suspect_until_it_is_accepted(regular: Shop) -> None:
    few = {"PGPROOF_EXCLUDE_TABLE_DATA": "orders", "PGPROOF_RETENTION": "off"}
    mistake = regular("backup", **few)
    assert (mistake.code, mistake.result["filtered"]) == (12, True)
    assert regular("accept", mistake.result["id"]).code == 0
    regular.back_up(**few)
    regular.back_up()  # all of it again is no loss


def test_retention_that_keeps_one_does_not_put_the_guard_out(regular: Shop) -> None:
    one = {"PGPROOF_RETENTION": "keep-last=1"}
    last = regular.back_up(**one)
    assert regular.ids() == [last]
    regular.run("TRUNCATE orders")
    suspect_id, _ = suspected(regular, **one)
    assert regular.ids() == [suspect_id, last]


def test_a_safety_backup_is_never_suspect(regular: Shop) -> None:
    first = regular.back_up()
    regular.run("TRUNCATE orders")
    done = regular("restore", first, "--replace", "--confirm", regular.database)
    assert done.code == 0, done
    safety, *_ = regular.backups()
    assert (safety["purpose"], safety["status"]) == ("safety", "complete")
    regular.back_up()


def test_an_earlier_backup_that_cannot_be_read_does_not_put_the_guard_out(regular: Shop) -> None:
    first, *_ = regular.ids()
    plant(regular.store, first, 5 * HOUR)
    (regular.of(first) / "manifest.json").write_bytes(b"{")
    regular.run("TRUNCATE orders")
    suspected(regular)


def test_an_earlier_proof_that_cannot_be_read_does_not_put_the_guard_out(regular: Shop) -> None:
    first, *_ = regular.ids()
    next(regular.of(first).glob("proof.*")).write_bytes(b"damaged")
    regular.run("TRUNCATE orders")
    _, ended = suspected(regular)
    assert "1 large table lost most of its rows" in ended.complaint
    assert ended.stderr.count("does without the proof of an earlier backup") == 1


@pytest.mark.parametrize("order", ["new first", "new last", "dead first"])
def test_whichever_store_has_the_earlier_backups_the_guard_finds_them(
    regular: Shop, tmp_path: Path, order: str
) -> None:
    new = str(tmp_path / "not-mounted" / "store") if order == "dead first" else str(tmp_path / "new")
    stores = (str(regular.folder), new) if order == "new last" else (new, str(regular.folder))
    regular.run("TRUNCATE orders")
    suspected(regular, PGPROOF_STORE=",".join(stores))


def test_old_backups_are_measured_by_their_ids_and_not_by_when_they_were_written(regular: Shop) -> None:
    first, *others = regular.ids()
    for number, backup in enumerate(others):
        make_old(regular.of(backup), number * DAY)
    assert moment_of(first) <= now()
    regular.run(LOSE)
    suspected(regular)
