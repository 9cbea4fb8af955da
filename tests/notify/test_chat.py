"""Chat and mail, with a real mail server: what a person reads, and what becomes of servers that do not want it."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from email.message import EmailMessage

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from backup.domain.events import SUCCESSES
from backup.errors import ConfigurationError, NotificationFailed
from backup.notify.chat import Chat
from tests.support.receiver import receiving, says
from tests.support.run_events import an_event

PASSWORD = "pass-word-of-mail"


@dataclass(slots=True)
class Mails:
    """A mail server: what it took, and what it answers instead of taking it."""

    port: int = 0
    refusal: str = ""
    taken: list[EmailMessage] = field(default_factory=list)

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 -- aiosmtpd's name
        if self.refusal:
            return self.refusal
        content = envelope.content if isinstance(envelope.content, bytes) else str(envelope.content).encode()
        found = email.message_from_bytes(content, policy=email.policy.default)
        assert isinstance(found, EmailMessage)
        self.taken.append(found)
        return "250 taken"

    def address(self, account: str = "") -> str:
        return f"mailto://{account}127.0.0.1:{self.port}?from=pgproof@example.com&to=ops@example.com&mode=insecure"


def _is_known(_server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: object) -> AuthResult:
    known = isinstance(data, LoginPassword) and data.password == PASSWORD.encode()
    return AuthResult(success=known, handled=known)  # else the library itself answers


@contextmanager
def mailing(*, with_login: bool = False) -> Iterator[Mails]:
    mails = Mails()
    with receiving() as free:  # a port that was free a moment ago
        port = free.port
    controller = Controller(
        mails,
        hostname="127.0.0.1",
        port=port,
        authenticator=_is_known,
        auth_required=with_login,
        auth_require_tls=False,
    )
    controller.start()
    mails.port = port
    try:
        yield mails
    finally:
        controller.stop()


@pytest.fixture
def mails() -> Iterator[Mails]:
    with mailing() as found:
        yield found


def refusal(chat: Chat) -> NotificationFailed:
    with pytest.raises(NotificationFailed) as caught:
        chat.tell(an_event(), within=5)
    return caught.value


def test_a_mail_says_all_of_a_success_in_plain_words(mails: Mails) -> None:
    proven = {"proven": {"id": "20261121T080000Z", "age_seconds": 86_000}, "host": "pod-1"}
    event = an_event()
    Chat(mails.address()).tell(replace(event, facts={**event.facts, **proven}), within=5)
    (mail,) = mails.taken
    assert mail["subject"] == "shop: backed up"
    assert mail["to"] == "ops@example.com"
    part = mail.get_body(("plain",))
    assert part is not None
    assert part.get_content().splitlines()[:8] == [
        "shop: it went as it went",
        "",
        "backup: 20261122T080000Z",
        "size: 1.21 KiB stored, 5.54 KiB dumped",
        "rows: 3,000 in 2 tables",
        "took: 7.25 s",
        "store: /backups",
        "last proven backup: 20261121T080000Z, 23 h old",
    ]


def test_a_mail_of_a_failure_has_what_to_do_and_the_end_of_the_log(mails: Mails) -> None:
    event = an_event("backup.failed", text="shop: backup failed: pg_dump broke off")
    error = {"message": "pg_dump broke off", "detail": "no space\nleft", "hint": "make room"}
    Chat(mails.address()).tell(replace(event, error=error, log=("first line", "last line")), within=5)
    (mail,) = mails.taken
    assert mail["subject"] == "shop: the backup FAILED"
    part = mail.get_body(("plain",))
    assert part is not None
    text = part.get_content()
    for line in ("pg_dump broke off", "  no space", "What to do: make room", "first line"):
        assert line in text
    assert text.rstrip().endswith("last line")


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")  # of the server, which is on this machine
def test_a_mail_server_that_wants_a_password_gets_it_and_a_wrong_one_is_told_without_it() -> None:
    with mailing(with_login=True) as mails:
        Chat(mails.address(f"me:{PASSWORD}@")).tell(an_event(), within=5)
        assert len(mails.taken) == 1
        failure = refusal(Chat(mails.address("me:wrong-pass-word@")))
        assert len(mails.taken) == 1
    assert "wrong-pass-word" not in f"{failure.message} {failure.detail}"
    assert "535" in failure.message  # which is what the server said
    assert failure.message.startswith("E-Mail (address 1 of PGPROOF_NOTIFY): not sent: ")


@pytest.mark.parametrize("answer", ["554 no mail from you", "451 later"])
def test_a_mail_server_that_refuses_is_told(mails: Mails, answer: str) -> None:
    mails.refusal = answer
    assert refusal(Chat(mails.address())).message.startswith("E-Mail (address 1 of PGPROOF_NOTIFY): not sent: ")


def test_a_long_log_loses_its_oldest_lines_where_a_service_takes_little() -> None:
    with receiving() as receiver:
        receiver.answers = [says(204)]
        chat = Chat(receiver.url("/hook").replace("http", "json", 1))
        event = replace(an_event("backup.failed"), log=tuple(f"line {n} {'x' * 90}" for n in range(1000)))
        chat.tell(event, within=5)
    text = receiver.messages[0].json["message"]
    assert text.rstrip().endswith("line 999 " + "x" * 90)
    assert text.startswith("shop: it went as it went")
    assert "line 0 " not in text


@pytest.mark.parametrize("address", ["nope://token-of-chat/x", "slack://token-of-chat", "mailto://"])
def test_an_address_that_apprise_does_not_know_is_refused_and_not_shown(address: str) -> None:
    with pytest.raises(
        ConfigurationError, match=f"address 2 of PGPROOF_NOTIFY, {address.partition(':')[0]}://"
    ) as raised:
        Chat(address, number=2)
    assert "token-of-chat" not in f"{raised.value.message} {raised.value.detail} {raised.value.hint}"


def test_it_is_told_what_it_wants_and_every_test() -> None:
    chat = Chat("json://127.0.0.1/", events=SUCCESSES)
    assert chat.wants("drill.proven")
    assert chat.wants("notify.test")
    assert not chat.wants("backup.failed")
