"""What the pages say about Kubernetes, done as it stands: only files and the time of a backup are the test's own."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from tests.cluster.support.kubectl import Finished, program, run
from tests.cluster.support.release import CHART, Release, secrets_of
from tests.cluster.support.servers import ACCESS_KEY, SECRET_KEY, Servers
from tests.cluster.support.site import ITEMS, ROWS, Site
from tests.docs.pages import DOCS, ROOT, blocks

NAME = "shop"
"""The release, the database and the bucket of the pages' examples."""


@pytest.fixture
def shop(servers: Servers, image: str) -> Iterator[Site]:
    """What somebody has who opens the page: a database, a bucket, Secrets for the bucket and the webhook."""
    url = servers.make_database(NAME, *ROWS)
    servers.make_bucket(NAME)
    site = Site(name=NAME, cluster=servers.cluster, servers=servers, image=image, url=url)
    site.cluster.apply(*(each for each in secrets_of(NAME, url) if each["metadata"]["name"] != f"{NAME}-database"))
    try:
        yield site
    finally:
        site.remove()


def carry_out(site: Site, folder: Path, lines: str) -> Finished:
    """Run lines of a page in a folder, with kubectl, helm and the plugin at hand and the namespace chosen."""
    config = yaml.safe_load(site.cluster.kubeconfig.read_text(encoding="utf-8"))
    for each in config["contexts"]:
        each["context"]["namespace"] = site.cluster.namespace
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(config), encoding="utf-8")
    folders = [str(Path(sys.executable).parent), *(str(Path(program(each)).parent) for each in ("kubectl", "helm"))]
    environ = {"KUBECONFIG": str(kubeconfig), "PATH": ":".join([*folders, os.environ["PATH"]])}
    return run(["bash", "-eu", "-c", f"cd {folder}\n{lines}"], environ=environ, limit=240)


def finished(site: Site, job: str) -> None:
    outcome = Release(name=NAME, cluster=site.cluster).finish(job)
    assert outcome.succeeded, outcome


def test_the_lines_of_the_pages_install_back_up_and_restore(shop: Site, tmp_path: Path) -> None:
    (tmp_path / "database-url").write_text(f"{shop.url}\n", encoding="utf-8")
    (tmp_path / "access-key").write_text(f"{ACCESS_KEY}\n", encoding="utf-8")
    (tmp_path / "secret-key").write_text(f"{SECRET_KEY}\n", encoding="utf-8")
    # What the page says, on this image and this bucket.
    said = yaml.safe_load(blocks(ROOT / "README.md", "yaml")["In Kubernetes"])
    ours = shop.values(store={"existingSecret": said["store"]["existingSecret"]})
    assert said.keys() <= ours.keys()
    (tmp_path / "shop.yaml").write_text(yaml.safe_dump(ours), encoding="utf-8")
    shutil.copytree(CHART, tmp_path / "helm")

    carry_out(shop, tmp_path, blocks(ROOT / "README.md")["In Kubernetes"])
    finished(shop, "shop-now")
    (backup,) = shop.backups()
    shop.sql("INSERT INTO items VALUES (4, 'later')")

    minute = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    tonight = blocks(DOCS / "kubernetes.md")["Restore tonight"]
    assert "2026-11-22T08:30Z" in tonight
    latest, patch, others = tonight.replace("2026-11-22T08:30Z", minute).partition("kubectl patch configmap")
    carry_out(shop, tmp_path, latest)
    finished(shop, "shop-back")  # a pod that starts late would have the request of the next lines
    carry_out(shop, tmp_path, patch + others)
    jobs = [job["metadata"]["name"] for job in shop.cluster.items("jobs", "-l", "app.kubernetes.io/component=restore")]
    for job in jobs:
        finished(shop, job)
    for database in (f"{NAME}_restored_{backup.lower()}", f"{NAME}_morning", f"{NAME}_back"):
        assert shop.items(database) == ITEMS

    over = blocks(DOCS / "kubernetes.md")["Over what is there"]
    assert "20261122T080000Z" in over
    patch = "kubectl patch configmap"
    start, replace, in_place = over.replace("20261122T080000Z", backup).split(patch)
    carry_out(shop, tmp_path, start + patch + replace)
    finished(shop, "shop-replace")  # as above
    carry_out(shop, tmp_path, start + patch + in_place)
    (replaced,) = (name for name in shop.servers.databases() if name.startswith(f"{NAME}_replaced_"))
    assert shop.items(replaced) == [*ITEMS, "4|later"]
    finished(shop, "shop-in-place")
    assert shop.items() == ITEMS
    carry_out(shop, tmp_path, blocks(DOCS / "kubernetes.md")["When something is wrong"])
    carry_out(shop, tmp_path, blocks(DOCS / "kubernetes.md")["Uninstall"])
    assert shop.cluster.get("cronjob", f"{NAME}-backup") is None
