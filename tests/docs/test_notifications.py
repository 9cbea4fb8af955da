"""docs/notifications.md says what is sent: every field with its type, the reasons of Events, and how to verify."""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
from standardwebhooks.webhooks import WebhookVerificationError

from backup.cli.announcing import HURRY, PATIENCE
from backup.domain.events import FAILURES, SUCCESSES, EventType
from backup.kube.events import CronJobEvents
from tests.docs.pages import DOCS, blocks
from tests.fixtures.postgres import Server
from tests.support.command import Command
from tests.support.pod import running_pod
from tests.support.receiver import Message, receiving
from tests.support.run_events import an_event

DATABASE = "told_by_a_test"
PAGE = DOCS / "notifications.md"
SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
KINDS: dict[str, set[type]] = {
    "string": {str},
    "integer": {int},
    "number": {int, float},
    "boolean": {bool},
    "object": {dict},
    "array": {list},
}
FAILURE = ("Every message", "Every end", "backup.failed")
BACKUP = ("Every message", "Every end", "backup.succeeded")
SECTIONS: dict[str, tuple[str, ...]] = {
    "backup.started": ("Every message",),
    "notify.test": ("Every message",),
    "backup.missed": ("backup.missed", *FAILURE),
    "prune.failed": FAILURE,
    "backup.succeeded": BACKUP,
    "restore.finished": ("Every message", "Every end", "restore.finished"),
    "backup.failed": FAILURE,
    "backup.incomplete": (*BACKUP, "backup.failed"),
    "backup.suspect": (*BACKUP, "backup.failed"),
    "backup.degraded": (*BACKUP, "backup.failed"),
    "restore.failed": FAILURE,
    "drill.proven": ("Every message", "Every end", "drill.proven"),
    "drill.failed": ("drill.proven", *FAILURE),
    "sync.succeeded": ("Every message", "Every end", "sync.succeeded"),
    "sync.failed": FAILURE,
}


@pytest.fixture(scope="module")
def messages(pg18: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Message]]:
    """One of each type, as real runs send them."""
    home = tmp_path_factory.mktemp("told")
    with receiving() as receiver:
        environ = {
            "PGPROOF_DATABASE_URL": pg18.url(DATABASE),
            "PGPROOF_PG_BIN": str(pg18.bin_dir),
            "PGPROOF_STORE": str(home / "store"),
            "PGPROOF_LABELS": "app=1.4.2",
            "PGPROOF_WEBHOOK_URL": receiver.url(),
            "PGPROOF_WEBHOOK_SECRET": SECRET,
            "PGPROOF_WEBHOOK_EVENTS": "all,backup.started",
        }
        pgproof = Command(home=home, environ=environ)
        with pg18.connect() as connection:
            connection.execute(f"CREATE DATABASE {DATABASE}".encode())
            connection.execute(f"CREATE DATABASE {DATABASE}_shrinks".encode())
            with pg18.connect(f"{DATABASE}_shrinks") as shrinking:
                shrinking.execute("CREATE TABLE large AS SELECT generate_series(1, 2000)")
                url = {"PGPROOF_DATABASE_URL": pg18.url(f"{DATABASE}_shrinks")}
                shrunk = [pgproof("backup", PGPROOF_STORE=f"{home / 'store'},{home / 'no' / 'disk'}", **url).code]
                shrunk += [pgproof("backup", **url).code for _ in range(2)]
                shrinking.execute("TRUNCATE large")
                shrunk.append(pgproof("backup", **url).code)
                shrunk.append(pgproof("backup", PGPROOF_PG_BIN=None, PGPROOF_NO_FALLBACK="0", **url).code)
            assert shrunk == [11, 0, 0, 12, 13]
            codes = [pgproof(*words.split()).code for words in ("backup", f"restore latest --into {DATABASE}_2")]
            codes += [pgproof("drill", "latest", *check).code for check in ([], ["--check", "SELECT false"])]
            connection.execute(f"CREATE DATABASE {DATABASE}_second".encode())
            with pg18.connect(DATABASE) as first:
                first.execute("CREATE TABLE orders AS SELECT 1 AS id; ALTER TABLE orders ADD PRIMARY KEY (id)")
            codes += [pgproof("sync", PGPROOF_SYNC_URL=pg18.url(f"{DATABASE}{end}")).code for end in ("_second", "")]
            for name in (DATABASE, f"{DATABASE}_2", f"{DATABASE}_second", f"{DATABASE}_shrinks"):
                connection.execute(f"DROP DATABASE {name}".encode())
        codes += [pgproof(*words.split()).code for words in ("backup", "restore 20200101T000000Z", "notify --test")]
        codes.append(pgproof("prune", "--target", "nobody").code)
        codes.append(pgproof("check", "--max-age", "1s", "--alert").code)
        assert codes == [0, 0, 0, 7, 0, 3, 4, 9, 0, 9, 16]
        yield {message.json["type"]: message for message in receiver.messages}


def rows(heading: str) -> list[tuple[str, ...]]:
    """The cells of the table under a heading, without its head."""
    (section,) = re.findall(rf"^##+ {re.escape(heading)}\n(.*?)(?=^##|\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    lines = re.findall(r"^\| (.*) \|$", section, re.MULTILINE)[1:]
    return [tuple(cell.strip("`") for cell in line.split(" | ")) for line in lines]


def documented(type_: str) -> dict[str, str]:
    return {name: kind for heading in SECTIONS[type_] for name, kind, _ in rows(heading)}


def sent(value: Any, known: Mapping[str, str], path: str = "") -> Iterator[tuple[str, Any]]:  # noqa: ANN401 -- JSON
    """Every field; what the page calls an object is not looked into."""
    if isinstance(value, dict) and path not in known:
        for name, each in value.items():
            yield from sent(each, known, f"{path}.{name}" if path else name)
    else:
        yield path, value


@pytest.mark.parametrize("type_", get_args(EventType))
def test_the_fields_on_the_page_are_those_that_are_sent(messages: dict[str, Message], type_: str) -> None:
    known = documented(type_)
    fields = dict(sent(messages[type_].json, known))
    assert fields.keys() == known.keys()
    for name, value in fields.items():
        kind, _, or_null = known[name].partition(" or ")
        assert type(value) in KINDS[kind] or (value is None and or_null), name


def test_every_type_of_message_has_its_heading() -> None:
    headings = re.findall(r"^### (\w+\.\w+)$", PAGE.read_text(), re.MULTILINE)
    assert sorted(headings) == sorted(get_args(EventType))


def test_the_headers_on_the_page_are_those_that_are_sent(messages: dict[str, Message]) -> None:
    named = {name for name, _ in rows("Headers")}
    ours = {"content-type", "user-agent"} | {name for name in messages["backup.failed"].headers if "webhook" in name}
    assert named == ours


@pytest.mark.parametrize("type_", get_args(EventType))
def test_the_lines_that_verify_a_message_do(
    messages: dict[str, Message], type_: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "receiver.py").write_text(blocks(PAGE, "python")["Verify it"])
    receive = runpy.run_path(str(tmp_path / "receiver.py"))["receive"]
    monkeypatch.setenv("WEBHOOK_SECRET", SECRET)
    message = messages[type_]
    assert receive(message.headers, message.body) == f"{type_}: {message.json['data']['text']}"
    with pytest.raises(WebhookVerificationError):
        receive(message.headers, message.body.replace(b"data", b"date"))
    with pytest.raises(WebhookVerificationError):
        receive({**message.headers, "webhook-id": "msg_another"}, message.body)


def test_the_reasons_on_the_page_are_those_of_the_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_pod(tmp_path) as pod:
        for name, value in pod.environ().items():
            monkeypatch.setenv(name, value)
        pod.add_cronjob("shop", uid="1")
        events = CronJobEvents("shop", service_account=pod.folder)
        types = [each for each in get_args(EventType) if events.wants(each)]
        for type_ in types:
            events.tell(an_event(type_), within=5)
        told = [(type_, each["reason"], each["type"]) for type_, each in zip(types, pod.events(), strict=True)]
    assert rows("Kubernetes Events") == told


def test_the_events_on_the_page_are_those_there_are_and_of_the_kind_that_it_says() -> None:
    kinds = {name: kind for name, kind, _ in rows("What is told to whom")}
    assert list(kinds) == list(get_args(EventType))
    assert {name for name, kind in kinds.items() if kind == "success"} == SUCCESSES
    assert {name for name, kind in kinds.items() if kind == "failure"} == FAILURES


def test_the_time_limits_on_the_page_are_those_of_the_program() -> None:
    text = PAGE.read_text()
    assert f"Everybody together has {PATIENCE:.0f} seconds; {HURRY:.0f} where" in text
