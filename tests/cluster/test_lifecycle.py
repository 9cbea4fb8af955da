"""Upgrade from the commit before, uninstall, and what the bucket alone is worth."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.cluster.support.kubectl import wait_until
from tests.cluster.support.release import ROOT, Release
from tests.cluster.support.site import ITEMS, Site


@pytest.fixture
def earlier_chart(tmp_path: Path) -> Path:
    """The chart before its last change."""
    changed = git("log", "--max-count=1", "--format=%H", "--", "helm").decode().strip()
    with tarfile.open(fileobj=io.BytesIO(git("archive", f"{changed}^", "helm"))) as tar:
        tar.extractall(tmp_path, filter="data")
    return tmp_path / "helm"


def git(*arguments: str) -> bytes:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, check=False)
    assert done.returncode == 0, f"the history of the chart is needed: {done.stderr.decode()}"
    return done.stdout


def test_an_upgrade_from_the_earlier_chart_takes_new_values_and_keeps_backups(site: Site, earlier_chart: Path) -> None:
    release = site.install(chart=earlier_chart)
    first = release.run(f"{site.name}-backup", f"{site.name}-earlier")
    assert first.succeeded, first
    release.request(backup="20000101T000000Z", into="left_behind")

    release.upgrade(site.values(schedule="7 3 * * *", backoffLimit=1, config={"dump": {"compression": "none"}}))
    spec = site.cluster.get("cronjob", f"{site.name}-backup")["spec"]
    assert (spec["schedule"], spec["jobTemplate"]["spec"]["backoffLimit"]) == ("7 3 * * *", 1)
    second = release.run(f"{site.name}-backup", f"{site.name}-later")
    assert second.succeeded, second
    assert site.backups() == [first.backup, second.backup]
    manifest = site.servers.manifest(site.name, site.name, second.backup)
    assert {part["compression"] for part in manifest["parts"]} == {"none"}

    request = site.cluster.get("configmap", f"{site.name}-restore-request")["data"]
    assert (request["backup"], request["into"]) == ("latest", "")
    assert "Succeeded" in site.helm("test", site.name).stdout


def objects_of(site: Site) -> list[str]:
    """Every object of any namespaced kind that bears the release's label or is helm's own record of it."""
    kinds = site.cluster.kubectl("api-resources", "--namespaced", "--verbs=list", "-o", "name").stdout.split()
    every = ",".join(kind for kind in kinds if not kind.startswith("events"))
    labelled = ("get", every, "--ignore-not-found", "-o", "name", "-l")
    found = site.cluster.kubectl(*labelled, f"app.kubernetes.io/instance={site.name}").stdout.split()
    return found + site.cluster.kubectl("get", "secrets", "-o", "name", "-l", f"name={site.name}").stdout.split()


def test_uninstall_leaves_no_object_and_the_bucket_alone_restores_into_a_fresh_release(site: Site) -> None:
    release = site.install(events={"enabled": True}, networkPolicy={"enabled": True})
    backup = release.run(f"{site.name}-backup", f"{site.name}-last")
    assert backup.succeeded, backup
    assert len(objects_of(site)) > 10
    site.helm("uninstall", site.name)
    wait_until(lambda: not objects_of(site), "no object of the release")

    site.servers.sql("postgres", f"DROP DATABASE {site.name}")
    fresh = f"{site.name}f"
    url = site.servers.make_database(fresh)
    site.set_secrets(url)
    request = {"into": f"{fresh}_back", "no-owner": "true", "no-privileges": "true"}
    values = site.values(database={"target": site.name}, restore={"request": request})
    again = Release(name=fresh, cluster=site.cluster)
    try:
        site.install_as(fresh, values)
        restored = again.run(f"{fresh}-restore", f"{fresh}-back")
        assert restored.succeeded, restored
        assert site.servers.sql(f"{fresh}_back", "SELECT id, name FROM items ORDER BY id") == ITEMS
    finally:
        site.helm("uninstall", fresh, "--ignore-not-found")
