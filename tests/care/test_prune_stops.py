"""When nothing at all is deleted: while something is wrong with the newest run, or with the clock."""

from __future__ import annotations

from backup.domain.ids import BackupId
from backup.domain.manifest import MANIFEST_NAME, Manifest
from backup.domain.marks import FAILED, Mark
from backup.stream.readers import BytesReader
from tests.care.conftest import DAY, HOUR, MINUTE, Shop, keys_of, now, plant, reasons
from tests.failures.conftest import TARGET

LAST = {"PGPROOF_RETENTION": "keep-last=1,min-proven=0"}


def test_after_a_run_that_failed_nothing_is_deleted_and_list_warns(shop: Shop) -> None:
    (first,) = shop.ids()
    old = plant(shop.store, first, 3 * DAY, 5 * DAY)
    wrong = shop("backup", PGPROOF_DATABASE_URL=shop.server.url(shop.database, password="wrong", user="postgres"))
    assert wrong.code == 14, wrong
    (note,) = [key for key in keys_of(shop.store) if key.endswith(FAILED)]
    failed = note.split("/")[1]
    mark = Mark.from_json(shop.folder.joinpath(note).read_bytes(), where=note)
    assert (mark.exit_code, mark.text != "") == (14, True)
    before = keys_of(shop.store)
    done = shop.prune(**LAST)
    assert done["stopped"] == f"the newest run, {failed}, failed"
    assert keys_of(shop.store) == before
    listed = shop("list")
    assert [each["id"] for each in listed.result["backups"]] == [first, *old]
    assert listed.stderr.count("the newest run failed") == 1
    assert failed in listed.stderr
    (run,) = shop("list", "--json").result["failed_runs"]
    assert (run["id"], run["target"], run["reason"]) == (failed, "shop", mark.text)
    last = shop.back_up(**LAST)
    assert shop.ids() == [last]
    assert "failed" not in shop("list").stderr


def test_a_failed_run_says_nothing_of_the_password(shop: Shop) -> None:
    url = shop.server.url(shop.database, password="not-the-word", user="postgres")
    assert shop("backup", PGPROOF_DATABASE_URL=url).code == 14
    (note,) = shop.folder.rglob(FAILED)
    assert b"not-the-word" not in note.read_bytes()


def test_while_a_newer_run_has_not_come_to_its_end_nothing_is_deleted(shop: Shop) -> None:
    (first,) = shop.ids()
    (old,) = plant(shop.store, first, 3 * DAY)
    begun = str(BackupId.at(now()))
    shop.store.put(f"{TARGET}/{begun}/dump.pgc.zst.000", BytesReader(b"part"))
    assert shop.prune(**LAST)["stopped"] == f"the newest run, {begun}, has not come to its end"
    assert shop.ids() == [first, old]


def test_while_the_clock_stands_before_the_newest_run_nothing_is_deleted_and_it_is_said_once(shop: Shop) -> None:
    (first,) = shop.ids()
    old = plant(shop.store, first, 3 * DAY, 5 * DAY)
    (ahead,) = plant(shop.store, first, -HOUR)
    done = shop("prune", **LAST)
    (pruning,) = done.result["prunings"]
    assert pruning["stopped"] == f"the clock went backwards: {ahead} lies ahead; delete it if its clock was wrong"
    assert reasons(pruning, keep=False) == {}
    assert done.stderr.count("the clock went backwards") == 1
    assert shop.pgproof("prune", **LAST).stdout.count(f"nothing is deleted: the clock went backwards: {ahead}") == 1
    made = shop("backup", **LAST)
    assert made.code == 0, made
    assert made.stderr.count("the clock went backwards") == 1
    assert shop.ids() == [ahead, made.result["id"], first, *old]


def test_a_clock_that_is_an_hour_fast_deletes_nothing_that_the_right_one_would_keep(shop: Shop) -> None:
    """Ages count from the newest backup: the clock of whoever prunes does not matter."""
    (first,) = shop.ids()
    kept, gone = plant(shop.store, first, 24 * HOUR - 10 * MINUTE, 25 * HOUR)
    plan = shop.prune("--dry-run")
    assert (kept in reasons(plan), gone in reasons(plan)) == (True, False)


def test_while_the_newest_backup_cannot_be_read_nothing_is_deleted(shop: Shop) -> None:
    (first,) = shop.ids()
    (old,) = plant(shop.store, first, 3 * DAY)
    (shop.of(first) / MANIFEST_NAME).write_bytes(b"{")
    done = shop("prune", **LAST)
    assert done.result["prunings"][0]["stopped"] == f"the newest backup, {first}, is unreadable"
    assert done.stderr.count("this backup cannot be used") == 1
    assert shop.of(old).exists()


def test_while_the_newest_backup_is_degraded_nothing_is_deleted(shop: Shop) -> None:
    (first,) = shop.ids()
    (old,) = plant(shop.store, first, 3 * DAY)
    path = shop.of(first) / MANIFEST_NAME
    path.write_bytes(path.read_bytes().replace(b'"status": "complete"', b'"status": "degraded"'))
    assert Manifest.from_json(path.read_bytes(), where="it").status == "degraded"
    assert shop.prune(**LAST)["stopped"] == f"the newest backup, {first}, is degraded"
    assert shop.of(old).exists()


def test_with_retention_off_nothing_is_deleted(shop: Shop) -> None:
    (first,) = shop.ids()
    old = plant(shop.store, first, 300 * DAY, 900 * DAY)
    made = shop.back_up(PGPROOF_RETENTION="off")
    assert shop.ids() == [made, first, *old]


def test_where_no_new_backups_are_made_none_is_deleted_however_long_that_goes_on(shop: Shop) -> None:
    (first,) = shop.ids()
    plant(shop.store, first, 300 * DAY, 300 * DAY + 20 * HOUR, 300 * DAY + 30 * HOUR, to=shop.store, target="gone")
    done = shop.prune(PGPROOF_TARGET="gone")
    assert [each["keep"] for each in done["runs"]] == [True, True, False]


def test_a_target_without_any_run_is_9_for_it_may_be_a_mistake_in_its_name(shop: Shop) -> None:
    ended = shop("prune", PGPROOF_TARGET="nobody")
    assert (ended.code, "nothing of nobody" in ended.complaint) == (9, True)
