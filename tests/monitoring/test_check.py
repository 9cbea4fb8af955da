"""pgproof check: what is young enough, what is missed, and what cannot be told."""

from __future__ import annotations

from datetime import timedelta

from backup.domain.manifest import Status
from tests.monitoring.conftest import DAY, HOUR, Shelf
from tests.support.receiver import receiving

MINUTE = timedelta(minutes=1)


def test_a_young_backup_is_told_in_one_line(shelf: Shelf) -> None:
    shelf.put(5 * HOUR)
    shelf.put(70 * MINUTE)
    ended = shelf.pgproof("check", "--max-age", "2h")
    assert (ended.code, ended.stdout) == (0, f"ok: shop in {shelf.folder} is 1 h 10 min old\n")


def test_an_old_one_is_missed(shelf: Shelf) -> None:
    shelf.put(3 * HOUR)
    ended = shelf.pgproof("check", "--max-age", "2h")
    assert ended.code == 16
    assert ended.complaint == f"shop in {shelf.folder}: the newest complete backup is 3 h old, more than 2 h"


def test_where_there_is_none_it_is_missed_if_it_has_a_name_and_not_found_else(shelf: Shelf) -> None:
    named = shelf.pgproof("check", "--max-age", "2h", "--target", "shop", "--json")
    assert (named.code, named.error["message"]) == (16, f"shop in {shelf.folder}: there is no complete backup")
    assert named.result["backups"][0]["age_seconds"] is None
    assert shelf.pgproof("check", "--max-age", "2h").code == 9


def test_neither_a_suspect_backup_nor_one_that_a_restore_saved_counts(shelf: Shelf) -> None:
    shelf.put(3 * HOUR)
    shelf.put(HOUR, status=Status.SUSPECT)
    shelf.put(MINUTE, purpose="safety")
    assert shelf.pgproof("check", "--max-age", "2h").code == 16
    shelf.put(timedelta(seconds=10))
    assert shelf.pgproof("check", "--max-age", "2h").code == 0


def test_a_suspect_backup_that_was_accepted_counts(shelf: Shelf) -> None:
    made = shelf.put(HOUR, status=Status.SUSPECT)
    assert shelf.pgproof("accept", made.id, "--target", "shop").code == 0
    assert shelf.pgproof("check", "--max-age", "2h").code == 0


def test_how_lately_it_was_proven_can_matter_too(shelf: Shelf) -> None:
    old = shelf.put(9 * DAY)
    new = shelf.put(HOUR)
    asked = ("check", "--max-age", "2h", "--max-proven-age", "8d")
    assert shelf.pgproof(*asked).complaint.endswith(": none is proven")
    shelf.drill(old)
    assert shelf.pgproof(*asked).complaint.endswith("the newest proven one is 9 days old, more than 8 days")
    shelf.drill(new)
    ended = shelf.pgproof(*asked, "--json")
    assert ended.code == 0
    (said,) = ended.result["backups"]
    assert (said["fresh"], said["newest"], said["proven"]) == (True, new.id, new.id)
    assert 3600 <= said["age_seconds"] < 3700
    assert said["age_seconds"] == said["proven_age_seconds"]


def test_every_target_must_be_young_or_the_one_that_is_named(shelf: Shelf) -> None:
    shelf.put(HOUR)
    shelf.put(3 * HOUR, target="crm")
    ended = shelf.pgproof("check", "--max-age", "2h")
    assert (ended.code, ended.complaint.split(":")[0]) == (16, f"crm in {shelf.folder}")
    assert shelf.pgproof("check", "--max-age", "2h", "--target", "shop").code == 0


def test_of_several_stores_each_must_have_it_or_as_many_as_are_required(shelf: Shelf) -> None:
    other = shelf.beside("other")
    shelf.put(HOUR)
    both = {"PGPROOF_STORE": f"{shelf.folder},{other.folder}"}
    ended = shelf.pgproof("check", "--max-age", "2h", **both)
    assert (ended.code, ended.complaint) == (16, f"shop in {other.folder}: there is no complete backup")
    assert shelf.pgproof("check", "--max-age", "2h", PGPROOF_STORES_REQUIRED="1", **both).code == 0
    other.put(HOUR)
    assert shelf.pgproof("check", "--max-age", "2h", **both).code == 0


def test_of_a_store_that_is_down_nothing_can_be_told(shelf: Shelf) -> None:
    shelf.put(HOUR)
    gone = str(shelf.folder / "no" / "disk")
    ended = shelf.pgproof("check", "--max-age", "2h", PGPROOF_STORE=gone)
    assert ended.code == 6
    both = {"PGPROOF_STORE": f"{shelf.folder},{gone}"}
    assert shelf.pgproof("check", "--max-age", "2h", **both).code == 6
    assert shelf.pgproof("check", "--max-age", "2h", PGPROOF_STORES_REQUIRED="1", **both).code == 0
    assert shelf.pgproof("check", "--max-age", "2m", PGPROOF_STORES_REQUIRED="1", **both).code == 16


def test_a_length_of_time_that_is_none_is_a_mistake_of_the_command_line(shelf: Shelf) -> None:
    assert shelf.pgproof("check", "--max-age", "soon").code == 2
    assert shelf.pgproof("check").code == 2


def test_with_alert_whoever_is_told_of_runs_is_told_what_is_missed_and_else_nothing(shelf: Shelf) -> None:
    shelf.put(3 * HOUR)
    with receiving() as receiver:
        hook = {"PGPROOF_WEBHOOK_URL": receiver.url()}
        assert shelf.pgproof("check", "--max-age", "2h", **hook).code == 16
        assert shelf.pgproof("check", "--max-age", "4h", "--alert", **hook).code == 0
        assert receiver.messages == []
        assert shelf.pgproof("check", "--max-age", "2h", "--alert", "--target", "shop", **hook).code == 16
        (message,) = receiver.messages
    assert message.json["type"] == "backup.missed"
    data = message.json["data"]
    assert (data["target"], data["error"]["code"]) == ("shop", "backup_missed")
    assert data["backups"][0]["fresh"] is False


def test_with_alert_a_dead_webhook_is_a_warning(shelf: Shelf) -> None:
    shelf.put(3 * HOUR)
    ended = shelf.pgproof("check", "--max-age", "2h", "--alert", PGPROOF_WEBHOOK_URL="http://127.0.0.1:1/")
    assert ended.code == 16
    assert ended.stderr.count("not told") == 1


def test_whom_it_cannot_tell_is_found_out_while_all_is_well(shelf: Shelf) -> None:
    shelf.put(MINUTE)
    ended = shelf.pgproof("check", "--max-age", "2h", "--alert", PGPROOF_WEBHOOK_URL="https://host:0/pass-word")
    assert (ended.code, "pass-word" in ended.stderr) == (3, False), ended
