"""`kubectl pgproof`, as kubectl finds it on the PATH."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.cluster.support.kubectl import Cluster, Finished, program, run
from tests.cluster.support.site import ITEMS, Site


def ask(cluster: Cluster, *arguments: str) -> Finished:
    """`kubectl pgproof …` in the namespace."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environ = {"KUBECONFIG": str(cluster.kubeconfig), "PATH": path}
    verb, *rest = arguments
    argv = [program("kubectl"), "pgproof", verb, "--namespace", cluster.namespace, *rest]
    return run(argv, environ=environ, check=False)


def test_the_plugin_backs_up_lists_restores_and_says_how_it_was(site: Site) -> None:
    site.install()
    mine = ("--release", site.name)
    made = ask(site.cluster, "backup", *mine, "--json")
    assert made.code == 0, made
    (backup,) = site.backups()
    outcome = json.loads(made.stdout)
    assert (outcome["exit_code"], backup in outcome["outcome"]) == (0, True)
    assert "backup started" in made.stderr

    listed = ask(site.cluster, "list", *mine)
    assert listed.code == 0, listed
    assert [line.split()[0] for line in listed.stdout.splitlines()] == ["id", backup]
    known = json.loads(ask(site.cluster, "list", *mine, "--json").stdout)
    assert [each["id"] for each in known["backups"]] == [backup]

    site.sql("INSERT INTO items VALUES (4, 'later')")
    into = f"{site.name}_again"
    restored = ask(site.cluster, "restore", backup, "--into", into, *mine)
    assert restored.code == 0, restored
    assert into in restored.stdout
    assert site.items(into) == ITEMS

    status = ask(site.cluster, "status", *mine)
    assert status.code == 0, status
    jobs = [line.split()[0] for line in status.stdout.splitlines() if " good " in line]
    # Those that answered a question are gone.
    assert sorted(name.rpartition("-")[0] for name in jobs) == [f"{site.name}-backup", f"{site.name}-restore"]
    assert backup in status.stdout
    shown = ask(site.cluster, "logs", outcome["job"], *mine)
    assert "backup started" in shown.stdout


def test_the_plugin_ends_with_the_exit_code_of_its_job(site: Site) -> None:
    site.install()
    mine = ("--release", site.name)
    missing = ask(site.cluster, "restore", "20000101T000000Z", *mine)
    assert missing.code == 9, missing
    assert "20000101T000000Z" in missing.stderr
    assert ask(site.cluster, "list", *mine).code == 9
    assert ask(site.cluster, "backup", *mine).code == 0
    unconfirmed = ask(site.cluster, "restore", "latest", "--in-place", *mine)
    assert unconfirmed.code == 2, unconfirmed
    assert f"--confirm {site.name}" in unconfirmed.stderr
    site.set_secrets(site.url.replace("secret-of", "wrong"))
    refused = ask(site.cluster, "backup", *mine)
    assert refused.code == 14, refused
    assert "password authentication failed" in refused.stderr
    assert refused.stdout == ""


def test_the_plugin_names_the_release_that_is_not_there(site: Site) -> None:
    site.install()
    wrong = ask(site.cluster, "status", "--release", "nobody")
    assert wrong.code == 9
    assert "no release nobody" in wrong.stderr
    assert site.name in wrong.stderr
    elsewhere = ask(site.cluster.in_namespace("default"), "status")
    assert elsewhere.code == 9
    assert "no pgproof is installed in the namespace default" in elsewhere.stderr


@pytest.fixture
def nobody(site: Site, tmp_path: Path) -> Iterator[Cluster]:
    """The same cluster, as an account without any right."""
    site.cluster.kubectl("create", "serviceaccount", site.name)
    token = site.cluster.kubectl("create", "token", site.name).stdout.strip()
    config = yaml.safe_load(site.cluster.kubeconfig.read_text(encoding="utf-8"))
    config["users"] = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    yield Cluster(kubeconfig=file, namespace=site.cluster.namespace)
    site.cluster.kubectl("delete", "serviceaccount", site.name)


def test_the_plugin_names_the_right_that_is_missing_and_the_documented_role_is_enough(
    site: Site, nobody: Cluster
) -> None:
    site.install(serviceAccount={"create": False})
    refused = ask(nobody, "backup", "--release", site.name)
    assert refused.code == 14
    assert f"no right to list cronjobs in {site.cluster.namespace}" in refused.stderr

    page = Path(__file__).parents[2] / "docs" / "kubectl.md"
    role = yaml.safe_load(page.read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0])
    role["metadata"]["name"] = site.name
    binding = ("rolebinding", site.name, f"--role={site.name}")
    site.cluster.apply(role)
    try:
        site.cluster.kubectl("create", *binding, f"--serviceaccount={site.cluster.namespace}:{site.name}")
        assert ask(nobody, "backup", "--release", site.name).code == 0
        assert ask(nobody, "list", "--release", site.name).code == 0
        assert ask(nobody, "status", "--release", site.name).code == 0
    finally:
        site.cluster.kubectl("delete", "role,rolebinding", site.name)


def test_a_cluster_that_is_not_there_is_said(site: Site) -> None:
    config = yaml.safe_load(site.cluster.kubeconfig.read_text(encoding="utf-8"))
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    gone = Cluster(kubeconfig=site.cluster.kubeconfig.with_name(f"{site.name}.gone"), namespace="default")
    gone.kubeconfig.write_text(yaml.safe_dump(config), encoding="utf-8")
    try:
        answer = ask(gone, "status")
    finally:
        gone.kubeconfig.unlink()
    assert answer.code == 15
    assert "does not answer" in answer.stderr
