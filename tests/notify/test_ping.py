"""The dead-man ping, as the service behind it sees it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from backup.domain.events import EventType
from backup.notify.ping import Ping
from tests.support.receiver import Receiver, receiving
from tests.support.run_events import RUN, an_event


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.mark.parametrize(
    ("type_", "path"),
    [
        ("backup.started", "/P1ng/start"),
        ("backup.succeeded", "/P1ng"),
        ("backup.failed", "/P1ng/fail"),
        ("backup.suspect", "/P1ng/fail"),
        ("backup.incomplete", "/P1ng/fail"),
        ("notify.test", "/P1ng/log"),
    ],
)
def test_each_event_has_its_address_and_start_and_end_have_the_same_run(
    receiver: Receiver, type_: EventType, path: str
) -> None:
    Ping(receiver.url("/P1ng")).tell(an_event(type_), within=5)
    (message,) = receiver.messages
    assert message.line == f"POST {path}?rid={RUN} HTTP/1.1"


def test_what_is_escaped_in_the_address_stays_so(receiver: Receiver) -> None:
    Ping(receiver.url("/P%2F1?key=ab")).tell(an_event("backup.failed"), within=5)
    assert receiver.messages[0].line == f"POST /P%2F1/fail?key=ab&rid={RUN} HTTP/1.1"


def test_a_failure_brings_the_end_of_the_log_and_is_cut_where_it_is_too_long(receiver: Receiver) -> None:
    lines = tuple(f"line {n} {'x' * 100}" for n in range(500))
    Ping(receiver.url("/P1ng")).tell(replace(an_event("backup.failed"), log=lines), within=5)
    said = receiver.messages[0].body
    assert len(said) == 10_000
    assert said.endswith(b"line 499 " + b"x" * 100)


def test_what_is_no_backup_and_what_the_service_finds_out_itself_is_not_told() -> None:
    ping = Ping("https://ping.test/P1ng")
    assert not [each for each in ("restore.failed", "drill.failed", "prune.failed") if ping.wants(each)]
    assert not ping.wants("backup.missed")
