"""Restores by kubectl and helm alone, proved by rows."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import yaml

from tests.cluster.support.kubectl import wait_until
from tests.cluster.support.release import CHART, Outcome, Release
from tests.cluster.support.site import ITEMS, Site

LATER = "INSERT INTO items VALUES (4, 'later')"


def backed_up(site: Site) -> tuple[Release, str]:
    """A release and a backup; after which a row came and a table went."""
    release = site.install()
    outcome = release.run(f"{site.name}-backup", f"{site.name}-before")
    assert outcome.succeeded, outcome
    site.sql(LATER, "DROP TABLE orders")
    return release, outcome.backup


def assert_untouched(site: Site) -> None:
    """The live database is as it was left."""
    assert site.items() == [*ITEMS, "4|later"]
    assert site.sql("SELECT to_regclass('orders') IS NULL") == ["t"]


def assert_as_backed_up(site: Site, database: str) -> None:
    assert site.items(database) == ITEMS
    assert site.sql("SELECT count(*), sum(item) FROM orders", database=database) == ["100|200"]
    assert site.sql("SELECT count(*) FROM pg_constraint WHERE contype = 'f'", database=database) == ["1"]


def test_a_restore_job_by_kubectl_alone_makes_a_new_database_and_touches_no_other(site: Site) -> None:
    release, backup = backed_up(site)
    before = set(site.servers.databases())
    outcome = release.run(f"{site.name}-restore", f"{site.name}-back")
    assert outcome.succeeded, outcome
    (made,) = [name for name in set(site.servers.databases()) - before if name.startswith(site.name)]
    assert_as_backed_up(site, made)
    assert_untouched(site)
    told = [json.loads(hook["body"]) for hook in site.servers.hooks(site.name)]
    assert [event["type"] for event in told] == ["backup.succeeded", "restore.finished"]
    assert made in str(told[1])
    assert backup in str(told[1])


def test_a_restore_job_by_helm_template_restores_the_backup_that_it_names(site: Site) -> None:
    release, backup = backed_up(site)
    into = f"{site.name}_again"
    values = site.values(restore={"backup": backup, "into": into})
    template = ("template", site.name, str(CHART), "-s", "templates/restore-job.yaml", "-f", "-")
    job = site.cluster.create(site.helm(*template, stdin=yaml.safe_dump(values)).stdout)
    outcome = release.finish(job["metadata"]["name"])
    assert outcome.succeeded, outcome
    assert_as_backed_up(site, into)
    assert_untouched(site)


def test_a_restore_in_place_needs_an_id_a_confirmation_and_a_time(site: Site) -> None:
    release, backup = backed_up(site)
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat(timespec="seconds")
    past = (datetime.now(UTC) - timedelta(minutes=1)).isoformat(timespec="seconds")

    def asked(job: str, **lines: str) -> Outcome:
        release.request(**lines)
        return release.run(f"{site.name}-restore", f"{site.name}-{job}")

    refused = {
        "confirm": asked("unconfirmed", backup=backup, in_place="true", until=soon),
        "until": asked("late", backup=backup, in_place="true", confirm=site.name, until=past),
        "latest": asked("latest", backup="latest", in_place="true", confirm=site.name, until=soon),
    }
    for reason, outcome in refused.items():
        assert (outcome.succeeded, outcome.code, outcome.pods) == (False, 3, 1), outcome
        assert reason in outcome.log
        assert reason in outcome.message
    assert_untouched(site)

    outcome = asked("in-place", backup=backup, in_place="true", confirm=site.name, until=soon)
    assert outcome.succeeded, outcome
    assert_as_backed_up(site, site.name)
    # What was overwritten was backed up first.
    assert len(site.backups()) == 2


def test_a_request_that_is_left_behind_cannot_run_again(site: Site) -> None:
    release, backup = backed_up(site)
    until = datetime.now(UTC) + timedelta(seconds=20)
    release.request(backup=backup, in_place="true", confirm=site.name, until=until.isoformat(timespec="seconds"))
    assert release.run(f"{site.name}-restore", f"{site.name}-once").succeeded
    assert_as_backed_up(site, site.name)
    site.sql(LATER)
    wait_until(lambda: datetime.now(UTC) > until, "the end of the request's time")
    again = release.run(f"{site.name}-restore", f"{site.name}-twice")
    assert (again.succeeded, again.code) == (False, 3), again
    assert site.items() == [*ITEMS, "4|later"]
