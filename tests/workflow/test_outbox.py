"""Messages that wait in the store: sent once by a later run, in order, to those who missed them, and not for ever."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from backup.domain.events import RunEvent
from backup.errors import NotificationRefused, StoreUnreachable
from backup.ports import StoredObject
from backup.stream.readers import ByteReader, BytesReader
from backup.workflow.announce import announce
from backup.workflow.outbox import LONGEST, MOST, Outbox
from tests.contracts.memory_notifier import MemoryNotifier
from tests.contracts.memory_store import MemoryStore
from tests.support.run_events import TIME, an_event


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


class Dead(MemoryStore):
    """One that does not answer."""

    def put(self, key: str, _data: ByteReader, /, *, new: bool = False) -> StoredObject:  # noqa: ARG002 -- dead
        raise StoreUnreachable(f"{key} cannot be stored")

    def list(self, prefix: str, /) -> Iterator[StoredObject]:
        raise StoreUnreachable(f"{prefix} cannot be listed")


def keys(store: MemoryStore) -> list[str]:
    return [stored.key for stored in store.list("")]


def event(minutes: int = 0) -> RunEvent:
    return replace(an_event("backup.failed", text=f"shop: {minutes}"), time=TIME + timedelta(minutes=minutes))


def deaf_and_well(name: str = "memory") -> tuple[MemoryNotifier, MemoryNotifier]:
    """One that hears nothing, and the same in a later run."""
    deaf, well = MemoryNotifier(name=name), MemoryNotifier(name=name)
    deaf.go_deaf()
    return deaf, well


def test_what_was_not_heard_is_sent_by_the_next_run_before_its_own_with_the_same_id_and_once(
    store: MemoryStore,
) -> None:
    deaf, well = deaf_and_well()
    outbox = Outbox([store], "shop")
    first, second, third = event(0), event(60), event(120)
    for each in (first, second):
        announce(each, [deaf], within=5, outbox=outbox)
    assert len(keys(store)) == 2
    announce(third, [well], within=5, outbox=outbox)
    assert [each.id for each in well.heard] == [first.id, second.id, third.id]
    assert well.heard[0] == first
    assert keys(store) == []
    announce(event(180), [well], within=5, outbox=outbox)
    assert len(well.heard) == 4


def test_only_those_who_missed_it_get_it_later(store: MemoryStore) -> None:
    deaf, well = deaf_and_well("mail")
    chat = MemoryNotifier(name="chat")
    outbox = Outbox([store], "shop")
    announce(event(0), [deaf, chat], within=5, outbox=outbox)
    announce(event(60), [well, chat], within=5, outbox=outbox)
    assert [each.text for each in well.heard] == [each.text for each in chat.heard] == ["shop: 0", "shop: 60"]


def test_one_that_still_does_not_hear_is_tried_once_and_all_of_it_goes_on_waiting(store: MemoryStore) -> None:
    deaf, well = deaf_and_well()
    outbox = Outbox([store], "shop")
    for minutes in range(3):
        announce(event(minutes), [deaf], within=5, outbox=outbox)
    assert len(deaf.limits) == 3  # in each run once: what waits first, and then nothing more
    announce(event(9), [well], within=5, outbox=outbox)
    assert [each.text for each in well.heard] == ["shop: 0", "shop: 1", "shop: 2", "shop: 9"]


def test_one_that_refuses_a_message_still_gets_the_newer_ones(store: MemoryStore) -> None:
    picky = MemoryNotifier(NotificationRefused("memory: not this one"))
    outbox = Outbox([store], "shop")
    announce(event(0), [picky], within=5, outbox=outbox)

    class Picky(MemoryNotifier):
        def tell(self, event: RunEvent, /, *, within: float) -> None:
            if event.text == "shop: 0":
                raise NotificationRefused("memory: not this one")
            super().tell(event, within=within)

    later = Picky()
    announce(event(60), [later], within=5, outbox=outbox)
    assert [each.text for each in later.heard] == ["shop: 60"]
    assert len(keys(store)) == 1


def test_what_is_for_nobody_any_more_goes(store: MemoryStore) -> None:
    deaf, _ = deaf_and_well("mail")
    outbox = Outbox([store], "shop")
    announce(event(0), [deaf], within=5, outbox=outbox)
    announce(event(60), [MemoryNotifier(name="chat")], within=5, outbox=outbox)
    assert keys(store) == []


def test_it_is_bounded_in_number_and_in_time(store: MemoryStore, capsys: pytest.CaptureFixture[str]) -> None:
    outbox = Outbox([store], "shop")
    for minutes in range(MOST + 5):
        outbox.keep(event(minutes), ["memory"])
    well = MemoryNotifier()
    announce(event(MOST + 10), [well], within=5, outbox=outbox)
    assert [each.text for each in well.heard[:1]] == ["shop: 5"]
    assert "given up messages that waited count=5" in capsys.readouterr().err
    outbox.keep(event(0), ["memory"])
    late = replace(event(0), time=datetime.now(UTC) + LONGEST + timedelta(minutes=1))
    announce(late, [well], within=5, outbox=outbox)
    assert keys(store) == []
    assert len(well.heard) == MOST + 2


def test_with_several_stores_the_first_that_answers_keeps_it_and_all_are_looked_at(store: MemoryStore) -> None:
    deaf, well = deaf_and_well()
    announce(event(0), [deaf], within=5, outbox=Outbox([Dead(), store], "shop"))
    assert len(keys(store)) == 1
    announce(event(60), [well], within=5, outbox=Outbox([Dead(), store], "shop"))
    assert [each.text for each in well.heard] == ["shop: 0", "shop: 60"]


def test_a_message_that_cannot_be_read_is_told_and_does_not_stop_the_others(
    store: MemoryStore, capsys: pytest.CaptureFixture[str]
) -> None:
    outbox = Outbox([store], "shop")
    store.put("shop/outbox/20260101T000000.000000Z-msg_x.json", BytesReader(b"{"))
    outbox.keep(event(0), ["memory"])
    well = MemoryNotifier()
    announce(event(60), [well], within=5, outbox=outbox)
    assert [each.text for each in well.heard] == ["shop: 0", "shop: 60"]
    assert "a message that waits cannot be read" in capsys.readouterr().err
    assert len(keys(store)) == 1  # it may be of a newer pgproof


def test_letters_that_are_none_are_kept_as_question_marks_and_a_bug_of_the_store_is_a_warning(
    store: MemoryStore, capsys: pytest.CaptureFixture[str]
) -> None:
    deaf, well = deaf_and_well()
    outbox = Outbox([store], "shop")
    announce(replace(event(0), text="a path \udcff"), [deaf], within=5, outbox=outbox)
    announce(event(60), [well], within=5, outbox=outbox)
    assert [each.text for each in well.heard] == ["a path ?", "shop: 60"]

    class Broken(MemoryStore):
        def list(self, prefix: str, /) -> Iterator[StoredObject]:
            raise RuntimeError(prefix)

    announce(event(120), [well], within=5, outbox=Outbox([Broken()], "shop"))
    assert well.heard[-1].text == "shop: 120"
    assert "by a bug: please report it" in capsys.readouterr().err


def test_while_there_is_no_time_for_all_that_waits_the_newest_is_told_all_the_same(store: MemoryStore) -> None:
    class Slow(MemoryNotifier):
        def tell(self, event: RunEvent, /, *, within: float) -> None:
            super().tell(event, within=within)
            time.sleep(0.3)

    outbox = Outbox([store], "shop")
    for minutes in range(10):
        outbox.keep(event(minutes), ["memory"])
    slow = Slow()
    announce(event(60), [slow], within=2, outbox=outbox)
    told = [each.text for each in slow.heard]
    assert told[0] == "shop: 0"
    assert told[-1] == "shop: 60"
    assert 3 <= len(told) < 8


def test_in_a_store_of_encrypted_backups_it_names_nothing_but_what_manifests_name(store: MemoryStore) -> None:
    deaf, _ = deaf_and_well()
    error = {"code": "dump_failed", "message": "users is locked", "detail": "users", "hint": "users", "exit_code": 5}
    told = replace(
        event(0), text="users is locked", error=error, log=("users",), facts={"restore": {"notes": ["users"]}}
    )
    announce(told, [deaf], within=5, outbox=Outbox([store], "shop", confidential=True))
    (key,) = keys(store)
    with store.open(key) as reader:
        kept = reader.read(1 << 20).decode()
    assert "users" not in kept
    assert '"code": "dump_failed"' in kept
    assert '"exit_code": 5' in kept
