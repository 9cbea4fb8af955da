"""Watch, rules and dashboard: what they are made of, when each rule fires, and that every figure exists."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from backup.domain.metrics import DEFINITIONS
from tests.chart.render import CI_FILES, Object, Rendered, minimal, pod_specs, render, render_file
from tests.chart.test_settings import environment, settings
from tests.support.services import program

SHOP = {"target": "shop", "store": "s3://backups"}
MINUTES = 3 * 24 * 60
"""For which a series of a test lasts: longer than any `for`."""


def rules(**said: Any) -> list[dict[str, Any]]:  # noqa: ANN401 -- values of any kind
    rendered = render(minimal(prometheusRule={"enabled": True, **said}))
    assert rendered.code == 0, rendered.stderr
    (group,) = next(iter(rendered.of("PrometheusRule").values()))["spec"]["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def promtool(*arguments: str, folder: Path) -> tuple[int, str]:
    """Run it; its exit status, and all that it said."""
    argv = [program("promtool"), *arguments]
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def dashboard() -> dict[str, Any]:
    rendered = render(minimal(dashboard={"enabled": True}))
    text = rendered.of("ConfigMap")["mydb-dashboard"]["data"]["pgproof.json"]
    found: dict[str, Any] = json.loads(text)
    return found


def queries(page: dict[str, Any]) -> list[str]:
    """All that a dashboard asks, those of its variables too."""
    asked = [target["expr"] for panel in page["panels"] for target in panel["targets"]]
    return asked + [each["definition"] for each in page["templating"]["list"] if "definition" in each]


def series(name: str, values: str, **labels: str) -> dict[str, str]:
    said = ",".join(f'{key}="{value}"' for key, value in labels.items())
    return {"series": f"{name}{{{said}}}", "values": values}


def steady(value: float) -> str:
    return f"{value}+0x{MINUTES}"


UP = series("pgproof_store_up", steady(1), store="s3://backups")
AT_ZERO = steady(0)
"""A moment that lies as far back as the test has lasted: its time begins at 0."""

CASES: dict[str, tuple[tuple[list[dict[str, str]], str], tuple[list[dict[str, str]], str]]] = {
    "PgproofBackupMissed": (
        ([series("pgproof_backup_last_success_timestamp_seconds", AT_ZERO, **SHOP)], "2h36m"),
        ([series("pgproof_backup_last_success_timestamp_seconds", AT_ZERO, **SHOP)], "2h29m"),
    ),
    "PgproofNoBackup": (
        ([series("pgproof_backups", steady(0), status="complete", **SHOP)], "61m"),
        (
            [
                series("pgproof_backups", steady(1), status="complete", **SHOP),
                series("pgproof_backups", steady(0), status="suspect", **SHOP),
            ],
            "61m",
        ),
    ),
    "PgproofBackupFailing": (
        ([series("pgproof_run_last_exit_code", steady(5), action="backup", target="shop")], "16m"),
        (
            [
                series("pgproof_run_last_exit_code", steady(12), action="backup", target="shop"),
                series("pgproof_run_last_exit_code", steady(7), action="drill", target="shop"),
                series("pgproof_backup_last_status", steady(0), status="failed", **SHOP),
            ],
            "16m",
        ),
    ),
    "PgproofBackupSuspect": (
        ([series("pgproof_backup_last_status", steady(1), status="suspect", **SHOP)], "1m"),
        ([series("pgproof_backup_last_status", steady(1), status="complete", **SHOP)], "1m"),
    ),
    "PgproofBackupUnproven": (
        ([series("pgproof_backup_last_proven_timestamp_seconds", steady(-800000), **SHOP)], "61m"),
        ([series("pgproof_backup_last_proven_timestamp_seconds", steady(-600000), **SHOP)], "61m"),
    ),
    "PgproofNeverProven": (
        (
            [
                series("pgproof_backups_proven", steady(0), **SHOP),
                series("pgproof_backups", steady(3), status="complete", **SHOP),
            ],
            "25h",
        ),
        (
            [
                series("pgproof_backups_proven", steady(0), **SHOP),
                series("pgproof_backups", steady(0), status="complete", **SHOP),
            ],
            "25h",
        ),
    ),
    "PgproofDrillFailed": (
        ([series("pgproof_drill_last_verdict", steady(1), verdict="differs", **SHOP)], "1m"),
        (
            [
                series("pgproof_drill_last_verdict", steady(1), verdict="proven", **SHOP),
                series("pgproof_drill_last_verdict", steady(0), verdict="failed", **SHOP),
            ],
            "1m",
        ),
    ),
    "PgproofBackupSlow": (
        ([series("pgproof_backup_duration_seconds", steady(10801), **SHOP)], "1m"),
        ([series("pgproof_backup_duration_seconds", steady(10799), **SHOP)], "1m"),
    ),
    "PgproofStoreFull": (
        (
            [
                series("pgproof_store_free_bytes", steady(9), store="/backups"),
                series("pgproof_store_size_bytes", steady(100), store="/backups"),
            ],
            "11m",
        ),
        (
            [
                series("pgproof_store_free_bytes", steady(11), store="/backups"),
                series("pgproof_store_size_bytes", steady(100), store="/backups"),
            ],
            "11m",
        ),
    ),
    "PgproofStoreDown": (
        ([series("pgproof_store_up", steady(0), store="/backups")], "16m"),
        ([series("pgproof_store_up", steady(0), store="/backups")], "14m"),
    ),
    "PgproofUnwatched": (([], "16m"), ([UP], "16m")),
    "PgproofMessagesWait": (
        ([series("pgproof_outbox_messages", steady(2), **SHOP)], "61m"),
        ([series("pgproof_outbox_messages", steady(0), **SHOP)], "61m"),
    ),
}


def test_every_rule_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    assert [each["alert"] for each in rules()] == list(CASES)


@pytest.mark.parametrize("alert", CASES)
def test_a_rule_fires_when_it_should_and_not_before(alert: str, tmp_path: Path) -> None:
    document = {"groups": [{"name": "pgproof", "rules": [each for each in rules() if each["alert"] == alert]}]}
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(document))
    answers = []
    for (given, at), wanted in zip(CASES[alert], (1, 0), strict=True):
        # Whether it fires is asked of its own series, whatever its labels are.
        fires = f'count(ALERTS{{alertname="{alert}",alertstate="firing"}}) or vector(0)'
        asked = {"expr": fires, "eval_time": at, "exp_samples": [{"labels": "{}", "value": wanted}]}
        case = {"interval": "1m", "input_series": given, "promql_expr_test": [asked]}
        said = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [case]}
        (tmp_path / "test.yaml").write_text(yaml.safe_dump(said))
        answers.append(promtool("test", "rules", "test.yaml", folder=tmp_path))
    assert [code for code, _ in answers] == [0, 0], answers


@pytest.mark.parametrize("file", CI_FILES, ids=lambda file: file.stem)
def test_promtool_finds_nothing_wrong_with_the_rules(file: Path, tmp_path: Path) -> None:
    for name, each in render_file(file).of("PrometheusRule").items():
        (tmp_path / name).write_text(yaml.safe_dump(each["spec"]))
        code, said = promtool("check", "rules", "--lint-fatal", name, folder=tmp_path)
        assert code == 0, said


def test_every_figure_in_a_rule_or_on_the_dashboard_is_one_that_pgproof_has() -> None:
    asked = [each["expr"] for each in rules(selector='namespace="prod"')] + queries(dashboard())
    named = {name for query in asked for name in re.findall(r"\bpgproof_\w+", query)}
    assert named <= DEFINITIONS.keys()
    assert not {name for name in named if DEFINITIONS[name].live}, "a Pushgateway has none of these"


def test_thresholds_selector_and_labels_are_those_of_the_values() -> None:
    said = rules(missedAfter=90000, slowAfter=60, fullBelow=33, selector='job="a"', ruleLabels={"team": "data"})
    found = {each["alert"]: each for each in said}
    assert found["PgproofBackupMissed"]["expr"].endswith('{job="a"} > 90000')
    assert found["PgproofBackupSlow"]["expr"].endswith("> 60")
    assert found["PgproofStoreFull"]["expr"].endswith("< 33")
    assert all(each["labels"]["team"] == "data" for each in said)
    assert all('job="a"' in each["expr"] for each in said)


def test_where_nobody_drills_the_rules_about_proofs_can_be_left_out() -> None:
    left = {each["alert"] for each in rules()} - {each["alert"] for each in rules(unprovenAfter=0)}
    assert left == {"PgproofBackupUnproven", "PgproofNeverProven"}


def watch_of(rendered: Rendered) -> Object:
    assert rendered.code == 0, rendered.stderr
    return dict(pod_specs(rendered))["Deployment mydb-watch"]


def test_the_watch_knows_the_stores_and_no_database_and_nobody_to_tell(tmp_path: Path) -> None:
    several = {"crm": {"existingSecret": "a"}, "shop": {"existingSecret": "b", "target": "big-shop"}}
    rendered = render(
        {
            "databases": several,
            "store": {"url": "s3://backups/prod", "existingSecret": "keys"},
            "webhook": {"existingSecret": "hook"},
            "pushgateway": {"existingSecret": "gateway"},
            "events": {"enabled": True},
            "watch": {"enabled": True, "port": 9000, "every": 7},
        }
    )
    pod = watch_of(rendered)
    said = environment(rendered, pod)
    assert not {name for name in said if name.endswith("_URL") or "WEBHOOK" in name or "KUBERNETES" in name}
    assert "PGPROOF_PUSHGATEWAY" not in said
    assert pod["automountServiceAccountToken"] is False
    found = settings(rendered, pod, tmp_path).settings
    assert (found.watch.host, found.watch.port, found.watch.every) == ("0.0.0.0", 9000, 7)  # noqa: S104 -- in its pod
    assert (found.target, found.watch.targets) == (None, ("crm", "big-shop"))
    assert found.store().url == "s3://backups/prod"


def test_its_service_and_its_monitor_lead_to_its_port() -> None:
    rendered = render_file(Path(next(each for each in CI_FILES if each.stem == "watch-values")))
    container = watch_of(rendered)["containers"][0]
    (port,) = container["ports"]
    assert port["containerPort"] == 9432
    labels = rendered.of("Deployment")["mydb-watch"]["spec"]["template"]["metadata"]["labels"]
    service = rendered.of("Service")["mydb-watch"]
    assert service["spec"]["selector"].items() <= labels.items()
    assert service["spec"]["ports"][0]["targetPort"] == port["name"]
    monitor = rendered.of("ServiceMonitor")["mydb-watch"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["spec"]["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    policy = rendered.of("NetworkPolicy")["mydb-watch"]
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    assert policy["spec"]["ingress"][0]["ports"] == [{"protocol": "TCP", "port": 9432}]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"] == {"path": "/healthz", "port": "metrics"}


def test_nothing_of_it_is_there_unless_it_is_asked_for() -> None:
    rendered = render(minimal(networkPolicy={"enabled": True}))
    kinds = {"Deployment", "Service", "ServiceMonitor", "PrometheusRule"}
    assert not kinds & {each["kind"] for each in rendered.objects}
    assert rendered.of("NetworkPolicy").keys() == {"mydb"}
    assert not {name for name in (*rendered.of("CronJob"), *rendered.of("ConfigMap")) if "check" in name}


def test_the_check_tells_whoever_is_told_of_runs(tmp_path: Path) -> None:
    check = {"enabled": True, "maxAge": "26h", "maxProvenAge": "8d", "schedule": "@daily"}
    rendered = render(
        minimal(database={"existingSecret": "a", "target": "shop"}, webhook={"existingSecret": "b"}, check=check)
    )
    cronjob = rendered.of("CronJob")["mydb-check"]["spec"]
    assert (cronjob["schedule"], cronjob["suspend"]) == ("@daily", False)
    pod = dict(pod_specs(rendered))["CronJob mydb-check"]
    assert pod["containers"][0]["args"] == ["check", "--alert", "--max-age", "26h", "--max-proven-age", "8d"]
    found = settings(rendered, pod, tmp_path).settings
    assert (found.target, found.database.url) == ("shop", None)
    assert found.notify.webhook.url


def test_runs_push_to_the_gateway_of_the_values(tmp_path: Path) -> None:
    rendered = render(minimal(pushgateway={"url": "http://pushgateway:9091"}))
    for name, pod in pod_specs(rendered):
        pushed = settings(rendered, pod, tmp_path).settings.metrics.pushgateway
        assert (pushed is not None) is name.endswith(("-backup", "-restore", "-drill")), name
        assert pushed is None or pushed.get_secret_value() == "http://pushgateway:9091"


def test_the_dashboard_is_labelled_as_grafanas_sidecar_wants_it() -> None:
    metadata = render(minimal(dashboard={"enabled": True})).of("ConfigMap")["mydb-dashboard"]["metadata"]
    assert metadata["labels"]["grafana_dashboard"] == "1"
    page = dashboard()
    assert len({each["id"] for each in page["panels"]}) == len(page["panels"])
