"""The CronJob by itself. Slow: the shortest schedule of Kubernetes is a minute."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from tests.cluster.support.kubectl import wait_until
from tests.cluster.support.site import BULK, Site


@pytest.mark.timeout(420)
def test_the_cronjob_fires_twice_by_itself_never_two_at_once_and_keeps_its_limits(site: Site) -> None:
    cronjob = f"{site.name}-backup"
    site.sql(*BULK)
    site.use_line()
    limits: dict[str, Any] = {"successfulJobsHistoryLimit": 1, "failedJobsHistoryLimit": 0}
    seen: set[str] = set()

    def active() -> list[str]:
        found = site.cluster.get("cronjob", cronjob)["status"].get("active", [])
        seen.update(each["name"] for each in found)
        return [str(each["name"]) for each in found]

    site.servers.hold_line()
    try:
        site.install(schedule="* * * * *", **limits)
        (first,) = wait_until(active, "the first run by itself", limit=90)
        # The first run is held in the middle: the next minute's may not start.
        wait_until(lambda: reasons(site, cronjob) & {"JobAlreadyActive"}, "a run that is left out", limit=90)
        assert active() == [first]
    finally:
        site.servers.free_line()
    wait_until(lambda: len(active()) <= 1 and len(site.backups()) >= 2, "two backups", limit=150)

    site.release.upgrade(site.values(schedule="* * * * *", suspend=True, **limits))
    wait_until(lambda: not active(), "the last run's end")
    made = [site.servers.manifest(site.name, site.name, backup) for backup in site.backups()]
    assert len(made) >= max(len(seen), 2)  # a short run may not be seen while it is active
    for earlier, later in pairwise(made):
        assert earlier["finished"] < later["started"]
    wait_until(lambda: len(jobs(site)) == 1, "one job in the history")
    assert first not in jobs(site)


def reasons(site: Site, cronjob: str) -> set[str]:
    found = site.cluster.items("events", "--field-selector", f"involvedObject.name={cronjob}")
    return {str(event["reason"]) for event in found}


def jobs(site: Site) -> list[str]:
    label = f"app.kubernetes.io/instance={site.name},app.kubernetes.io/component=backup"
    return [str(job["metadata"]["name"]) for job in site.cluster.items("jobs", "-l", label)]
