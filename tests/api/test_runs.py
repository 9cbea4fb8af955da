"""What is started over HTTP runs as the command does, and is followed to its end."""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.api.conftest import serving_shop
from tests.fixtures.postgres import NewDatabase, Server
from tests.rows.conftest import Shop
from tests.support.command import wait_until
from tests.support.serving import MASTER, READER, USUAL, Service, serving


def ended(service: Service, run: dict[str, Any], *, limit: float = 60) -> dict[str, Any]:
    """The run once it has ended."""
    found: dict[str, Any] = {}

    def is_over() -> bool:
        found.update(service.get(run["url"]).json())
        return bool(found["state"] != "running")

    wait_until(is_over, limit=limit)
    return found


def events(lines: Iterator[str]) -> Iterator[tuple[str, str]]:
    """Server-sent events: their names and data."""
    name = ""
    for line in lines:
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, value


@pytest.fixture
def locked(shop: Shop) -> Iterator[Shop]:
    """A shop of which a backup does not come to its end, for somebody holds a lock."""
    with shop.connect() as connection, connection.transaction():
        connection.execute("LOCK TABLE wallets IN ACCESS EXCLUSIVE MODE")
        yield shop


@pytest.fixture
def slow_service(locked: Shop) -> Iterator[Service]:
    with serving_shop(locked) as found:
        yield found


def test_a_backup_is_started_followed_and_listed(shop_service: Service) -> None:
    answer = shop_service.post("/api/backups", json={"labels": {"commit": "d22021c"}})
    run = answer.json()
    assert (answer.status_code, run["state"], answer.headers["location"]) == (202, "running", run["url"])
    with shop_service.caller(READER) as caller, caller.stream("GET", run["log"]) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        told = list(events(stream.iter_lines()))
    assert [name for name, _ in told][-1] == "end"
    assert "backup started" in told[0][1]
    assert told[-2] == ("log", "ended with exit code 0")
    last = json.loads(told[-1][1])
    assert (last["state"], last["exit_code"]) == ("succeeded", 0)
    done = shop_service.get(run["url"]).json()
    wait_until(lambda: shop_service.get("/api/backups").json()["backups"])
    (listed,) = shop_service.get("/api/backups").json()["backups"]
    assert listed["id"] == done["result"]["id"]
    assert shop_service.get("/api/backups/latest").json()["manifest"]["labels"] == {"commit": "d22021c"}
    assert [each["id"] for each in shop_service.get("/api/runs").json()["runs"]] == [run["id"]]


def test_a_broken_line_goes_on_where_it_broke(shop_service: Service) -> None:
    run = shop_service.post("/api/backups").json()
    ended(shop_service, run)
    whole = shop_service.get(run["log"]).text
    rest = shop_service.get(run["log"], headers={"Last-Event-ID": "1"}).text
    assert "id: 1\n" in whole
    assert "id: 1\n" not in rest
    assert "id: 2\n" in rest
    assert shop_service.get(run["log"], headers={"Last-Event-ID": "x" * 50}).text == whole


def test_a_drill_and_a_restore_run_too_and_a_restore_takes_its_own_scope(
    shop: Shop, shop_service: Service, new_database: NewDatabase
) -> None:
    assert ended(shop_service, shop_service.post("/api/backups").json())["exit_code"] == 0
    proven = ended(shop_service, shop_service.post("/api/drills", json={"backup": "latest"}).json())
    assert (proven["exit_code"], proven["result"]["verdict"]) == (0, "proven")
    into = new_database(shop.server, name=f"{shop.name}_x")  # its name is free again, and cleaned up in the end
    with shop.server.connect() as connection:
        connection.execute(f'DROP DATABASE "{into}"'.encode())
    body = {"backup": "latest", "into": into}
    assert shop_service.post("/api/restores", json=body).status_code == 403
    back = ended(shop_service, shop_service.post("/api/restores", token=MASTER, json=body).json())
    assert back["exit_code"] == 0, back
    assert into in shop.server.databases()


def test_what_overwrites_a_database_is_confirmed_by_its_name(shop_service: Service) -> None:
    for body in (
        {"backup": "latest", "replace": True},
        {"backup": "latest", "in_place": True},
        {"backup": "latest", "replace": True, "in_place": True, "confirm": "shop"},
        {"backup": "latest", "confirm": "shop"},
        {"backup": "--help"},
        {"backup": "latest", "into": ""},
        {"backup": "latest", "into": "a\x00b"},
        {"backup": "latest", "target_url": "postgresql://elsewhere"},
        {},
    ):
        assert shop_service.post("/api/restores", token=MASTER, json=body).status_code == 422, body
    run = shop_service.post("/api/restores", token=MASTER, json={"backup": "latest", "into": "--help"}).json()
    assert ended(shop_service, run)["exit_code"] == 9  # it is a name, and there is no backup


def test_a_run_that_fails_says_so(shop: Shop) -> None:
    (shop.run.home / "store").mkdir()
    gone = shop.server.url("no_such_database")
    with serving(shop.run, PGPROOF_STORE=str(shop.run.home / "store"), PGPROOF_DATABASE_URL=gone) as service:
        done = ended(service, service.post("/api/backups").json())
        assert (done["state"], done["exit_code"], done["result"]["error"]["code"]) == ("failed", 4, "database_missing")
        assert "no_such_database" in done["outcome"]
        assert shop.server.password not in service.get(done["log"]).text


def test_while_one_is_under_way_there_is_no_second(slow_service: Service) -> None:
    run = slow_service.post("/api/backups").json()
    second = slow_service.post("/api/backups")
    assert (second.status_code, second.json()["error"]["hint"]) == (409, f"follow it: {run['url']}")
    assert slow_service.get("/api/cron/backup").status_code == 409
    assert len(slow_service.get("/api/runs").json()["runs"]) == 1


def test_of_many_triggers_at_once_one_starts_a_run(slow_service: Service) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: slow_service.post("/api/backups").status_code, range(8)))
    assert sorted(found) == [202] + [409] * 7


def test_while_somebody_elses_backup_is_under_way_there_is_no_second(locked: Shop) -> None:
    store = locked.run.home / "store"
    store.mkdir()
    with serving(locked.run, PGPROOF_STORE=str(store)) as service, locked.run.start("backup", PGPROOF_STORE=str(store)):
        wait_until((store / locked.name / "lease.json").exists)
        answer = service.post("/api/backups")
    assert (answer.status_code, "is under way" in answer.json()["error"]["message"]) == (409, True)


def test_the_same_order_with_the_same_key_is_one_run(slow_service: Service) -> None:
    key = {"Idempotency-Key": "deploy-4711"}
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: slow_service.post("/api/backups", headers=key), range(4)))
    assert {each.status_code for each in found} == {202}
    assert len({each.json()["id"] for each in found}) == 1
    other = slow_service.post("/api/backups", headers=key, json={"labels": {"a": "b"}})
    assert (other.status_code, other.json()["error"]["code"]) == (422, "key_reused")
    assert slow_service.post("/api/backups", headers={"Idempotency-Key": "deploy-4712"}).status_code == 409


def test_a_scheduler_that_can_only_get_starts_a_backup_and_the_sync(
    shop: Shop, new_database: NewDatabase, pg18: Server
) -> None:
    second = new_database(pg18)
    (shop.run.home / "store").mkdir()
    environ = {"PGPROOF_STORE": str(shop.run.home / "store"), "PGPROOF_SYNC_URL": pg18.url(second)}
    with serving(shop.run, **environ) as service:
        assert service.get("/api/cron/backup", token=READER).status_code == 403
        assert service.get("/api/cron/backup", token=None, headers={"Cookie": f"pgproof={USUAL}"}).status_code == 401
        answer = service.get("/api/cron/backup")
        assert answer.status_code == 202
        done = [ended(service, run) for run in answer.json()["runs"]]
    assert [(each["kind"], each["exit_code"]) for each in done] == [("backup", 0), ("sync", 0)]
    with pg18.connect(second) as connection:
        assert connection.execute("SELECT count(*) FROM transactions").fetchone() == (40,)


def test_a_sync_without_a_second_database_is_refused(shop_service: Service) -> None:
    answer = shop_service.post("/api/sync")
    assert (answer.status_code, answer.json()["error"]["message"]) == (503, "no second database is set")


def test_a_run_ends_with_the_service_and_leaves_nothing(locked: Shop, slow_service: Service) -> None:
    run = slow_service.post("/api/backups").json()
    store = locked.run.home / "store"
    wait_until(lambda: list(store.glob("*/lease.json")))
    with slow_service.caller() as caller, caller.stream("GET", run["log"]) as stream:
        next(stream.iter_lines())
        begun = time.monotonic()
        slow_service.running.signal(signal.SIGTERM)
        done = slow_service.running.finish()
        assert time.monotonic() - begun < 25
    assert (done.code, done.left) == (0, ())
    assert not list(store.glob("*/lease.json"))
    assert not list(store.glob("*/*/dump*"))


def test_a_database_is_chosen_in_a_cluster_alone(service: Service) -> None:
    for path in ("/api/backups", "/api/drills", "/api/sync"):
        answer = service.post(path, json={"database": "crm"})
        assert (answer.status_code, "no databases to choose from" in answer.text) == (400, True)
    assert service.get("/api/runs").json() == {"runs": []}


def test_a_bucket_that_hangs_keeps_nobody_waiting(shop: Shop) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=200) as hole:  # takes every caller and never answers
        bucket = {
            "PGPROOF_STORE": "s3://backups",
            "PGPROOF_S3_ENDPOINT": f"http://127.0.0.1:{hole.getsockname()[1]}",
            "PGPROOF_S3_ACCESS_KEY": "key",
            "PGPROOF_S3_SECRET_KEY": "a-secret-of-a-test",
        }
        with serving(shop.run, **bucket) as service:
            begun = time.monotonic()
            with ThreadPoolExecutor(8) as pool:
                found = list(pool.map(lambda _: service.post("/api/backups").status_code, range(8)))
            assert sorted(found) == [202] + [409] * 7
            assert service.get("/api/runs").status_code == 200
            assert time.monotonic() - begun < 10
            service.running.signal(signal.SIGTERM)
            assert service.running.finish(limit=28).left == ()  # Kubernetes kills after 30 s


def test_a_run_that_nobody_knows_is_404(shop_service: Service) -> None:
    for path in ("/api/runs/nothing", "/api/runs/nothing/log", "/api/runs/..%2f..", "/api/runs/a%00b"):
        assert shop_service.get(path).status_code == 404


def test_the_children_do_not_get_the_tokens(slow_service: Service) -> None:
    slow_service.post("/api/backups")
    wait_until(lambda: slow_service.running.processes("pg_dump"))
    for process in slow_service.running.processes():
        assert USUAL not in " ".join(process.environ().values())


def test_a_body_that_is_none_is_refused(service: Service) -> None:
    for content in (b"{", b"[]", b'{"labels": {"a b": "c"}}', b'{"labels": "x"}', b'{"strange": 1}', b"\xff\xfe"):
        answer = service.post("/api/backups", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code in {400, 422}, content
        assert "error" in answer.json()


def test_a_restore_by_a_reader_is_refused_before_its_body_is_looked_at(service: Service) -> None:
    assert service.post("/api/restores", token=READER, content=b"{").status_code in {403, 422}
    assert isinstance(service.get("/api/runs", token=READER), httpx.Response)
