"""Several databases in one release, a volume as the store, and keys by a web identity."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cluster.support.site import ITEMS, ROWS, Site

NO_BUCKET = {"url": "", "endpoint": "", "region": "", "existingSecret": ""}


def test_two_databases_in_one_release_are_two_of_everything(site: Site) -> None:
    other = f"{site.name}_crm"
    site.set_secrets(crm=site.servers.make_database(other, *ROWS, "INSERT INTO items VALUES (9, 'crm')"))
    secret = f"{site.name}-database"
    databases = {
        "shop": {"existingSecret": secret},
        "crm": {"existingSecret": secret, "secretKey": "crm", "target": "customers", "schedule": "1 2 3 4 *"},
    }
    release = site.install(database={"existingSecret": ""}, databases=databases)
    schedules = {
        key: site.cluster.get("cronjob", f"{site.name}-{key}-backup")["spec"]["schedule"] for key in ("shop", "crm")
    }
    assert schedules == {"shop": "0 0 1 1 *", "crm": "1 2 3 4 *"}
    jobs = [release.start(f"{site.name}-{key}-backup", f"{site.name}-{key}") for key in ("shop", "crm")]
    shop, crm = (release.finish(job) for job in jobs)
    assert shop.succeeded, shop
    assert crm.succeeded, crm
    assert (site.backups("shop"), site.backups("customers")) == ([shop.backup], [crm.backup])

    into = f"{other}_back"
    release.request(f"{site.name}-crm-restore-request", backup=crm.backup, into=into)
    restored = release.run(f"{site.name}-crm-restore", f"{site.name}-crm-back")
    assert restored.succeeded, restored
    assert site.servers.sql(into, "SELECT id FROM items ORDER BY id") == ["1", "2", "3", "9"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A volume that was made by hand, in a folder of this machine, which is the node."""

    name: str
    folder: Path


@pytest.fixture
def volume(site: Site) -> Iterator[Volume]:
    """Root's alone: that the pods may write there is fsGroup's doing."""
    (node, *more) = site.cluster.items("nodes")
    if more:
        pytest.skip("a volume by hand needs a cluster whose one node is this machine")
    folder = Path(tempfile.mkdtemp(prefix="pgproof-volume-"))
    host = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node["metadata"]["name"]]}
    site.cluster.create(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": site.name},
            "spec": {
                "capacity": {"storage": "1Gi"},
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": site.name,
                "persistentVolumeReclaimPolicy": "Retain",
                "local": {"path": str(folder)},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [host]}]}},
            },
        }
    )
    try:
        yield Volume(name=site.name, folder=folder)
    finally:
        site.remove()
        site.cluster.kubectl("delete", "persistentvolume", site.name, "--wait=false")
        shutil.rmtree(folder)


def test_a_volume_is_a_store_and_outlives_the_release(site: Site, volume: Volume) -> None:
    persistence = {"enabled": True, "size": "1Gi", "storageClass": volume.name}
    release = site.install(store={**NO_BUCKET, "persistence": persistence})
    backup = release.run(f"{site.name}-backup", f"{site.name}-kept")
    assert backup.succeeded, backup
    assert [path.parent.name for path in volume.folder.glob("*/*/manifest.json")] == [backup.backup]

    into = f"{site.name}_back"
    release.request(into=into)
    restored = release.run(f"{site.name}-restore", f"{site.name}-back")
    assert restored.succeeded, restored
    assert site.items(into) == ITEMS

    site.helm("uninstall", site.name)
    claims = site.cluster.items("persistentvolumeclaims", "-l", f"app.kubernetes.io/instance={site.name}")
    assert [claim["status"]["phase"] for claim in claims] == ["Bound"]


def test_a_web_identity_opens_the_bucket(site: Site) -> None:
    """The token is the cluster's own; who changes it for keys is a stand-in for Amazon's STS (servers/witness.py)."""
    role = "arn:aws:iam::123456789012:role/backup"
    token = {"serviceAccountToken": {"audience": "sts.amazonaws.com", "expirationSeconds": 3600, "path": "token"}}
    release = site.install(
        store={"existingSecret": ""},
        serviceAccount={"annotations": {"eks.amazonaws.com/role-arn": role}},
        extraEnv=[
            {"name": "AWS_WEB_IDENTITY_TOKEN_FILE", "value": "/var/run/identity/token"},
            {"name": "AWS_ROLE_ARN", "value": role},
            {"name": "PGPROOF_S3_STS_ENDPOINT", "value": "http://witness:8080"},
        ],
        extraVolumes=[{"name": "identity", "projected": {"sources": [token]}}],
        extraVolumeMounts=[{"name": "identity", "mountPath": "/var/run/identity", "readOnly": True}],
    )
    outcome = release.run(f"{site.name}-backup", f"{site.name}-identity")
    assert outcome.succeeded, outcome
    assert site.backups() == [outcome.backup]

    shown = site.servers.tokens()[-1]
    assert shown["RoleArn"] == role
    review = {"token": shown["WebIdentityToken"], "audiences": ["sts.amazonaws.com"]}
    known = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": review}
    status = site.cluster.create(known)["status"]
    account = f"system:serviceaccount:{site.cluster.namespace}:{site.name}"
    assert (status["authenticated"], status["user"]["username"]) == (True, account)
    assert shown["WebIdentityToken"] not in outcome.log
