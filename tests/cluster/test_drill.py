"""Drills in the cluster: a pod with a read-only root proves a backup, and needs nothing but the store for it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cluster.support import node
from tests.cluster.support.kubectl import wait_until
from tests.cluster.support.release import WEBHOOK_SECRET, Outcome, Release
from tests.cluster.support.servers import is_signed
from tests.cluster.support.site import ITEMS, Site
from tests.cluster.test_places import Volume, volume
from tests.cluster.test_plugin import ask

__all__ = ["volume"]
"""A fixture of another module."""


def backed_up(site: Site, **values: Any) -> tuple[Release, str]:  # noqa: ANN401 - YAML
    """A release whose target is named, and a backup."""
    release = site.install(database={"target": site.name}, **values)
    outcome = release.run(f"{site.name}-backup", f"{site.name}-before")
    assert outcome.succeeded, outcome
    return release, outcome.backup


def told(site: Site) -> list[dict[str, Any]]:
    """What came by webhook, of drills alone."""
    hooks = site.servers.hooks(site.name)
    assert all(is_signed(hook, WEBHOOK_SECRET) for hook in hooks)
    return [event for event in (json.loads(hook["body"]) for hook in hooks) if event["type"].startswith("drill.")]


def verdicts(site: Site, backup: str) -> list[str]:
    """What stands beside a backup in the bucket."""
    return [drill["verdict"] for drill in site.servers.drills(site.name, site.name, backup)]


def assert_proven(site: Site, outcome: Outcome, backup: str) -> None:
    assert (outcome.succeeded, outcome.code, outcome.pods) == (True, 0, 1), outcome
    assert f"{backup} proven" in outcome.message
    (result,) = site.servers.drills(site.name, site.name, backup)
    assert (result["verdict"], result["tables"], result["differences"]) == ("proven", 2, [])
    assert result["rows"] == len(ITEMS) + 100
    (event,) = told(site)
    assert (event["type"], event["data"]["drill"]["backup"]) == ("drill.proven", backup)


def test_a_drill_by_kubectl_alone_proves_the_latest_backup_and_says_so_everywhere(site: Site) -> None:
    release, backup = backed_up(site, events={"enabled": True})
    # It reads the store alone: the database's password is not there to be had.
    site.cluster.kubectl("delete", "secret", f"{site.name}-database")
    outcome = release.run(f"{site.name}-drill", f"{site.name}-proof")
    assert_proven(site, outcome, backup)
    (pod,) = release.pods(outcome.job)
    assert pod["spec"]["containers"][0]["securityContext"]["readOnlyRootFilesystem"]

    cronjob = site.cluster.get("cronjob", f"{site.name}-drill")
    assert cronjob["spec"]["suspend"]
    of_it = f"involvedObject.uid={cronjob['metadata']['uid']}"
    events = {each["reason"]: each for each in site.cluster.items("events", "--field-selector", of_it)}
    assert events["DrillProven"]["type"] == "Normal"
    assert backup in events["DrillProven"]["message"]

    site.set_secrets()
    listed = ask(site.cluster, "list", "--release", site.name)
    assert listed.code == 0, listed
    (line,) = [line for line in listed.stdout.splitlines() if line.startswith(backup)]
    assert "proven" in line


@pytest.mark.timeout(420)
def test_a_drill_that_is_enabled_runs_by_itself_as_a_user_id_without_a_name(site: Site) -> None:
    """Slow: the shortest schedule of Kubernetes is a minute."""
    values = {"podSecurityContext": {"runAsUser": 123456, "runAsGroup": 0, "fsGroup": 123456}}
    release, backup = backed_up(site, **values)
    drill = {"enabled": True, "schedule": "* * * * *"}
    named = {"target": site.name}
    release.upgrade(site.values(database=named, drill=drill, **values))
    cronjob = f"{site.name}-drill"

    def job() -> str:
        made = site.cluster.items("jobs", "-l", f"app.kubernetes.io/instance={site.name}")
        return next((each["metadata"]["name"] for each in made if each["metadata"]["name"].startswith(cronjob)), "")

    first = wait_until(job, "a drill by itself", limit=90)
    release.upgrade(site.values(database=named, **values))
    outcome = release.finish(first)
    assert_proven(site, outcome, backup)
    (pod,) = release.pods(first)
    assert pod["spec"]["securityContext"]["runAsUser"] == 123456


def test_the_plugin_ends_with_7_where_a_backup_was_damaged(site: Site) -> None:
    _, backup = backed_up(site)
    mine = ("--release", site.name)
    proven = ask(site.cluster, "drill", *mine, "--json")
    assert proven.code == 0, proven
    assert f"{backup} proven" in json.loads(proven.stdout)["outcome"]

    dump = f"{site.name}/{backup}/dump."
    (key,) = [key for key in site.bucket().objects if key.startswith(dump)]
    site.servers.damage(site.name, key)
    damaged = ask(site.cluster, "drill", backup, *mine)
    assert damaged.code == 7, damaged
    assert "checksum" in damaged.stderr
    assert verdicts(site, backup) == ["proven", "failed"]
    assert [event["type"] for event in told(site)] == ["drill.proven", "drill.failed"]
    assert told(site)[1]["data"]["error"]["exit_code"] == 7
    status = ask(site.cluster, "status", *mine)
    assert f"{site.name}-drill-" in status.stdout
    assert "exit code 7" in status.stdout


def test_a_server_of_another_image_proves_what_needs_its_extensions(site: Site) -> None:
    site.servers.sql(site.name, "CREATE EXTENSION places")
    site.sql("CREATE TABLE shops (id int PRIMARY KEY, at place CHECK (is_on_earth(at)))")
    site.sql("INSERT INTO shops VALUES (1, (52.5, 13.4)), (2, (-33.9, 151.2))")
    release, backup = backed_up(site)
    without = release.run(f"{site.name}-drill", f"{site.name}-without")
    assert (without.succeeded, without.code) == (False, 8), without
    assert "places" in without.log

    # It has its own user, as such images do.
    postgres = {"image": node.servers_image(), "securityContext": {"runAsUser": site.servers.user_id("postgres")}}
    checks = {"places": "SELECT count(*) = 2 AND bool_and(is_on_earth(at)) FROM shops"}
    release.upgrade(site.values(database={"target": site.name}, drill={"postgres": postgres, "checks": checks}))
    outcome = release.run(f"{site.name}-drill", f"{site.name}-beside")
    assert (outcome.succeeded, outcome.code, outcome.pods) == (True, 0, 1), outcome
    result = site.servers.drills(site.name, site.name, backup)[-1]
    assert (result["verdict"], result["tables"]) == ("proven", 3)
    assert [(check["name"], check["passed"]) for check in result["checks"]] == [("places", True)]
    (pod,) = release.pods(outcome.job)
    (server,) = pod["status"]["initContainerStatuses"]
    assert (server["restartCount"], server["state"]["terminated"]["exitCode"]) == (0, 0)


def test_the_server_may_live_on_a_volume_that_goes_with_the_pod(site: Site, volume: Volume) -> None:
    storage = {"size": "1Gi", "volume": True, "storageClass": volume.name}
    release, backup = backed_up(site, drill={"storage": storage})
    outcome = release.run(f"{site.name}-drill", f"{site.name}-aside")
    assert_proven(site, outcome, backup)
    (claim,) = site.cluster.items("persistentvolumeclaims", "-l", f"app.kubernetes.io/instance={site.name}")
    assert claim["status"]["phase"] == "Bound"
    assert list(volume.folder.iterdir()) == []
    site.cluster.kubectl("delete", "job", outcome.job)
    name = claim["metadata"]["name"]
    wait_until(lambda: site.cluster.get("persistentvolumeclaim", name) is None, "the end of the volume's claim")
