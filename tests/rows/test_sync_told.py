"""How a sync ended is told as a backup's end is: to the webhook, to chat, and in the last words of a pod."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.rows.test_sync import Pair, contents, pair
from tests.support.command import Command
from tests.support.receiver import Receiver, receiving

__all__ = ["pair"]
"""A fixture of another module."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def telling(pair: Pair, receiver: Receiver) -> Command:
    return pair.run.changed(
        PGPROOF_TARGET="shop",
        PGPROOF_WEBHOOK_URL=receiver.url("/T0ken-of-the-path"),
        PGPROOF_TERMINATION_LOG=str(pair.run.home / "outcome"),
    )


def told(receiver: Receiver) -> list[dict[str, Any]]:
    return [message.json for message in receiver.messages]


def test_a_sync_is_told_with_what_changed_and_without_names_or_passwords(pair: Pair, receiver: Receiver) -> None:
    run = telling(pair, receiver)
    assert run("sync", "--table", "users,wallets").code == 0
    pair.here("UPDATE users SET name = 'Anna' WHERE id = 2")
    assert run("sync", "--table", "users,wallets").code == 0
    again = run("sync", "--table", "users,wallets")
    assert (again.code, "nothing has changed" in again.stdout) == (0, True)
    first, second, third = told(receiver)
    assert {each["type"] for each in (first, second, third)} == {"sync.succeeded"}
    counted = ("tables", "read", "inserted", "updated", "unchanged", "deleted")
    assert [[each["data"]["sync"][name] for name in counted] for each in (first, second, third)] == [
        [2, 10, 10, 0, 0, 0],
        [2, 10, 0, 1, 9, 0],
        [2, 10, 0, 0, 10, 0],
    ]
    assert first["data"]["text"].startswith("shop: ")
    assert " is up to date: 10 inserted, as of " in first["data"]["text"]
    assert "nothing has changed" in (pair.run.home / "outcome").read_text()
    assert pair.name in first["data"]["sync"]["to"]
    assert "wallets" not in str(told(receiver))


def test_a_sync_that_fails_is_told_to_the_webhook_and_to_chat_without_the_row_that_was_refused(
    pair: Pair, receiver: Receiver
) -> None:
    pair.there("CREATE TABLE wallets (user_id bigint PRIMARY KEY, balance numeric(20,8) CHECK (balance < 3000))")
    with receiving() as chat:
        run = telling(pair, receiver).changed(PGPROOF_NOTIFY=f"json://127.0.0.1:{chat.port}/")
        ended = run("sync", "--table", "wallets")
        assert ended.code == 8, ended
        (message,) = [each.json for each in chat.messages]
    assert message["title"] == "shop: the sync FAILED"
    assert "Failing row contains (3, 3000.00000003)" in ended.stderr
    assert "3000" not in f"{message} {told(receiver)}"
    (failure,) = told(receiver)
    assert (failure["type"], failure["data"]["error"]["exit_code"]) == ("sync.failed", 8)
    assert failure["data"]["text"].startswith("shop: sync failed: wallets: the second database does not take the rows")


def test_a_sync_without_a_second_database_is_told_too(pair: Pair, receiver: Receiver) -> None:
    assert telling(pair, receiver)("sync", PGPROOF_SYNC_URL=None).code == 3
    assert [each["type"] for each in told(receiver)] == ["sync.failed"]


def test_a_sync_that_is_stopped_says_so_and_has_changed_nothing(pair: Pair, receiver: Receiver) -> None:
    pair.sync("--table", "wallets")
    before = contents(pair)
    pair.here("UPDATE wallets SET balance = 0")
    with pair.connect() as other, other.transaction():
        other.execute("LOCK TABLE wallets IN SHARE MODE")
        with telling(pair, receiver).start("sync", "--table", "wallets") as running:
            running.wait_for(lambda: pair.there("SELECT 1 FROM pg_locks WHERE NOT granted"))
            running.signal(signal.SIGTERM)
            assert running.finish().code == 143
    assert [each["type"] for each in told(receiver)] == ["sync.failed"]
    assert contents(pair) == before
