"""Which release and which of its databases is meant."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from backup.errors import NotFound, UsageError
from backup.kube.connection import Cluster, from_kubeconfig
from backup.kube.releases import choose, templates_of
from tests.kube.api_server import Api, running_api


@pytest.fixture
def api() -> Iterator[Api]:
    with running_api() as api:
        yield api


@pytest.fixture
def cluster(api: Api, tmp_path: Path) -> Cluster:
    return from_kubeconfig(file=api.kubeconfig(tmp_path))


def add_release(api: Api, release: str, *databases: str) -> None:
    """The CronJobs of a release; without databases, of one with a single database and the labels of old charts."""
    for database in databases or ("",):
        for component in ("backup", "restore"):
            name = "-".join(filter(None, [release, database, component]))
            labels = {
                "app.kubernetes.io/name": "pgproof",
                "app.kubernetes.io/instance": release,
                "app.kubernetes.io/component": component,
                **({"pgproof/database": database} if database else {}),
            }
            api.add("cronjobs", name, labels=labels)


def test_the_only_release_needs_no_name(api: Api, cluster: Cluster) -> None:
    add_release(api, "shop")
    api.add("cronjobs", "somebody-elses", labels={"app.kubernetes.io/name": "cleaner"})
    found = templates_of(cluster, None)
    assert [(each.name, each.release, each.component, each.database) for each in found] == [
        ("shop-backup", "shop", "backup", "default"),
        ("shop-restore", "shop", "restore", "default"),
    ]
    assert templates_of(cluster, "shop") == found


def test_of_several_releases_one_must_be_named(api: Api, cluster: Cluster) -> None:
    for release in ("shop", "blog"):
        add_release(api, release)
    with pytest.raises(UsageError, match="there are several releases in prod") as failure:
        templates_of(cluster, None)
    assert failure.value.hint == "choose one with --release: blog, shop"
    assert {each.release for each in templates_of(cluster, "blog")} == {"blog"}


def test_an_unknown_release_is_told_those_there_are(api: Api, cluster: Cluster) -> None:
    add_release(api, "shop")
    with pytest.raises(NotFound, match="there is no release shpo of pgproof in the namespace prod") as failure:
        templates_of(cluster, "shpo")
    assert "there is shop" in (failure.value.hint or "")


@pytest.mark.parametrize("release", [None, "shop"])
def test_a_namespace_without_any_is_said(cluster: Cluster, release: str | None) -> None:
    with pytest.raises(NotFound, match="no pgproof is installed in the namespace prod") as failure:
        templates_of(cluster, release)
    assert "--namespace" in (failure.value.hint or "")


def test_the_only_database_needs_no_name(api: Api, cluster: Cluster) -> None:
    add_release(api, "shop")
    templates = templates_of(cluster, None)
    assert choose(templates, "backup", None).name == "shop-backup"
    assert choose(templates, "restore", None).name == "shop-restore"
    add_release(api, "blog", "posts")
    assert choose(templates_of(cluster, "blog"), "backup", None).name == "blog-posts-backup"


def test_of_several_databases_one_must_be_named(api: Api, cluster: Cluster) -> None:
    add_release(api, "shop", "orders", "billing")
    templates = templates_of(cluster, None)
    with pytest.raises(UsageError, match="the release has several databases") as failure:
        choose(templates, "backup", None)
    assert failure.value.hint == "choose one with --database: billing, orders"
    assert choose(templates, "restore", "orders").name == "shop-orders-restore"


def test_a_target_that_the_release_does_not_have_is_not_taken_for_its_only_one(api: Api, cluster: Cluster) -> None:
    add_release(api, "shop", "orders")
    container: dict[str, object] = {"name": "pgproof"}
    spec = {"jobTemplate": {"spec": {"template": {"spec": {"containers": [container]}}}}}
    templates = [replace(each, cronjob={**each.cronjob, "spec": spec}) for each in templates_of(cluster, None)]
    assert choose(templates, "backup", None, target="billing").name == "shop-orders-backup"  # it may be that one's
    container["env"] = [{"name": "PGPROOF_TARGET", "value": "orders"}]
    assert choose(templates, "backup", None, target="orders").name == "shop-orders-backup"
    with pytest.raises(UsageError, match="no backup of this release is of billing"):
        choose(templates, "backup", None, target="billing")


def test_an_unknown_database_is_told_those_there_are(api: Api, cluster: Cluster) -> None:
    add_release(api, "shop", "orders", "billing")
    with pytest.raises(NotFound, match="there is no CronJob for a backup of stock") as failure:
        choose(templates_of(cluster, None), "backup", "stock")
    assert failure.value.hint == "there is billing, orders"


def test_a_release_without_templates_of_a_kind_is_said(api: Api, cluster: Cluster) -> None:
    add_release(api, "shop")
    del api.objects["cronjobs", "shop-restore"]
    with pytest.raises(NotFound, match="there is no CronJob for a restore of default") as failure:
        choose(templates_of(cluster, None), "restore", None)
    assert failure.value.hint == "there is none"
