"""The webhook, as a receiver sees it: what comes, by whom it is signed, and what becomes of every bad answer."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from backup import __version__
from backup.errors import ConfigurationError, NotificationFailed
from backup.notify.webhook import Webhook
from tests.support.certificates import Certificate, make_certificate
from tests.support.receiver import Answer, Message, Receiver, closes, drips, hangs, receiving, says
from tests.support.run_events import BACKUP, RUN, an_event

OLD, NEW = (base64.b64encode(bytes([letter]) * 32).decode() for letter in (1, 2))
SLACK = 0.5
"""Seconds beyond the limit, for a busy machine; the last attempt has a tenth of a second in any case."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture(scope="module")
def certificate() -> Certificate:
    return make_certificate("127.0.0.1")


def signature(message: Message, key: str) -> str:
    """By the words of the convention, and by nobody's code but Python's."""
    headers = message.headers
    signed = b".".join([headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), message.body])
    return "v1," + base64.b64encode(hmac.digest(base64.b64decode(key), signed, hashlib.sha256)).decode()


def refusal(webhook: Webhook, *, within: float = 1) -> NotificationFailed:
    """Why it was not heard, which must have taken no longer than it may."""
    begun = time.monotonic()
    with pytest.raises(NotificationFailed) as caught:
        webhook.tell(an_event(), within=within)
    assert time.monotonic() - begun < within + SLACK
    return caught.value


class TestMessage:
    def test_a_success_is_one_post_of_json(self, receiver: Receiver) -> None:
        Webhook(receiver.url("/hook?for=shop")).tell(an_event(), within=5)
        (message,) = receiver.messages
        assert message.line == "POST /hook?for=shop HTTP/1.1"
        assert message.headers["content-type"] == "application/json"
        assert message.headers["user-agent"] == f"pgproof/{__version__}"
        assert message.json == {
            "type": "backup.succeeded",
            "timestamp": "2026-11-22T08:00:07.250000Z",
            "data": {
                "run": str(RUN),
                "target": "shop",
                "text": "shop: it went as it went",
                "store": "/backups",
                "backup": BACKUP,
            },
        }

    def test_a_failure_has_its_error(self, receiver: Receiver) -> None:
        Webhook(receiver.url()).tell(an_event("restore.failed"), within=5)
        sent = receiver.messages[0].json
        assert sent["type"] == "restore.failed"
        assert sent["data"]["error"] == {"code": "dump_failed", "message": "pg_dump broke off", "exit_code": 5}

    def test_letters_of_any_language_come_through_and_what_is_none_is_a_question_mark(self, receiver: Receiver) -> None:
        Webhook(receiver.url()).tell(an_event(text="Größe 日本 \udcff"), within=5)
        assert receiver.messages[0].json["data"]["text"] == "Größe 日本 ?"


class TestSignature:
    @pytest.mark.parametrize("prefix", ["whsec_", ""])
    def test_it_is_the_one_of_the_convention(self, receiver: Receiver, prefix: str) -> None:
        Webhook(receiver.url(), keys=(prefix + NEW,)).tell(an_event(), within=5)
        (message,) = receiver.messages
        assert message.headers["webhook-signature"] == signature(message, NEW)
        assert abs(int(message.headers["webhook-timestamp"]) - time.time()) < 60

    def test_while_a_secret_is_changed_both_sign(self, receiver: Receiver) -> None:
        Webhook(receiver.url(), keys=(f"whsec_{OLD}", f"whsec_{NEW}")).tell(an_event(), within=5)
        (message,) = receiver.messages
        assert message.headers["webhook-signature"].split(" ") == [signature(message, key) for key in (OLD, NEW)]

    def test_without_a_secret_there_is_none(self, receiver: Receiver) -> None:
        Webhook(receiver.url()).tell(an_event(), within=5)
        headers = receiver.messages[0].headers
        assert {name for name in headers if name.startswith("webhook-")} == {"webhook-id", "webhook-timestamp"}


class TestRetries:
    @pytest.mark.parametrize(
        "bad",
        [says(500), says(503, "busy"), says(429), says(408), says(425), closes, hangs],
        ids=["500", "503", "429", "408", "425", "closed", "hangs"],
    )
    def test_what_may_pass_is_tried_again_with_the_same_id(self, receiver: Receiver, bad: Answer) -> None:
        receiver.answers = [bad, bad, says(200)]
        # A busy machine may take a while for a good answer: only one that hangs is given up.
        Webhook(receiver.url(), keys=(NEW,), timeout=1 if bad is hangs else 10).tell(an_event(), within=30)
        assert len(receiver.messages) == 3
        assert len({message.headers["webhook-id"] for message in receiver.messages}) == 1
        assert len({message.body for message in receiver.messages}) == 1
        for message in receiver.messages:
            assert message.headers["webhook-signature"] == signature(message, NEW)

    def test_each_message_has_an_id_of_its_own(self, receiver: Receiver) -> None:
        for _ in range(2):
            Webhook(receiver.url()).tell(an_event(), within=5)
        assert len({message.headers["webhook-id"] for message in receiver.messages}) == 2

    @pytest.mark.parametrize("within", [0, 0.3, 1])
    @pytest.mark.parametrize(
        "bad",
        [says(500), closes, hangs, drips("HTTP/1.1 200 OK\r\nX-More: "), drips("HTTP/1.1 500 No\r\n\r\n"), drips("")],
        ids=["500", "closed", "hangs", "head drips", "body drips", "status drips"],
    )
    def test_it_ends_in_time_whatever_comes(self, receiver: Receiver, bad: Answer, within: float) -> None:
        receiver.answers = [bad]
        failure = refusal(Webhook(receiver.url()), within=within)
        assert failure.message.startswith("webhook at 127.0.0.1: ")
        assert failure.hint

    def test_an_answer_that_is_heard_need_not_end(self, receiver: Receiver) -> None:
        receiver.answers = [drips("HTTP/1.1 200 OK\r\n\r\n")]
        Webhook(receiver.url()).tell(an_event(), within=5)
        assert len(receiver.messages) == 1

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 413])
    def test_what_is_refused_for_good_is_not_tried_again(self, receiver: Receiver, status: int) -> None:
        receiver.answers = [says(status, "no such\nhook")]
        assert refusal(Webhook(receiver.url())).message == f"webhook at 127.0.0.1: answered {status} Said: no such hook"
        assert len(receiver.messages) == 1

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_nobody_is_followed_to_another_address(self, receiver: Receiver, status: int) -> None:
        receiver.answers = [says(status, Location=receiver.url("/elsewhere")), says(200)]
        assert f"answered {status}" in refusal(Webhook(receiver.url())).message
        assert len(receiver.messages) == 1

    def test_a_long_refusal_is_cut(self, receiver: Receiver) -> None:
        receiver.answers = [says(404, "ü" * 5000)]
        assert refusal(Webhook(receiver.url())).message.endswith(": " + "ü" * 200 + " …")


class TestTls:
    def test_an_authority_of_ones_own_is_trusted(self, certificate: Certificate, tmp_path: Path) -> None:
        authority = tmp_path / "ca.pem"
        authority.write_bytes(certificate.authority)
        with receiving(certificate) as receiver:
            Webhook(receiver.url(), ca_file=authority).tell(an_event(), within=5)
            assert len(receiver.messages) == 1

    @pytest.mark.parametrize("ours", [None, "other"])
    def test_a_certificate_of_nobody_we_trust_is_refused(
        self, certificate: Certificate, tmp_path: Path, ours: str | None
    ) -> None:
        authority = tmp_path / "ca.pem"
        authority.write_bytes(make_certificate("127.0.0.1").authority)
        with receiving(certificate) as receiver:
            failure = refusal(Webhook(receiver.url(), ca_file=authority if ours else None))
            assert receiver.messages == []
        assert "CERTIFICATE_VERIFY_FAILED" in failure.message

    @pytest.mark.parametrize("content", [None, b"", b"no certificate"])
    def test_certificates_that_cannot_be_read_are_found_out_at_once(
        self, tmp_path: Path, content: bytes | None
    ) -> None:
        file = tmp_path / "ca.pem"
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(ConfigurationError, match=re.escape(str(file))):
            Webhook("https://127.0.0.1/", ca_file=file)


class TestSecrets:
    path = "/services/T0ken-of-path?key=s%65cret-of-query&flag=x"
    pieces = ("T0ken-of-path", "s%65cret-of-query", "secret-of-query", "pass-word")

    @pytest.mark.parametrize("status", [404, 500])
    def test_what_the_receiver_repeats_of_the_address_is_masked(
        self, receiver: Receiver, status: int, capsys: pytest.CaptureFixture[str]
    ) -> None:
        url = receiver.url(self.path).replace("://", "://me:pass-word@")
        receiver.answers = [
            says(status, f"cannot POST {self.path} nor /T0ken-of-path, secret-of-query of me:pass-word")
        ]
        webhook = Webhook(url)
        failure = refusal(webhook)
        assert "cannot POST" in failure.message
        said = f"{webhook.name} {failure.message} {failure.detail} {failure.hint} {capsys.readouterr()}"
        assert not [piece for piece in self.pieces if piece in said], said

    @pytest.mark.parametrize("why", ["nobody listens", "no such host", "it hangs"])
    def test_a_failure_names_nothing_but_the_host(
        self, receiver: Receiver, why: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        receiver.answers = [hangs]
        where = {
            "nobody listens": "127.0.0.1:9",
            "no such host": "receiver.invalid",
            "it hangs": f"127.0.0.1:{receiver.port}",
        }
        webhook = Webhook(f"http://me:pass-word@{where[why]}{self.path}", timeout=0.2)
        assert webhook.name == f"webhook at {where[why].partition(':')[0]}"
        failure = refusal(webhook)
        said = f"{failure.message} {failure.detail} {failure.hint} {capsys.readouterr()}"
        assert not [piece for piece in self.pieces if piece in said], said

    @pytest.mark.parametrize(
        "url",
        [
            "https://me:pass-word/x@host/hook",
            "https://:443/pass-word",
            "https://a..b/pass-word",
            f"https://{'a' * 64}.example/pass-word",
            "https://xn--/pass-word",
            "https://host:0/pass-word",
            "https://host:65536/pass-word",
            "https://[::1/pass-word",
            "https://host/pass-word\x01",
        ],
    )
    def test_what_cannot_be_an_address_is_found_out_at_once_and_not_shown(self, url: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            Webhook(url)
        failure = caught.value
        assert failure.message == "notify.webhook.url is no web address"
        assert "pass-word" not in f"{failure} {failure.detail} {failure.hint} {failure.__cause__}"
