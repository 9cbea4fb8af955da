"""Syncs into a second database: when they run, what their pods are given, and which failures are tried again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from backup.errors import SyncFailed
from tests.chart.render import CI_FILES, Object, Rendered, job_specs, minimal, pod_specs, render, render_file
from tests.chart.test_settings import SECRETS, environment, settings

SECRET = {"existingSecret": "shop"}
SECOND = {"enabled": True, "existingSecret": "second"}
ROWS = {
    "tables": {
        "users": {"exclude": ["password_hash", "session_token"], "since_column": "updated_at"},
        "products": None,
        "transactions": {"limit": 500, "order_by": "created_at desc"},
    }
}


def cronjobs(rendered: Rendered) -> dict[str, Object]:
    assert rendered.code == 0, rendered.stderr
    return {name: each["spec"] for name, each in rendered.of("CronJob").items() if name.endswith("-sync")}


def sync_pod(rendered: Rendered, name: str = "mydb") -> Object:
    return dict(pod_specs(rendered))[f"CronJob {name}-sync"]


def one(**said: Any) -> Object:  # noqa: ANN401 -- values of any kind
    """The CronJob of a release that says this of its sync."""
    return cronjobs(render(minimal(sync={**SECOND, **said})))["mydb-sync"]


@pytest.mark.parametrize("file", CI_FILES, ids=lambda file: file.stem)
def test_nothing_is_synced_unless_that_is_said(file: Path) -> None:
    expected = {"sync-values": {"mydb-sync"}, "several-databases-values": {"mydb-shop-sync"}}
    assert cronjobs(render_file(file)).keys() == expected.get(file.stem, set())


def test_one_switch_and_a_secret_make_an_hourly_sync_of_which_never_two_run() -> None:
    spec = one()
    assert (spec["schedule"], spec["suspend"], spec["concurrencyPolicy"]) == ("15 * * * *", False, "Forbid")
    assert spec["timeZone"] == "Etc/UTC"
    assert {"startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"} <= spec.keys()
    assert spec["jobTemplate"]["spec"]["activeDeadlineSeconds"] == 21600


def test_it_may_be_suspended_and_have_its_own_schedule_deadline_and_resources() -> None:
    spec = one(suspend=True, schedule="@daily", activeDeadlineSeconds=60, resources={"limits": {"memory": "9Gi"}})
    job = spec["jobTemplate"]["spec"]
    assert (spec["suspend"], spec["schedule"], job["activeDeadlineSeconds"]) == (True, "@daily", 60)
    (container,) = job["template"]["spec"]["containers"]
    assert (container["args"], container["resources"]) == (["sync"], {"limits": {"memory": "9Gi"}})


def test_a_failure_that_a_retry_cannot_mend_ends_it_at_once_as_a_backup() -> None:
    specs = dict(job_specs(render(minimal(sync=SECOND))))
    sync, backup = (specs[f"CronJob mydb-{name}"] for name in ("sync", "backup"))
    assert (sync["backoffLimit"], sync["podReplacementPolicy"]) == (backup["backoffLimit"], "Failed")
    codes = [set(each["podFailurePolicy"]["rules"][1]["onExitCodes"]["values"]) for each in (sync, backup)]
    assert codes[0] == codes[1] | {SyncFailed.exit_code}
    assert sync["podFailurePolicy"]["rules"][0] == backup["podFailurePolicy"]["rules"][0]


def test_it_is_given_both_databases_by_secrets_and_nobody_else_the_second(tmp_path: Path) -> None:
    rendered = render(minimal(sync={**SECOND, "secretKey": "uri"}, database={**SECRET, "target": "shop"}))
    for name, pod in pod_specs(rendered):
        found = {each["name"]: each for each in pod["containers"][0]["env"]}
        assert ("PGPROOF_SYNC_URL" in found) is name.endswith("-sync"), name
        if name.endswith("-sync"):
            reference = found["PGPROOF_SYNC_URL"]["valueFrom"]["secretKeyRef"]
            assert reference == {"name": "second", "key": "uri"}
            read = settings(rendered, pod, tmp_path).settings
            assert read.sync.conninfo.get_secret_value() == SECRETS["PGPROOF_SYNC_URL"]
            assert read.database.conninfo == SECRETS["PGPROOF_DATABASE_URL"]
    assert "second" not in str(rendered.of("ConfigMap"))


def test_which_rows_is_said_in_the_configuration_word_for_word(tmp_path: Path) -> None:
    rendered = render(minimal(sync=SECOND, config={"rows": ROWS, "sync": {"delete": True, "overlap": 60}}))
    found = settings(rendered, sync_pod(rendered), tmp_path).settings
    tables = found.rows.choice.tables
    assert list(tables) == sorted(ROWS["tables"])
    assert (tables["users"].exclude, tables["users"].since_column) == (("password_hash", "session_token"), "updated_at")
    assert (tables["transactions"].limit, tables["transactions"].order_by) == (500, "created_at desc")
    assert (found.sync.delete, found.sync.overlap) == (True, 60)


def test_each_of_several_databases_has_a_second_one_of_its_own_and_the_rest_in_common(tmp_path: Path) -> None:
    databases = {
        "crm": {**SECRET, "sync": SECOND, "config": {"rows": {"tables": {"customers": {}}}}},
        "shop": {**SECRET, "sync": {**SECOND, "existingSecret": "third", "schedule": "@daily", "suspend": True}},
        "wiki": SECRET,
    }
    common = {"schedule": "5 * * * *", "secretKey": "uri"}
    rendered = render({"databases": databases, "store": {"url": "s3://backups"}, "sync": common})
    specs = cronjobs(rendered)
    assert {name: (spec["schedule"], spec["suspend"]) for name, spec in specs.items()} == {
        "mydb-crm-sync": ("5 * * * *", False),
        "mydb-shop-sync": ("@daily", True),
    }
    for key, secret, tables in (("crm", "second", ["customers"]), ("shop", "third", [])):
        pod = sync_pod(rendered, f"mydb-{key}")
        (url,) = [each for each in pod["containers"][0]["env"] if each["name"] == "PGPROOF_SYNC_URL"]
        assert url["valueFrom"]["secretKeyRef"] == {"name": secret, "key": "uri"}
        assert list(settings(rendered, pod, tmp_path).settings.rows.choice.tables) == tables


def test_who_is_told_of_backups_is_told_of_syncs() -> None:
    told = {"webhook": {"existingSecret": "hook"}, "notify": {"existingSecret": "chat"}, "events": {"enabled": True}}
    rendered = render(minimal(sync=SECOND, **told))
    found = environment(rendered, sync_pod(rendered))
    assert {"PGPROOF_WEBHOOK_URL", "PGPROOF_NOTIFY"} <= found.keys()
    assert found["PGPROOF_KUBERNETES_CRONJOB"] == "mydb-sync"
    # A dead-man switch is for backups: a sync that goes on must not hide that these have stopped.
    assert "PGPROOF_PING_URL" not in found


def test_the_policy_lets_out_to_the_second_database_only_where_there_is_one() -> None:
    peers = [{"ipBlock": {"cidr": "198.51.100.0/24"}}]
    policy = {"enabled": True, "sync": {"ports": [6432], "to": peers}}
    for sync, wanted in ((SECOND, [peers]), ({}, [])):
        (made,) = render(minimal(sync=sync, networkPolicy=policy)).of("NetworkPolicy").values()
        rules = [rule for rule in made["spec"]["egress"] if {"protocol": "TCP", "port": 6432} in rule["ports"]]
        assert [rule["to"] for rule in rules] == wanted
