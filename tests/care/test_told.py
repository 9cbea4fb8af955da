"""Who is told of runs, through the command: what arrives, what waits, and that nothing of it fails a good backup."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest

from backup.stream.age import Identity
from tests.care.conftest import Shop, all_of, keys_of, reasons
from tests.notify.test_chat import mailing
from tests.support.receiver import Receiver, closes, hangs, receiving, says

KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
PATH = "/services/T0ken-of-the-hook"


def types(receiver: Receiver) -> list[str]:
    return [message.json["type"] for message in receiver.messages]


def deaf_port() -> int:
    """Where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def warnings(text: str) -> list[str]:
    return [line for line in text.splitlines() if " warning " in line]


def test_a_backup_is_told_to_each_as_it_is_set(shop: Shop) -> None:
    with receiving() as hook, receiving() as chat, receiving() as ping, mailing() as mails:
        settings = {
            "PGPROOF_WEBHOOK_URL": hook.url(PATH),
            "PGPROOF_NOTIFY": f"success=json://127.0.0.1:{chat.port}/\n{mails.address()}",
            "PGPROOF_PING_URL": ping.url("/P1ng"),
        }
        made = shop.back_up(**settings)
        assert shop("backup", **settings, PGPROOF_DATABASE_URL=shop.server.url("no_such_database")).code == 4
        assert types(hook) == ["backup.succeeded", "backup.failed"]
        (told,) = [message.json for message in chat.messages]
        assert (told["title"], made in told["message"]) == ("shop: backed up", True)
        assert [mail["subject"] for mail in mails.taken] == ["shop: the backup FAILED"]
        assert [message.line.split("?")[0].split()[1] for message in ping.messages] == [
            "/P1ng/start",
            "/P1ng",
            "/P1ng/start",
            "/P1ng/fail",
        ]


def test_which_event_goes_where_can_be_said(shop: Shop) -> None:
    with receiving() as hook, receiving() as chat:
        settings = {
            "PGPROOF_WEBHOOK_URL": hook.url(),
            "PGPROOF_WEBHOOK_EVENTS": "backup.started,drill.proven",
            "PGPROOF_NOTIFY": f"drill.proven,restore.failed=json://127.0.0.1:{chat.port}/",
        }
        shop.back_up(**settings)
        assert shop("drill", "latest", **settings).code == 0
        assert shop("restore", "20200101T000000Z", **settings).code == 9
        assert types(hook) == ["backup.started", "drill.proven"]
        assert [message.json["title"] for message in chat.messages] == [
            "shop: the backup is proven",
            "shop: the restore FAILED",
        ]
        wrong = shop("backup", PGPROOF_NOTIFY="backup.suceeded=json://127.0.0.1/")
        assert (wrong.code, "did you mean backup.succeeded?" in wrong.complaint) == (3, True)
        unreadable = shop("backup", PGPROOF_NOTIFY="json://127.0.0.1/ T0ken-without-a-scheme")
        assert (unreadable.code, "T0ken" in str(unreadable)) == (3, False)
        assert "entry 2 is no address" in unreadable.complaint


@pytest.mark.parametrize(
    "answer",
    [says(500), hangs, closes, says(302, location="http://127.0.0.1:9/"), says(404)],
    ids=["500", "hangs", "closes", "redirects", "404"],
)
def test_a_receiver_that_does_not_hear_is_told_once_and_the_backup_is_good(shop: Shop, answer: object) -> None:
    with receiving() as hook:
        hook.answers = [answer]  # type: ignore[list-item]  # of the parameters
        ended = shop("backup", PGPROOF_WEBHOOK_URL=hook.url(PATH), PGPROOF_WEBHOOK_TIMEOUT="1")
    assert ended.code == 0, ended
    (line,) = warnings(ended.stderr)
    assert "not told" in line
    assert "T0ken" not in ended.stderr
    (waiting,) = keys_of(shop.store, "shop/outbox/")
    assert b"backup.succeeded" in all_of(shop.store, waiting)[waiting]


def test_after_an_hour_of_silence_everything_arrives_once_and_in_order(shop: Shop) -> None:
    port = deaf_port()
    settings = {"PGPROOF_WEBHOOK_URL": f"http://127.0.0.1:{port}/hook", "PGPROOF_WEBHOOK_TIMEOUT": "1"}
    missed = [shop.back_up(**settings) for _ in range(2)]
    assert len(keys_of(shop.store, "shop/outbox/")) == 2
    with receiving(port=port) as hook:
        last = shop.back_up(**settings)
        assert [message.json["data"]["backup"]["id"] for message in hook.messages] == [*missed, last]
        assert len({message.headers["webhook-id"] for message in hook.messages}) == 3
        shop.back_up(**settings)
        assert len(hook.messages) == 4
    assert keys_of(shop.store, "shop/outbox/") == []


def test_what_waits_is_no_backup_and_disturbs_nothing(shop: Shop, tmp_path: Path) -> None:
    (first,) = shop.ids()
    second = shop.back_up(PGPROOF_WEBHOOK_URL=f"http://127.0.0.1:{deaf_port()}/", PGPROOF_WEBHOOK_TIMEOUT="1")
    (waiting,) = keys_of(shop.store, "shop/outbox/")
    assert shop.ids() == [second, first]
    assert len(shop("verify", "--all").result["verified"]) == 2
    assert shop("copy", second, "--to", str(tmp_path / "other")).code == 0
    assert set(reasons(shop.prune())) == {first, second}
    assert keys_of(shop.store, "shop/outbox/") == [waiting]


@pytest.mark.parametrize(
    ("addresses", "why"),
    [
        ("slack://T0ken-that-is-short", "is none that apprise knows"),
        ("mailto://me:T0ken-of-mail@127.0.0.1:{port}?from=a@example.com&to=b@example.com", "not sent: "),
    ],
    ids=["malformed", "refused"],
)
def test_an_address_that_is_of_no_use_is_told_once_without_its_secrets_and_the_backup_is_good(
    shop: Shop, addresses: str, why: str
) -> None:
    ended = shop("backup", PGPROOF_NOTIFY="all=" + addresses.format(port=deaf_port()))
    assert ended.code == 0, ended
    (line,) = warnings(ended.stderr)
    assert why in line
    assert "T0ken" not in ended.stderr


def test_a_prune_that_fails_is_told(shop: Shop) -> None:
    with receiving() as hook:
        shop.folder.joinpath("shop").rename(shop.folder / "gone")
        shop.folder.joinpath("shop").write_text("no folder")
        ended = shop("prune", PGPROOF_WEBHOOK_URL=hook.url())
        assert ended.code != 0
        assert types(hook) == ["prune.failed"]
        assert shop("prune", "--dry-run", PGPROOF_WEBHOOK_URL=hook.url()).code != 0
        assert types(hook) == ["prune.failed"]  # nobody needs to know of a look


def test_no_secret_is_in_anything_that_is_sent_or_waits(shop: Shop) -> None:
    identity = Identity.new()
    secrets = ["pass-word-of-base", "T0ken-of-the-hook", KEY, "pass-word-of-mail", "T0ken-of-chat", "T0ken-of-ping"]
    with receiving() as hook, receiving() as chat, receiving() as ping:
        database = f"postgresql://me:{secrets[0]}@127.0.0.1:{deaf_port()}/shop"
        settings = {
            "PGPROOF_WEBHOOK_URL": hook.url(PATH),
            "PGPROOF_WEBHOOK_SECRET": f"whsec_{KEY}",
            "PGPROOF_NOTIFY": f"json://127.0.0.1:{chat.port}/T0ken-of-chat\n"
            f"mailto://me:pass-word-of-mail@127.0.0.1:{deaf_port()}?from=a@example.com&to=b@example.com",
            "PGPROOF_PING_URL": ping.url("/T0ken-of-ping"),
            "PGPROOF_IDENTITY": identity.secret,
            "PGPROOF_VERBOSE": "1",
        }
        ended = shop("backup", **settings, PGPROOF_DATABASE_URL=database)
        assert ended.code == 4
        assert shop("backup", **settings, PGPROOF_LABELS=f"a={secrets[0]}").code == 0
        sent = [message.body.decode() for each in (hook, chat, ping) for message in each.messages]
        assert len(sent) >= 7
    sent += [content.decode(errors="replace") for content in all_of(shop.store, "shop/outbox/").values()]
    assert len(keys_of(shop.store, "shop/outbox/")) == 1
    everything = "\n".join([*sent, ended.stderr, ended.stdout])
    found = [secret for secret in [*secrets, identity.secret] if secret in everything]
    assert found == [secrets[0]]  # of the label alone, which the user made public
    assert not [each for each in sent if "backup.failed" in each and secrets[0] in each]


def test_a_test_message_reaches_everybody_and_says_who_did_not_hear(shop: Shop) -> None:
    with receiving() as hook, receiving() as chat:
        settings = {
            "PGPROOF_WEBHOOK_URL": hook.url(PATH),
            "PGPROOF_NOTIFY": f"drill.failed=json://127.0.0.1:{chat.port}/ slack://T0ken-that-is-short",
        }
        ended = shop("notify", "--test", **settings)
        assert ended.code == 11
        heard = {each["name"]: each["heard"] for each in ended.result["receivers"]}
        assert list(heard.values()) == [True, True, False]
        assert types(hook) == ["notify.test"]
        assert [message.json["title"] for message in chat.messages] == ["shop: this is a test"]
        assert shop("notify", "--test", PGPROOF_WEBHOOK_URL=hook.url(PATH)).code == 0
    assert shop("notify", "--test").code == 3
    assert shop("notify").code == 2


def test_a_signal_while_the_start_is_told_ends_the_run_before_it_began(shop: Shop) -> None:
    with receiving() as ping:
        ping.answers = [hangs]
        with shop.pgproof.start("backup", PGPROOF_PING_URL=ping.url("/P1ng")) as running:
            running.wait_for(lambda: ping.messages)
            running.signal(signal.SIGTERM)
            ended = running.finish()
    assert ended.code == 143, ended
    assert len(shop.ids()) == 1


def test_a_restore_that_fails_where_only_the_identity_is_set_keeps_no_names_beside_encrypted_backups(
    shop: Shop,
) -> None:
    identity = Identity.new()
    made = shop.back_up(PGPROOF_ENCRYPT_TO=identity.public)
    deaf = {"PGPROOF_WEBHOOK_URL": f"http://127.0.0.1:{deaf_port()}/", "PGPROOF_WEBHOOK_TIMEOUT": "1"}
    wrong = "SELECT count(*) = 0 FROM customers"
    assert shop("drill", made, "--check", wrong, **deaf, PGPROOF_IDENTITY=identity.secret).code == 7
    (waiting,) = all_of(shop.store, "shop/outbox/").values()
    assert b"drill.failed" in waiting
    assert b"customers" not in waiting
