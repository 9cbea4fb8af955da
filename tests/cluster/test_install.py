"""From helm install to the first backup, and what it tells the world."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime

from tests.cluster.support.release import WEBHOOK_SECRET
from tests.cluster.support.servers import is_signed
from tests.cluster.support.site import Site

Record = Callable[[str, object], None]


def test_after_helm_install_a_backup_is_in_the_bucket_and_a_signed_webhook_came(
    site: Site, record_property: Record
) -> None:
    site.servers.sql("postgres", f"ALTER DATABASE {site.name} SET log_statement = 'all'")
    begun = time.monotonic()
    release = site.install()
    outcome = release.run(f"{site.name}-backup", f"{site.name}-first")
    seconds = time.monotonic() - begun
    assert (outcome.succeeded, outcome.code, outcome.pods) == (True, 0, 1), outcome

    assert site.backups() == [outcome.backup]
    assert not site.bucket().unfinished
    manifest = site.servers.manifest(site.name, site.name, outcome.backup)
    assert (manifest["status"], manifest["database"]["name"]) == ("complete", site.name)
    assert outcome.backup in outcome.message

    (hook,) = site.servers.hooks(site.name)
    assert is_signed(hook, WEBHOOK_SECRET)
    told = json.loads(hook["body"])
    assert told["type"] == "backup.succeeded"
    assert told["data"]["backup"]["id"] == outcome.backup

    dump = seconds_to_first_byte(site, outcome.job)
    record_property("helm install to the first finished backup, seconds", round(seconds, 1))
    record_property("container start to the first byte of a table, seconds (the start's second is cut)", round(dump, 2))


def seconds_to_first_byte(site: Site, job: str) -> float:
    """From the container's start, whose fraction of a second Kubernetes cuts, to pg_dump's first COPY."""
    log = site.cluster.kubectl("logs", "deployment/postgres").stdout
    found = re.search(rf"^(\S+ \S+) UTC \[\d+\] {site.name} LOG: .*COPY public\.\S+ .*TO stdout", log, re.MULTILINE)
    assert found, log[-2000:]
    (pod,) = site.release.pods(job)
    started = pod["status"]["containerStatuses"][0]["state"]["terminated"]["startedAt"]
    first = datetime.fromisoformat(found[1]).replace(tzinfo=UTC)
    return (first - datetime.fromisoformat(started)).total_seconds()


def test_another_user_id_without_a_name_and_a_read_only_root_are_enough(site: Site) -> None:
    release = site.install(podSecurityContext={"runAsUser": 123456, "runAsGroup": 0, "fsGroup": 123456})
    outcome = release.run(f"{site.name}-backup", f"{site.name}-other")
    assert outcome.succeeded, outcome
    (pod,) = release.pods(outcome.job)
    assert pod["spec"]["securityContext"]["runAsUser"] == 123456
    assert pod["spec"]["containers"][0]["securityContext"]["readOnlyRootFilesystem"]
    assert site.backups() == [outcome.backup]


def test_helm_test_checks_both_ends(site: Site) -> None:
    site.install()
    assert "Succeeded" in site.helm("test", site.name).stdout
    site.set_secrets(site.url.replace("secret-of", "wrong"))
    refused = site.helm("test", site.name, check=False)
    assert refused.code != 0
    assert "failed" in refused.stderr.lower(), refused


def test_each_run_leaves_an_event_on_its_cronjob(site: Site) -> None:
    release = site.install(events={"enabled": True})
    assert release.run(f"{site.name}-backup", f"{site.name}-good").succeeded
    site.set_secrets(site.url.replace("secret-of", "wrong"))
    assert not release.run(f"{site.name}-backup", f"{site.name}-bad").succeeded
    cronjob = site.cluster.get("cronjob", f"{site.name}-backup")["metadata"]
    events = site.cluster.items("events", "--field-selector", f"involvedObject.uid={cronjob['uid']}")
    told = {event["reason"]: event for event in events}  # Kubernetes tells some of its own, too
    assert told.keys() >= {"BackupSucceeded", "BackupFailed"}, events
    assert (told["BackupSucceeded"]["type"], told["BackupFailed"]["type"]) == ("Normal", "Warning")
    assert site.backups()[0] in told["BackupSucceeded"]["message"]
    assert "the server refuses us" in told["BackupFailed"]["message"]
    assert "wrong-" not in str(events)
