"""Pods that are taken away in the middle of a backup."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.cluster.support.kubectl import wait_until
from tests.cluster.support.release import Outcome
from tests.cluster.support.servers import Bucket
from tests.cluster.support.site import BULK, Site


@contextmanager
def held_backup(site: Site, job: str, **values: Any) -> Iterator[str]:  # noqa: ANN401 - YAML
    """A Job whose backup is held while it uploads; the name of its pod. The line is free after the context."""
    site.sql(*BULK)
    site.use_line()
    release = site.install(**values)
    site.servers.hold_line()
    try:
        release.start(f"{site.name}-backup", job)
        wait_until(lambda: site.bucket().unfinished, "an upload that is under way")
        yield str(release.wait_for_pod(job)["metadata"]["name"])
    finally:
        site.servers.free_line()


def wait_till_gone(site: Site, pod: str) -> None:
    wait_until(lambda: site.cluster.get("pod", pod) is None, f"the end of the pod {pod}")


def assert_clean_and_done(site: Site, outcome: Outcome) -> None:
    """The next run's backup is all there is."""
    assert outcome.succeeded, outcome
    assert site.backups() == [outcome.backup]
    bucket = site.bucket()
    assert not bucket.unfinished
    assert all(key.startswith(f"{site.name}/{outcome.backup}/") for key in objects(bucket)), bucket


def objects(bucket: Bucket) -> list[str]:
    """All that is there, but for notes of failed runs."""
    return [key for key in bucket.objects if not key.endswith("/failed.json")]


def interruptions(site: Site) -> list[int]:
    """The exit codes of the failures that were told."""
    told = [json.loads(hook["body"]) for hook in site.servers.hooks(site.name)]
    return [event["data"]["error"]["exit_code"] for event in told if event["type"] == "backup.failed"]


def test_a_pod_that_is_deleted_takes_back_what_it_stored_and_the_next_one_succeeds(site: Site) -> None:
    job = f"{site.name}-deleted"
    with held_backup(site, job) as pod:
        (upload,) = site.bucket().unfinished
        site.cluster.kubectl("delete", "pod", pod)
        wait_till_gone(site, pod)
        left = site.bucket()
        assert upload not in left.unfinished
        assert not [key for key in objects(left) if key.startswith(upload.rpartition("/")[0])], left
        assert not left.backups(site.name)
        assert interruptions(site) == [143]
    assert_clean_and_done(site, site.release.finish(job))


def test_an_eviction_does_not_count_as_a_failure(site: Site) -> None:
    job = f"{site.name}-evicted"
    with held_backup(site, job, backoffLimit=0) as pod:
        metadata = {"name": pod, "namespace": site.cluster.namespace}
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
        path = f"/api/v1/namespaces/{site.cluster.namespace}/pods/{pod}/eviction"
        site.cluster.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))
        wait_till_gone(site, pod)
        assert interruptions(site) == [143]
    outcome = site.release.finish(job)
    assert_clean_and_done(site, outcome)
    assert outcome.failed_pods == 0
