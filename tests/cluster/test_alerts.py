"""What the cluster tells when things go wrong, what it cannot read, and what Prometheus would see."""

from __future__ import annotations

import json
from typing import Any

from backup.stream.age import Identity
from tests.cluster.support.kubectl import wait_until
from tests.cluster.support.release import WEBHOOK_SECRET
from tests.cluster.support.servers import is_signed
from tests.cluster.support.site import ITEMS, Site


def secret(site: Site, kind: str, **content: str) -> None:
    """Make a Secret that goes with the site."""
    metadata = {"name": f"{site.name}-{kind}", "labels": {"app.kubernetes.io/instance": site.name}}
    site.cluster.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": content})


def told(site: Site) -> list[dict[str, Any]]:
    """What came by the webhook, all of it signed."""
    hooks = site.servers.hooks(site.name)
    assert all(is_signed(hook, WEBHOOK_SECRET) for hook in hooks)
    return [json.loads(hook["body"]) for hook in hooks]


def test_a_backup_that_fails_comes_to_the_webhook_the_chat_and_the_ping(site: Site) -> None:
    names = {kind: f"http://witness:8080/hooks/{site.name}-{kind}" for kind in ("chat", "ping")}
    secret(site, "alerts", addresses=f"failure={names['chat'].replace('http', 'json', 1)}", ping=names["ping"])
    site.set_secrets(site.url.replace("@postgres:", "@nobody:"))
    release = site.install(
        database={"target": site.name}, notify={"existingSecret": f"{site.name}-alerts"}, backoffLimit=0
    )
    outcome = release.run(f"{site.name}-backup", f"{site.name}-fails")
    assert (outcome.succeeded, outcome.code) == (False, 4), outcome
    (event,) = told(site)
    assert (event["type"], event["data"]["error"]["exit_code"]) == ("backup.failed", 4)
    (chat,) = site.servers.hooks(f"{site.name}-chat")
    assert json.loads(chat["body"])["title"] == f"{site.name}: the backup FAILED"
    (ping,) = site.servers.hooks(f"{site.name}-ping/fail")
    assert event["data"]["error"]["message"] in ping["body"]


def test_a_backup_that_is_missed_is_told_by_a_job_that_makes_none(site: Site) -> None:
    release = site.install(
        database={"target": site.name}, check={"enabled": True, "schedule": "0 0 1 1 *", "maxAge": "2h"}
    )
    missed = release.run(f"{site.name}-check", f"{site.name}-missed")
    assert (missed.succeeded, missed.code, missed.pods) == (False, 16, 1), missed
    (event,) = told(site)
    assert (event["type"], event["data"]["target"]) == ("backup.missed", site.name)
    assert release.run(f"{site.name}-backup", f"{site.name}-made").succeeded
    assert release.run(f"{site.name}-check", f"{site.name}-fresh").succeeded
    assert [each["type"] for each in told(site)] == ["backup.missed", "backup.succeeded"]


def test_an_encrypted_backup_is_made_without_its_key_and_proven_with_it(site: Site) -> None:
    identity = Identity.new()
    secret(site, "identity", identity=identity.secret)
    release = site.install(
        database={"target": site.name},
        encryption={"to": [identity.public], "identity": {"existingSecret": f"{site.name}-identity"}},
    )
    outcome = release.run(f"{site.name}-backup", f"{site.name}-sealed")
    assert outcome.succeeded, outcome
    (pod,) = release.pods(outcome.job)
    assert f"{site.name}-identity" not in json.dumps(pod)
    objects = site.bucket().objects
    assert [key for key in objects if key.endswith("dump.pgc.zst.age.000")]
    drilled = release.run(f"{site.name}-drill", f"{site.name}-proof")
    assert drilled.succeeded, drilled
    (result,) = site.servers.drills(site.name, site.name, outcome.backup)
    assert (result["verdict"], result["rows"]) == ("proven", len(ITEMS) + 100)
    restored = release.run(f"{site.name}-restore", f"{site.name}-back")
    assert restored.succeeded, restored


def test_the_watch_tells_the_age_of_the_newest_backup_through_its_service(site: Site) -> None:
    release = site.install(database={"target": site.name}, watch={"enabled": True, "every": 1})
    assert release.run(f"{site.name}-backup", f"{site.name}-seen").succeeded

    def age() -> float | None:
        path = f"/api/v1/namespaces/{site.cluster.namespace}/services/{site.name}-watch:metrics/proxy/metrics"
        text = site.cluster.kubectl("get", "--raw", path, check=False).stdout
        values = [
            line.rpartition(" ")[2] for line in text.splitlines() if line.startswith("pgproof_backup_age_seconds{")
        ]
        return float(values[0]) if values else None

    seconds = wait_until(age, "the watch has seen the backup", limit=90)
    assert seconds is not None
    assert 0 < seconds < 120
