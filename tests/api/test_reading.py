"""Lists, single backups and figures, also while the store is not there."""

from __future__ import annotations

import json
import time

import pytest

from backup.domain.manifest import Status
from tests.monitoring.conftest import DAY, HOUR, Shelf
from tests.support.command import wait_until
from tests.support.serving import Service, serving


def test_the_list_says_of_each_backup_what_the_command_says(shelf: Shelf) -> None:
    old = shelf.put(2 * DAY)
    shelf.drill(old)
    shelf.put(HOUR, status=Status.SUSPECT)
    shelf.put(3 * HOUR, target="crm")
    with serving(shelf.pgproof) as service:
        page = service.get("/api/backups").json()
    listed = shelf.pgproof("list", "--all", "--json").result["backups"]
    listed = {(each["target"], each["id"]): each for each in listed}
    assert [each["target"] for each in page["backups"]] == ["shop", "crm", "shop"]
    assert page["next"] is None
    assert [(each["id"], each["proven"]) for each in page["backups"]][2] == (old.id, True)
    for each in page["backups"]:
        said = listed[each["target"], each["id"]]
        same = each.keys() - {"proven", "drill"}
        assert {key: each[key] for key in same} == {key: said[key] for key in same}
    (state,) = page["stores"]
    assert (state["up"], [each["target"] for each in state["targets"]]) == (True, ["crm", "shop"])
    assert state["targets"][1]["newest_proven"] == old.id


def test_pages_hold_everything_once(shelf: Shelf) -> None:
    made = [shelf.put(HOUR * n).id for n in range(1, 8)]
    with serving(shelf.pgproof) as service:
        found: list[str] = []
        before: str | None = ""
        while before is not None:
            page = service.get("/api/backups", params={"limit": 3, **({"before": before} if before else {})}).json()
            found += [each["id"] for each in page["backups"]]
            before = page["next"]
    assert found == made


def test_one_backup_comes_with_its_manifest_its_drills_and_the_command_that_restores_it(shelf: Shelf) -> None:
    old = shelf.put(2 * DAY)
    shelf.drill(old)
    shelf.put(HOUR)
    with serving(shelf.pgproof) as service:
        found = service.get("/api/backups/latest-proven").json()
        by_id = service.get(f"/api/backups/{old.id}").json()
        by_time = service.get(f"/api/backups/{old.snapshot.time + HOUR:%Y-%m-%dT%H:%MZ}").json()
    assert found == by_id == by_time
    assert found["manifest"] == json.loads(old.to_json())
    assert [each["verdict"] for each in found["drills"]] == ["proven"]
    assert found["restore"] == f"pgproof restore {old.id} --target shop"
    assert found["stores"] == [str(shelf.folder)]


def test_a_backup_that_two_targets_may_mean_is_asked_back(shelf: Shelf) -> None:
    shelf.put(HOUR)
    shelf.put(2 * HOUR, target="crm")
    with serving(shelf.pgproof) as service:
        asked = service.get("/api/backups/latest")
        assert (asked.status_code, asked.json()["error"]["hint"]) == (400, "choose one: ?target=NAME")
        assert service.get("/api/backups/latest?target=crm").json()["target"] == "crm"


@pytest.mark.parametrize(
    "path",
    [
        "/api/backups/20200101T000000Z",
        "/api/backups/../../../etc/passwd",
        "/api/backups/..%2f..%2fetc%2fpasswd",
        "/api/backups/%2e%2e",
        "/api/backups/latest%00",
        "/api/backups/latest%0d%0aX-Injected:%20yes",
        "/api/backups/" + "a" * 101,
        "/api/backups/latest?target=../etc",
        "/api/backups/2026-11-22T08:30Z%20--help",
        "/api/backups?before=x",
        "/api/backups?limit=0",
        "/api/backups?limit=99999999999999999999",
        "/api/nothing",
    ],
)
def test_what_names_no_backup_is_refused_and_nothing_else_happens(service: Service, path: str) -> None:
    answer = service.get(path)
    assert answer.status_code in {400, 404, 422}
    assert "x-injected" not in answer.headers
    assert answer.json()["error"].keys() >= {"code", "message", "hint"}


def test_a_new_backup_is_seen_and_a_deleted_one_goes(shelf: Shelf) -> None:
    first = shelf.put(2 * HOUR)
    with serving(shelf.pgproof) as service:

        def listed() -> list[str]:
            return [each["id"] for each in service.get("/api/backups").json()["backups"]]

        assert listed() == [first.id]
        second = shelf.put(HOUR)
        wait_until(lambda: listed() == [second.id, first.id])
        shelf.store.delete(f"shop/{first.id}/manifest.json")
        wait_until(lambda: listed() == [second.id])


def test_while_the_store_is_gone_what_is_known_of_it_is_told_with_its_time(shelf: Shelf) -> None:
    made = shelf.put(HOUR)
    away = shelf.disk.with_name("away")
    with serving(shelf.pgproof) as service:

        def state() -> dict[str, object]:
            found: dict[str, object] = service.get("/api/backups").json()["stores"][0]
            return found

        shelf.disk.rename(away)
        wait_until(lambda: not state()["up"])
        read = state()["read"]
        time.sleep(1.5)  # another look that fails
        page = service.get("/api/backups").json()
        assert (page["backups"][0]["id"], page["stores"][0]["read"]) == (made.id, read)
        assert service.get("/readyz", token=None).status_code == 200
        assert 'pgproof_store_up{store="' in service.get("/metrics").text
        away.rename(shelf.disk)
        wait_until(lambda: state()["up"])


def test_the_figures_are_those_of_the_watch(shelf: Shelf) -> None:
    shelf.put(HOUR)
    with serving(shelf.pgproof) as service:
        answer = service.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert 'pgproof_backups{status="complete",' in answer.text


def test_a_named_target_is_seen_alone(shelf: Shelf) -> None:
    shelf.put(HOUR)
    shelf.put(HOUR, target="crm")
    with serving(shelf.pgproof, "--target", "crm") as service:
        assert [each["target"] for each in service.get("/api/backups").json()["backups"]] == ["crm"]


def test_the_description_has_every_route_with_its_failures_and_examples(service: Service) -> None:
    found = service.get("/api/openapi.json", token=None).json()
    assert {"/api/backups", "/api/backups/{backup}", "/api/backup", "/metrics", "/healthz"} <= found["paths"].keys()
    for path in ("/api/backups", "/api/backups/{backup}", "/api/backup"):
        route = found["paths"][path]["get"]
        assert route["security"] == [{"token": []}]
        assert {"200", "400", "401", "403", "429"} <= route["responses"].keys()
    assert found["components"]["schemas"]["BackupSummary"]["example"]["target"] == "shop"
