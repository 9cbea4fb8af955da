"""What prune leaves alone whatever the rules say: what is held, and what somebody is reading at this moment."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from backup.domain.marks import SHIELDS, Mark
from backup.stream.readers import BytesReader
from tests.care.conftest import DAY, MINUTE, Shop, keys_of, now, plant, reasons
from tests.failures.conftest import TARGET
from tests.failures.holding import Gate
from tests.fixtures.postgres import NewDatabase, Server

LAST = {"PGPROOF_RETENTION": "keep-last=1,min-proven=0"}


def test_what_is_held_stays_until_it_is_released(shop: Shop) -> None:
    (first,) = shop.ids()
    old, other = plant(shop.store, first, 3 * DAY, 5 * DAY)
    held = shop("hold", old, "--reason", "before the migration")
    assert held.code == 0, held
    assert held.result == {"id": old, "done": "held", "stores": [str(shop.folder)]}
    assert {each["id"]: each["held"] for each in shop.backups()} == {first: False, old: True, other: False}
    assert "held" in shop.pgproof("list").stdout
    assert reasons(shop.prune(**LAST)) == {first: "the newest complete one, keep-last 1", old: "held"}
    assert shop.ids() == [first, old]
    assert shop("release", old).code == 0
    assert not shop.backups()[1]["held"]
    shop.prune(**LAST)
    assert shop.ids() == [first]


def test_a_hold_says_why_and_may_be_said_again(shop: Shop) -> None:
    (first,) = shop.ids()
    for reason in ("first", "second"):
        assert shop("hold", "latest", "--reason", reason).code == 0
    mark = Mark.from_json((shop.of(first) / "hold.json").read_bytes(), where="hold.json")
    assert (mark.text, mark.until, abs(mark.time - now()) < MINUTE) == ("second", None, True)


def test_what_is_not_held_cannot_be_released_and_what_is_not_there_not_held(shop: Shop) -> None:
    ended = shop("release", "latest")
    assert (ended.code, "is not held" in ended.complaint) == (9, True)
    assert shop("hold", "20250101T000000Z").code == 9


def test_the_safety_backup_of_a_restore_is_held(own: Shop) -> None:
    first = own.back_up()
    own.run("DELETE FROM orders WHERE id > 5")
    done = own("restore", first, "--replace", "--confirm", own.database, "--jobs", "1")
    assert done.code == 0, done
    safety, plain = own.backups()
    assert (safety["purpose"], safety["held"], plain["id"], plain["held"]) == ("safety", True, first, False)
    last = own.back_up()
    assert reasons(own.prune(**LAST)) == {last: "the newest complete one, keep-last 1", safety["id"]: "held"}
    assert own.ids() == [last, safety["id"]]
    assert own("release", safety["id"]).code == 0
    own.prune(**LAST)
    assert own.ids() == [last]


@pytest.mark.parametrize("command", ["restore", "drill"])
def test_a_backup_that_is_being_read_is_not_pruned(
    shop: Shop, tmp_path: Path, pg18: Server, new_database: NewDatabase, command: str
) -> None:
    (first,) = shop.ids()
    old, other = plant(shop.store, first, 3 * DAY, 5 * DAY)
    gate = Gate(tmp_path / "gate", pg18.bin_dir, "pg_restore")
    options = {
        "restore": ("restore", old, "--into", new_database(pg18, name=f"{shop.database}_{command}") + "_2"),
        "drill": ("drill", old, "--on", shop.server.url()),
    }[command]
    with shop.pgproof.start(*options, "--json", PGPROOF_PG_BIN=str(gate.folder)) as running:
        running.wait_for(gate.is_reached)
        done = shop.prune(**LAST)
        assert reasons(done)[old] == "being read"
        assert shop.ids() == [first, old]
        assert not shop.of(other).exists()
        gate.open()
        ended = running.finish()
    assert ended.code == 0, ended
    assert keys_of(shop.store, f"{TARGET}/{old}/{SHIELDS}/") == []
    shop.prune(**LAST)
    assert shop.ids() == [first]


@pytest.mark.parametrize(
    ("shield", "keeps"), [(MINUTE, True), (-MINUTE, False), (None, True)], ids=["valid", "expired", "damaged"]
)
def test_a_shield_keeps_a_backup_until_it_expires_and_one_that_cannot_be_read_does_too(
    shop: Shop, shield: timedelta | None, *, keeps: bool
) -> None:
    (first,) = shop.ids()
    (old,) = plant(shop.store, first, 3 * DAY)
    mark = b"{" if shield is None else Mark(time=now(), until=now() + shield).to_json()
    shop.store.put(f"{TARGET}/{old}/{SHIELDS}/0123456789abcdef.json", BytesReader(mark))
    assert (old in reasons(shop.prune(**LAST))) is keeps
    assert shop.of(old).exists() is keeps
