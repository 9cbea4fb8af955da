"""The HTTP service in the cluster: a backup is started through its Service and becomes a Job of the release."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cluster.support.kubectl import Finished, wait_until
from tests.cluster.support.release import NEVER, Release
from tests.cluster.support.site import BULK, Site

READER, TRIGGER, MASTER = "reader-of-the-cluster", "trigger-of-the-cluster", "master-of-the-cluster"
TOKENS = f"{READER}=read,{TRIGGER}=read+data+trigger,{MASTER}=read+data+trigger+restore"
_ASK = """
import json, sys, urllib.error, urllib.request
method, url, token, body = sys.argv[1:5]
request = urllib.request.Request(url, method=method, data=body.encode() or None)
request.add_header("Content-Type", "application/json")
if token:
    request.add_header("Authorization", f"Bearer {token}")
try:
    with urllib.request.urlopen(request, timeout=60) as answer:
        status, text = answer.status, answer.read().decode()
except urllib.error.HTTPError as error:
    status, text = error.code, error.read().decode()
print(json.dumps([status, text]))
"""


class Service:
    """What answers behind the Service of a release, asked from a pod beside it."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def answers(self) -> bool:
        """Whether somebody does: a node lets callers through a Service some time after a pod behind it is ready."""
        return self._ask("GET", "/healthz", "", "", check=False).code == 0

    def text(self, path: str, token: str = TRIGGER, *, method: str = "GET", body: object = None) -> tuple[int, str]:
        """Status and body of an answer."""
        done = self._ask(method, path, token, "" if body is None else json.dumps(body))
        status, text = json.loads(done.stdout)
        return status, text

    def _ask(self, method: str, path: str, token: str, said: str, *, check: bool = True) -> Finished:
        url = f"http://{self._site.name}-serve:8433{path}"
        command = ["/opt/pgproof/bin/python", "-c", _ASK, method, url, token, said]
        return self._site.cluster.kubectl("exec", "deployment/witness", "--", *command, check=check)

    def get(self, path: str, token: str = TRIGGER) -> tuple[int, Any]:
        """The same, of JSON."""
        status, text = self.text(path, token)
        return status, json.loads(text)

    def post(self, path: str, token: str = TRIGGER, body: object = None) -> tuple[int, Any]:
        """The same, of JSON."""
        status, text = self.text(path, token, method="POST", body=body)
        return status, json.loads(text)

    def end_of(self, run: str) -> dict[str, Any]:
        """A run once it has ended."""

        def ended() -> dict[str, Any] | None:
            _, found = self.get(f"/api/runs/{run}")
            return found if found["state"] != "running" else None

        found = wait_until(ended, f"the end of the run {run}", limit=120)
        assert found is not None
        return found


@pytest.fixture
def release(site: Site) -> Release:
    metadata = {"name": f"{site.name}-tokens", "labels": {"app.kubernetes.io/instance": site.name}}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"tokens": TOKENS}}
    site.cluster.apply(secret)
    return site.install(
        database={"target": site.name},
        schedule=NEVER,
        config={"rows": {"tables": {"items": None}}},
        serve={"enabled": True, "every": 1, "tokens": {"existingSecret": f"{site.name}-tokens"}},
    )


@pytest.fixture
def service(site: Site, release: Release) -> Service:
    site.cluster.kubectl("rollout", "status", f"deployment/{release.name}-serve", "--timeout=120s")
    found = Service(site)
    wait_until(found.answers, "an answer through the Service", limit=60)
    return found


def test_a_backup_started_through_the_service_is_a_job_of_the_release(site: Site, service: Service) -> None:
    status, run = service.post("/api/backups", body={"labels": {"commit": "d22021c"}})
    assert (status, run["kind"]) == (202, "backup")
    job = site.cluster.get("job", run["id"])
    (owner,) = job["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("CronJob", f"{site.name}-backup")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["backup", "--label=commit=d22021c"]
    _, log = service.text(f"/api/runs/{run['id']}/log")  # until its end
    assert "event: log" in log
    assert "event: end" in log
    done = service.end_of(run["id"])
    assert (done["state"], done["exit_code"]) == ("succeeded", 0), done
    (backup,) = site.backups()

    def listed() -> list[str]:
        _, page = service.get("/api/backups", READER)
        return [each["id"] for each in page["backups"]]

    assert wait_until(listed, "the service has seen the backup", limit=30) == [backup]
    assert site.servers.manifest(site.name, site.name, backup)["labels"] == {"commit": "d22021c"}


def test_a_scheduler_that_can_only_get_starts_one_and_no_second_beside_it(site: Site, service: Service) -> None:
    site.sql(*BULK)
    site.use_line()
    site.servers.hold_line()
    try:
        assert service.get("/api/cron/backup", READER)[0] == 403
        status, begun = service.get("/api/cron/backup")
        (run,) = begun["runs"]
        assert (status, run["kind"]) == (202, "backup")
        site.release.wait_for_pod(run["id"])
        status, refused = service.get("/api/cron/backup")
        assert (status, refused["error"]["hint"]) == (409, f"follow it: {run['url']}")
    finally:
        site.servers.free_line()
    assert service.end_of(run["id"])["state"] == "succeeded"
    assert len(site.backups()) == 1


def test_the_rows_the_drill_and_the_restore_go_through_the_service_too(site: Site, service: Service) -> None:
    status, document = service.get("/api/backup")
    assert (status, document["success"], document["stats"]) == (200, True, {"items": 3})
    assert [f"{row['id']}|{row['name']}" for row in document["data"]["items"]] == site.items()
    assert site.release.run(f"{site.name}-backup", f"{site.name}-made").succeeded
    _, run = service.post("/api/drills", body={"backup": "latest"})
    assert service.end_of(run["id"])["state"] == "succeeded"
    body = {"backup": "latest", "into": f"{site.name}_back"}
    assert service.post("/api/restores", body=body)[0] == 403
    _, run = service.post("/api/restores", MASTER, body)
    done = service.end_of(run["id"])
    assert done["state"] == "succeeded", done
    assert site.items(f"{site.name}_back") == site.items()


def test_its_account_can_make_jobs_and_read_no_secret(site: Site, service: Service) -> None:
    account = f"--as=system:serviceaccount:{site.cluster.namespace}:{site.name}-serve"
    for verb, kind, may in (
        ("create", "jobs", "yes"),
        ("get", "pods --subresource=log", "yes"),
        ("get", "secrets", "no"),
        ("delete", "jobs", "no"),
        ("create", "pods", "no"),
    ):
        said = site.cluster.kubectl("auth", "can-i", verb, *kind.split(), account, check=False).stdout.strip()
        assert said == may, (verb, kind)
    assert service.text("/readyz", "")[0] == 200
    assert service.get("/api/backups", "")[0] == 401
