"""Runs that fail: which end at once and which are tried again, and what they leave."""

from __future__ import annotations

import json
import time

from tests.cluster.support.kubectl import wait_until
from tests.cluster.support.release import WEBHOOK_SECRET
from tests.cluster.support.servers import is_signed
from tests.cluster.support.site import Site

DOWN_SECONDS = 20


def test_a_wrong_password_fails_at_once_and_says_so(site: Site) -> None:
    site.set_secrets(site.url.replace("secret-of", "wrong"))
    release = site.install()
    outcome = release.run(f"{site.name}-backup", f"{site.name}-refused")
    assert (outcome.succeeded, outcome.code) == (False, 14), outcome
    assert (outcome.pods, outcome.failed_pods) == (1, 1)
    assert outcome.conditions["Failed"] == "PodFailurePolicy"
    for text in (outcome.log, outcome.message):
        assert "password authentication failed" in text
        assert f"wrong-{site.name}" not in text
    assert {key.rpartition("/")[2] for key in site.bucket().objects} == {"failed.json"}
    (hook,) = site.servers.hooks(site.name)
    assert is_signed(hook, WEBHOOK_SECRET)
    told = json.loads(hook["body"])
    assert (told["type"], told["data"]["error"]["exit_code"]) == ("backup.failed", 14)


def test_a_store_that_is_down_at_first_is_tried_again(site: Site) -> None:
    begun = time.monotonic()
    release = site.install(store={"endpoint": "http://late-s3:8333"})
    try:
        job = release.start(f"{site.name}-backup", f"{site.name}-patient")
        wait_until(lambda: failed(site, job) and time.monotonic() - begun > DOWN_SECONDS, "a pod that failed")
        site.cluster.kubectl("scale", "deployment/late-s3", "--replicas=1")
        site.cluster.kubectl("rollout", "status", "deployment/late-s3")
        site.servers.make_bucket(site.name, server="late-s3")
        outcome = release.finish(job)
        assert (outcome.succeeded, outcome.code) == (True, 0), outcome
        assert outcome.failed_pods >= 1
        bucket = site.servers.bucket(site.name, server="late-s3")
        assert bucket.backups(site.name) == [outcome.backup]
        first, *_ = release.pods(job)
        assert first["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 6
    finally:
        site.cluster.kubectl("scale", "deployment/late-s3", "--replicas=0")


def failed(site: Site, job: str) -> int:
    return int(site.cluster.get("job", job)["status"].get("failed", 0))
