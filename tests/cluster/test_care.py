"""Care in the cluster: runs do not overlap, old backups go after a new one and never the last good one, two buckets."""

from __future__ import annotations

import json

import pytest

from tests.cluster.support.kubectl import wait_until
from tests.cluster.support.site import BULK, Site
from tests.cluster.test_plugin import ask


def test_a_run_beside_another_ends_with_10_and_is_not_tried_again(site: Site) -> None:
    site.sql(*BULK)
    site.use_line()
    release = site.install()
    site.servers.hold_line()
    try:
        first = release.start(f"{site.name}-backup", f"{site.name}-first")
        wait_until(lambda: site.bucket().unfinished, "an upload that is under way")
        assert f"{site.name}/lease.json" in site.bucket().objects
        second = release.run(f"{site.name}-backup", f"{site.name}-second")
    finally:
        site.servers.free_line()
    assert (second.succeeded, second.code, second.pods) == (False, 10, 1), second
    assert "another run of" in second.message
    outcome = release.finish(first)
    assert (outcome.succeeded, outcome.code) == (True, 0), outcome
    assert site.backups() == [outcome.backup]
    assert f"{site.name}/lease.json" not in site.bucket().objects


def test_old_backups_go_after_a_new_one_but_for_a_proven_and_a_suspect_one(site: Site) -> None:
    site.sql("CREATE TABLE large AS SELECT generate_series(1, 5000) AS id")
    release = site.install(retention="keep-last=2,min-proven=1")
    made = [release.run(f"{site.name}-backup", f"{site.name}-1").backup]
    proven = release.run(f"{site.name}-drill", f"{site.name}-proof")
    assert proven.succeeded, proven
    made += [release.run(f"{site.name}-backup", f"{site.name}-{n}").backup for n in (2, 3, 4)]
    assert site.backups() == [made[0], *made[2:]]  # the proven one, and the last two

    site.sql("TRUNCATE large")
    suspect = release.run(f"{site.name}-backup", f"{site.name}-emptied")
    assert (suspect.succeeded, suspect.code, suspect.pods) == (False, 12, 1), suspect
    assert "suspect" in suspect.message
    assert site.backups() == [made[0], *made[2:], suspect.backup]  # nothing went
    accepted = ask(site.cluster, "run", "--release", site.name, "--", "accept", suspect.backup)
    assert accepted.code == 0, accepted
    last = release.run(f"{site.name}-backup", f"{site.name}-6")
    assert last.succeeded, last
    assert site.backups() == [made[0], suspect.backup, last.backup]
    told = [json.loads(hook["body"])["type"] for hook in site.servers.hooks(site.name)]
    assert told == ["backup.succeeded", "drill.proven", *["backup.succeeded"] * 3, "backup.suspect", "backup.succeeded"]


@pytest.mark.parametrize("required", [1, 2])
def test_a_second_bucket_that_is_not_there_is_told_and_the_first_has_the_backup(site: Site, required: int) -> None:
    missing = {"url": f"s3://{site.name}-missing", "existingSecret": f"{site.name}-store"}
    release = site.install(moreStores={"far": missing}, storesRequired=required)
    outcome = release.run(f"{site.name}-backup", f"{site.name}-short")
    assert (outcome.code, outcome.pods) == (0 if required == 1 else 11, 1), outcome
    assert f"there is no bucket {site.name}-missing" in outcome.log
    assert len(site.backups()) == 1

    site.servers.make_bucket(f"{site.name}-missing")
    whole = release.run(f"{site.name}-backup", f"{site.name}-whole")
    assert whole.succeeded, whole
    assert site.servers.bucket(f"{site.name}-missing").backups(site.name) == [whole.backup]
    assert site.backups()[-1] == whole.backup
