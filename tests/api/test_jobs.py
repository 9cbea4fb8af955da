"""In a cluster runs are Jobs of the release; a test plays the cluster's part."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.api.test_page import signed_in
from tests.api.test_runs import ended, events
from tests.cli.test_plugin import LABELS, api, container_of, runs
from tests.kube.api_server import Answer, Api
from tests.monitoring.conftest import Shelf
from tests.support.serving import MASTER, Service, serving

__all__ = ["api"]


@pytest.fixture
def in_cluster(api: Api, shelf: Shelf, tmp_path: Path) -> Iterator[Service]:
    kubeconfig = str(api.kubeconfig(tmp_path))
    with serving(shelf.pgproof, "--release", "shop", KUBECONFIG=kubeconfig) as found:
        yield found


def test_a_backup_is_a_job_of_the_cronjob_and_its_log_is_followed(api: Api, in_cluster: Service) -> None:
    runs(api, 0, ["dumping", "backup stored"], said="backup 20261122T080000Z")
    answer = in_cluster.post("/api/backups", json={"labels": {"commit": "d2"}})
    run = answer.json()
    assert (answer.status_code, run["kind"]) == (202, "backup")
    job = api.objects["jobs", run["id"]]
    assert job["metadata"]["ownerReferences"][0]["name"] == "shop-backup"
    assert container_of(job)["args"] == ["backup", "--label=commit=d2"]
    with in_cluster.caller() as caller, caller.stream("GET", run["log"]) as stream:
        told = list(events(stream.iter_lines()))
    assert [text for name, text in told if name == "log"] == ["dumping", "backup stored"]
    done = ended(in_cluster, run)
    assert (done["state"], done["exit_code"], done["outcome"]) == ("succeeded", 0, "backup 20261122T080000Z")


def test_a_restore_takes_the_template_of_restores(api: Api, in_cluster: Service) -> None:
    runs(api, 9, ["no"], said="pgproof: error: no backup")
    body = {"backup": "latest", "into": "back", "tables": ["a", "b"]}
    run = in_cluster.post("/api/restores", token=MASTER, json=body).json()
    args = container_of(api.objects["jobs", run["id"]])["args"]
    assert args == ["restore", "latest", "--into=back", "--table=a", "--table=b"]
    done = ended(in_cluster, run)
    assert (done["state"], done["exit_code"], done["outcome"]) == ("failed", 9, "pgproof: error: no backup")


def test_while_a_job_is_under_way_there_is_no_second_whoever_made_it(api: Api, in_cluster: Service) -> None:
    first = in_cluster.post("/api/backups").json()
    second = in_cluster.post("/api/backups")
    assert (second.status_code, second.json()["error"]["hint"]) == (409, f"follow it: {first['url']}")
    assert len(api.names("jobs")) == 1


def test_the_same_key_finds_the_same_job_also_after_a_restart(
    in_cluster: Service, shelf: Shelf, tmp_path: Path
) -> None:
    key = {"Idempotency-Key": "deploy-1"}
    first = in_cluster.post("/api/backups", headers=key).json()
    with serving(shelf.pgproof, "--release", "shop", KUBECONFIG=str(tmp_path / "kubeconfig")) as replica:
        again = replica.post("/api/backups", headers=key)
        assert (again.status_code, again.json()["id"]) == (202, first["id"])
        other = replica.post("/api/backups", headers=key, json={"labels": {"a": "b"}})
        assert other.status_code == 422


def test_jobs_of_others_are_nobodys_runs(api: Api, in_cluster: Service) -> None:
    api.add("jobs", "somebodys", labels={"app.kubernetes.io/instance": "other"}, status={}, spec={})
    assert in_cluster.get("/api/runs/somebodys").status_code == 404
    assert in_cluster.get("/api/runs/somebodys/log").status_code == 404
    assert in_cluster.get("/api/runs").json() == {"runs": []}


def test_what_the_release_does_not_have_is_404_and_a_missing_right_is_told(api: Api, in_cluster: Service) -> None:
    assert in_cluster.post("/api/sync").status_code == 404
    api.answers["POST", "jobs"] = Answer.refusal(403, 'jobs.batch is forbidden: User "x" cannot create')
    answer = in_cluster.post("/api/backups")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "access_denied")


@pytest.fixture
def of_two(api: Api, shelf: Shelf, tmp_path: Path) -> Iterator[Service]:
    """A release with two databases, one of which has a target that is not called as it is; both have backups."""
    for name in api.names("cronjobs"):
        del api.objects["cronjobs", name]
    for key, target in (("crm", "customers"), ("shop", "shop")):
        labels = {**LABELS, "app.kubernetes.io/component": "backup", "pgproof/database": key}
        container = {"name": "pgproof", "args": ["backup"], "env": [{"name": "PGPROOF_TARGET", "value": target}]}
        job = {"metadata": {"labels": labels}, "spec": {"template": {"spec": {"containers": [container]}}}}
        api.add("cronjobs", f"both-{key}-backup", labels=labels, spec={"jobTemplate": job}, status={})
        shelf.put(timedelta(hours=1), target=target)
    kubeconfig = str(api.kubeconfig(tmp_path))
    with serving(
        shelf.pgproof, "--release", "shop", KUBECONFIG=kubeconfig, PGPROOF_TARGET=None, PGPROOF_DATABASE_URL=None
    ) as found:
        yield found


def test_of_several_databases_one_is_named(api: Api, of_two: Service) -> None:
    runs(api, 0, ["done"])
    refused = of_two.post("/api/backups")
    assert (refused.status_code, refused.json()["error"]["hint"]) == (400, "choose one with --database: crm, shop")
    assert of_two.get("/api/cron/backup").status_code == 400
    for answer in (
        of_two.post("/api/backups", json={"database": "crm"}),
        of_two.get("/api/cron/backup?database=shop"),
    ):
        assert answer.status_code == 202
    owners = {api.objects["jobs", name]["metadata"]["ownerReferences"][0]["name"] for name in api.names("jobs")}
    assert owners == {"both-crm-backup", "both-shop-backup"}
    assert of_two.get("/api/cron/backup?database=other").status_code == 404


def test_on_the_page_the_database_is_that_of_the_target_one_looks_at(api: Api, of_two: Service) -> None:
    runs(api, 0, ["done"])
    with signed_in(of_two) as caller:
        page = caller.get("/?target=customers").text
        key = re.search(r'name="key" value="([^"]+)"', page)
        assert key
        assert 'name="target" value="customers"' in page
        answer = caller.post("/start/backup", data={"key": key[1], "target": "customers"})
        assert answer.status_code == 303
        assert caller.post("/start/backup", data={"key": key[1], "target": "nobody"}).status_code == 404
    (job,) = api.names("jobs")
    assert api.objects["jobs", job]["metadata"]["ownerReferences"][0]["name"] == "both-crm-backup"


def test_on_the_page_of_another_releases_target_nothing_of_this_one_is_started(
    api: Api, shelf: Shelf, tmp_path: Path
) -> None:
    runs(api, 0, ["done"])
    for target in ("shop", "crm"):
        shelf.put(timedelta(hours=1), target=target)
    address = "postgresql://nobody@127.0.0.1:1/shop"
    with (
        serving(
            shelf.pgproof,
            "--release",
            "shop",
            KUBECONFIG=str(api.kubeconfig(tmp_path)),
            PGPROOF_TARGET=None,
            PGPROOF_DATABASE_URL=address,
        ) as found,
        signed_in(found) as caller,
    ):
        key = re.search(r'name="key" value="([^"]+)"', caller.get("/?target=crm").text)
        assert key
        refused = caller.post("/start/backup", data={"key": key[1], "target": "crm"})
        assert (refused.status_code, api.names("jobs")) == (400, [])
        assert "No backup of this release is of crm" in refused.text
        assert caller.post("/start/backup", data={"key": key[1], "target": "shop"}).status_code == 303


def test_a_scheduler_gets_a_backup_where_there_is_no_sync(api: Api, in_cluster: Service) -> None:
    answer = in_cluster.get("/api/cron/backup")
    assert (answer.status_code, [each["kind"] for each in answer.json()["runs"]]) == (202, ["backup"])
    assert len(api.names("jobs")) == 1
