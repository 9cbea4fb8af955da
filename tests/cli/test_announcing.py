"""How the end of a real run is told: to a webhook, and in the file that a pod leaves behind."""

from __future__ import annotations

import base64
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backup.cli.announcing import HURRY, PATIENCE
from tests.failures.holding import Gate
from tests.fixtures.postgres import NewDatabase, Server
from tests.support.command import Command, Finished
from tests.support.receiver import Answer, Receiver, hangs, receiving, says

KEY = base64.b64encode(bytes(32)).decode()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
def database(pg18: Server, new_database: NewDatabase) -> str:
    name = new_database(pg18)
    with pg18.connect(name) as connection:
        connection.execute("CREATE TABLE orders AS SELECT generate_series(1, 1000) AS id")
    return name


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def pgproof(tmp_path: Path, pg18: Server, database: str, store: Path, receiver: Receiver) -> Command:
    """The command, set up to back up a database into a folder and to tell a webhook."""
    home = tmp_path / "home"
    home.mkdir()
    environ = {
        "PGPROOF_DATABASE_URL": pg18.url(database),
        "PGPROOF_PG_BIN": str(pg18.bin_dir),
        "PGPROOF_TARGET": "shop",
        "PGPROOF_STORE": str(store),
        "PGPROOF_WEBHOOK_URL": receiver.url("/T0ken-of-the-path"),
        "PGPROOF_WEBHOOK_SECRET": f"whsec_{KEY}",
        "PGPROOF_TERMINATION_LOG": str(home / "outcome"),
    }
    return Command(home=home, environ=environ)


def outcome(pgproof: Command) -> str:
    return (pgproof.home / "outcome").read_text()


def told(receiver: Receiver) -> dict[str, Any]:
    """The one message that came."""
    (message,) = receiver.messages
    assert message.headers["webhook-signature"].startswith("v1,")
    found: dict[str, Any] = message.json
    return found


def warnings(ended: Finished) -> list[str]:
    return [line for line in ended.stderr.splitlines() if " warning " in line]


class TestSuccess:
    def test_a_backup_is_told_with_its_figures(self, pgproof: Command, receiver: Receiver, store: Path) -> None:
        ended = pgproof("backup", "--json")
        assert ended.code == 0, ended
        message = told(receiver)
        assert message["type"] == "backup.succeeded"
        assert message["data"]["target"] == "shop"
        assert message["data"]["store"] == str(store)
        assert message["data"]["backup"]["id"] == ended.result["id"]
        assert "error" not in message["data"]
        assert message["data"]["text"] == f"shop: {outcome(pgproof)}"
        assert outcome(pgproof).startswith(f"{ended.result['id']} is in {store}: ")
        assert warnings(ended) == []

    def test_a_restore_is_told_with_what_it_made(self, pgproof: Command, receiver: Receiver, database: str) -> None:
        assert pgproof("backup", PGPROOF_WEBHOOK_URL=None).code == 0
        ended = pgproof("restore", "latest", "--into", f"{database}_back", "--json")
        assert ended.code == 0, ended
        message = told(receiver)
        assert message["type"] == "restore.finished"
        assert message["data"]["restore"] == ended.result
        assert message["data"]["restore"]["database"] == f"{database}_back"
        assert f"restored into {database}_back" in outcome(pgproof)

    def test_a_dry_run_tells_nobody(self, pgproof: Command, receiver: Receiver) -> None:
        assert pgproof("backup", PGPROOF_WEBHOOK_URL=None).code == 0
        (pgproof.home / "outcome").unlink()
        assert pgproof("restore", "latest", "--dry-run").code == 0
        assert receiver.messages == []
        assert not (pgproof.home / "outcome").exists()

    def test_a_store_whose_name_is_no_text_is_told_all_the_same(
        self, pgproof: Command, receiver: Receiver, store: Path
    ) -> None:
        assert pgproof("backup", PGPROOF_STORE=os.fsdecode(bytes(store) + b"\xff")).code == 0
        assert told(receiver)["data"]["store"] == f"{store}?"


class TestDeaf:
    @pytest.mark.parametrize("bad", [says(403, "no"), hangs], ids=["refuses", "hangs"])
    def test_a_good_backup_stays_one(self, pgproof: Command, receiver: Receiver, bad: Answer) -> None:
        """Slow where it hangs: that is told for as long as may be."""
        receiver.always(bad)
        ended = pgproof("backup", "--json")
        assert ended.code == 0, ended
        assert ended.seconds < PATIENCE + 15
        assert pgproof("list", "--json").result["backups"][0]["id"] == ended.result["id"]
        assert "not told what=backup.succeeded" in warnings(ended)[-1]
        assert "webhook at 127.0.0.1" in warnings(ended)[-1]
        assert "T0ken" not in ended.stdout + ended.stderr

    def test_a_failure_keeps_its_exit_code(self, pgproof: Command, receiver: Receiver, pg18: Server) -> None:
        receiver.always(says(410))
        ended = pgproof("backup", "--json", PGPROOF_DATABASE_URL=pg18.url("no such database"))
        assert ended.code == 4
        assert "not told what=backup.failed" in warnings(ended)[-1]

    @pytest.mark.parametrize(("url", "code"), [("good", 0), ("no such database", 4)])
    def test_a_signal_while_it_is_told_does_not_change_what_the_run_was(
        self, pgproof: Command, receiver: Receiver, pg18: Server, url: str, code: int
    ) -> None:
        heard = threading.Event()
        receiver.always(lambda line, over: says(204)(line, over) if heard.wait(60) else None)
        changes = {} if url == "good" else {"PGPROOF_DATABASE_URL": pg18.url(url)}
        with pgproof.start("backup", "--json", **changes) as running:
            running.wait_for(lambda: receiver.messages)
            running.signal(signal.SIGTERM)
            heard.set()
            ended = running.finish()
        assert ended.code == code, ended
        assert ended.result["id"] if code == 0 else ended.error["exit_code"] == code
        assert "SIGTERM" not in outcome(pgproof)

    def test_outside_of_a_pod_there_is_nobody_to_give_an_event(self, pgproof: Command, receiver: Receiver) -> None:
        ended = pgproof("backup", PGPROOF_KUBERNETES_CRONJOB="shop-backup")
        assert ended.code == 0, ended
        assert told(receiver)["type"] == "backup.succeeded"
        assert "Events on the CronJob shop-backup: this is no pod" in warnings(ended)[-1]


class TestFailure:
    def test_a_backup_that_failed_is_told_with_its_error(
        self, pgproof: Command, receiver: Receiver, pg18: Server
    ) -> None:
        ended = pgproof("backup", "--json", PGPROOF_DATABASE_URL=pg18.url("no such database"))
        assert ended.code == 4
        message = told(receiver)
        assert message["type"] == "backup.failed"
        assert message["data"]["error"] == ended.error
        assert message["data"]["error"]["exit_code"] == 4
        assert message["data"]["text"] == f"shop: backup failed: {ended.complaint}"
        assert outcome(pgproof) == ended.stderr[ended.stderr.index("pgproof: error: ") :].rstrip("\n")

    def test_a_request_that_has_run_out_is_told(self, pgproof: Command, receiver: Receiver, tmp_path: Path) -> None:
        (tmp_path / "request").mkdir()
        (tmp_path / "request" / "until").write_text("2020-01-01T00:00Z")
        ended = pgproof("restore", "--request", str(tmp_path / "request"))
        assert ended.code == 3
        message = told(receiver)
        assert (message["type"], message["data"]["error"]["code"]) == ("restore.failed", "configuration_error")

    @pytest.mark.parametrize("answer", [says(204), hangs], ids=["hears", "hangs"])
    def test_one_that_was_stopped_is_told_within_seconds(
        self, pgproof: Command, receiver: Receiver, pg18: Server, tmp_path: Path, answer: Answer
    ) -> None:
        receiver.always(answer)
        gate = Gate(tmp_path / "gate", pg18.bin_dir)
        with pgproof.start("backup", "--json", PGPROOF_PG_BIN=str(gate.folder)) as running:
            running.wait_for(gate.is_reached)
            begun = time.monotonic()
            running.signal(signal.SIGTERM)
            running.wait_for(lambda: receiver.messages, limit=HURRY)
            ended = running.finish()
        assert time.monotonic() - begun < HURRY + 5
        assert ended.code == 143, ended
        message = receiver.messages[0].json
        assert message["type"] == "backup.failed"
        assert (message["data"]["error"]["code"], message["data"]["error"]["exit_code"]) == ("interrupted", 143)
        assert outcome(pgproof) == "pgproof: error: stopped by SIGTERM"
        assert pgproof("list").code == 9


@pytest.mark.parametrize("why", ["good", "wrong", "down"])
def test_a_password_of_the_database_is_nowhere(
    pgproof: Command, receiver: Receiver, pg18: Server, database: str, why: str
) -> None:
    password = pg18.password if why == "good" else "planted-password"
    url = pg18.url(database).replace(pg18.password, password)
    if why == "down":
        url = url.replace(f":{pg18.port}/", ":1/")
    ended = pgproof("backup", "-v", PGPROOF_DATABASE_URL=url)
    assert ended.code == {"good": 0, "wrong": 14, "down": 4}[why], ended
    (message,) = receiver.messages
    words = f"{message.body!r} {message.headers} {ended.stdout} {ended.stderr} {outcome(pgproof)}"
    assert not [secret for secret in (password, KEY, "T0ken-of-the-path") if secret in words], words


@pytest.mark.parametrize(
    "change",
    [
        {"PGPROOF_WEBHOOK_SECRET": "whsec_short"},
        {"PGPROOF_WEBHOOK_SECRET": f"whsec_{KEY},planted-secret"},
        {"PGPROOF_WEBHOOK_URL": "ftp://host/planted-secret"},
        {"PGPROOF_WEBHOOK_URL": "https://me:planted/secret@host/hook"},
        {"PGPROOF_WEBHOOK_URL": "https://hooks..example.com/planted-secret"},
        {"PGPROOF_WEBHOOK_CA_FILE": "/no/such/file"},
    ],
)
@pytest.mark.parametrize("command", [["backup"], ["restore", "latest"]], ids=["backup", "restore"])
def test_a_webhook_that_cannot_be_is_3_before_anything_is_done(
    pgproof: Command, receiver: Receiver, store: Path, command: list[str], change: dict[str, str]
) -> None:
    ended = pgproof(*command, "--json", **change)
    assert ended.code == 3
    assert "webhook" in f"{ended.error['message']} {ended.error['detail']}".lower()
    assert not store.exists()
    assert receiver.messages == []
    assert "planted" not in ended.stdout + ended.stderr + outcome(pgproof)


class TestOutcome:
    def test_it_has_4096_bytes_at_most_and_whole_letters(self, pgproof: Command) -> None:
        assert pgproof("restore", "x" + "ü" * 5000).code == 2
        data = (pgproof.home / "outcome").read_bytes()
        assert 4094 <= len(data) <= 4096
        assert data.decode().startswith("pgproof: error: 'xü")

    @pytest.mark.parametrize("place", ["no/such/folder/outcome", "."])
    def test_one_that_cannot_be_left_is_a_warning(self, pgproof: Command, place: str) -> None:
        ended = pgproof("backup", PGPROOF_TERMINATION_LOG=place)
        assert ended.code == 0, ended
        assert "the outcome could not be left" in "".join(warnings(ended))
        failed = pgproof("restore", "nonsense", PGPROOF_TERMINATION_LOG=place)
        assert failed.code == 2
        assert "the outcome could not be left" in failed.stderr
