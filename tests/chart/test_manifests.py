"""What the chart renders is what Kubernetes takes, and runs as little as it can."""

from __future__ import annotations

import re
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from backup import errors
from backup.errors import Interrupted, PgproofError
from tests.chart.pod_security import violations
from tests.chart.render import (
    CI_FILES,
    OPERATOR,
    Rendered,
    containers,
    job_specs,
    minimal,
    pod_specs,
    render,
    render_file,
)

OLD, NEW = "1.29", "1.37"
LONGEST_RELEASE = "a" * 53
LONGEST_KEY = "b" * 20
every_file = pytest.mark.parametrize("file", CI_FILES, ids=lambda file: file.stem)


@every_file
@pytest.mark.parametrize("version", [OLD, NEW])
def test_every_object_is_what_the_api_takes(file: Path, version: str) -> None:
    for each in render_file(file).objects:
        if each["apiVersion"].startswith(OPERATOR):
            continue  # tests/chart/test_monitoring.py sees to them
        assert kubernetes_validate.validate(each, version, strict=True) == version


@every_file
def test_every_pod_passes_pod_security_restricted_and_cannot_write_its_image(file: Path) -> None:
    pods = dict(pod_specs(render_file(file)))
    assert pods
    for name, pod in pods.items():
        assert violations(pod) == [], name
        assert all(each["securityContext"]["readOnlyRootFilesystem"] for each in containers(pod)), name


def test_the_rules_of_pod_security_find_what_is_forbidden() -> None:
    pod = {
        "hostNetwork": True,
        "volumes": [{"name": "a", "hostPath": {"path": "/"}}],
        "securityContext": {"sysctls": [{"name": "a"}], "runAsUser": 0},
        "containers": [
            {
                "securityContext": {
                    "privileged": True,
                    "procMount": "Unmasked",
                    "capabilities": {"add": ["SYS_ADMIN"]},
                },
                "ports": [{"hostPort": 80}],
            }
        ],
    }
    assert len(violations(pod)) == 10


@every_file
def test_only_pods_that_tell_events_or_make_jobs_have_a_token(file: Path) -> None:
    rendered = render_file(file)
    wanted = "mydb" in rendered.of("Role")
    for name, pod in pod_specs(rendered):
        told = wanted and name.startswith("CronJob ")
        assert pod["automountServiceAccountToken"] is (told or name == "Deployment mydb-serve"), name


@every_file
def test_what_a_pod_mounts_and_takes_its_secrets_from_exists(file: Path) -> None:
    rendered = render_file(file)
    values = yaml.safe_load(file.read_text())
    for name, pod in pod_specs(rendered):
        volumes = {each["name"]: each for each in pod["volumes"]}
        for container in containers(pod):
            mounts = container["volumeMounts"]
            assert {each["name"] for each in mounts} <= volumes.keys(), name
            assert len({each["mountPath"] for each in mounts}) == len(mounts), name
        ours = [each for each in volumes.values() if each not in values.get("extraVolumes", [])]
        maps = {each["configMap"]["name"] for each in ours if "configMap" in each}
        assert maps <= rendered.of("ConfigMap").keys(), name
        for each in pod["containers"][0]["env"]:
            wanted = each.get("valueFrom", {}).get("secretKeyRef")
            secret = rendered.of("Secret").get(wanted["name"]) if wanted else None
            if secret:
                assert wanted["key"] in secret["data"] or wanted.get("optional"), name
            elif wanted:
                assert re.search(rf"\b{wanted['name']}\b", file.read_text()), name


@every_file
def test_no_selector_holds_what_changes_with_a_version(file: Path) -> None:
    rendered = render_file(file)
    for policy in rendered.of("NetworkPolicy").values():
        selector = dict(policy["spec"]["podSelector"]["matchLabels"])
        component = selector.pop("app.kubernetes.io/component", None)
        assert policy["metadata"]["name"] == (f"mydb-{component}" if component else "mydb")
        assert selector.keys() == {"app.kubernetes.io/name", "app.kubernetes.io/instance"}
        for _, spec in job_specs(rendered):
            assert selector.items() <= spec["template"]["metadata"]["labels"].items()
    assert all("selector" not in spec for _, spec in job_specs(rendered))


def names_fit(rendered: Rendered) -> None:
    assert rendered.code == 0, rendered.stderr
    seen = [(each["kind"], each["metadata"]["name"]) for each in rendered.objects]
    assert len(set(seen)) == len(seen)
    for kind, name in seen:
        assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", name), name
        assert len(name) <= (52 if kind == "CronJob" else 63), name
    for each in rendered.objects:
        for label in each["metadata"]["labels"].values():
            assert isinstance(label, str), f"YAML takes {label!r} for something else"
            assert re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", label), label


@pytest.mark.parametrize("release", [LONGEST_RELEASE, "a" * 43 + "-b", "my.db", "x"])
def test_names_fit_however_long_those_of_the_release_and_the_databases_are(release: str) -> None:
    names_fit(render(minimal(), release=release))
    several = {key: {"existingSecret": "a"} for key in (LONGEST_KEY, "a", "a" * 19)}
    names_fit(render({"databases": several, "store": {"url": "s3://backups"}}, release=release))


@pytest.mark.parametrize("word", ["no", "yes", "null", "012"])
def test_words_that_yaml_takes_for_something_else_stay_words(word: str) -> None:
    values = {
        "databases": {word: {"existingSecret": word}},
        "store": {"url": "s3://backups", "existingSecret": word},
        "webhook": {"existingSecret": word},
        "serviceAccount": {"create": False, "name": word},
        "priorityClassName": word,
    }
    rendered = render(values, release=f"r-{word}" if word == "null" else word)
    names_fit(rendered)
    for _, pod in pod_specs(rendered):
        assert (pod["priorityClassName"], pod["serviceAccountName"]) == (word, word)
        secrets = [
            each["valueFrom"]["secretKeyRef"]["name"] for each in containers(pod)[0]["env"] if "valueFrom" in each
        ]
        assert set(secrets) == {word}
    for each in rendered.objects:
        kubernetes_validate.validate(each, NEW, strict=True)


def codes_without_retry() -> set[int]:
    """Codes that mean only failures that a retry cannot mend."""
    leaves = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, PgproofError)]
    leaves = [each for each in leaves if each not in {PgproofError, Interrupted}]
    return {each.exit_code for each in leaves} - {each.exit_code for each in leaves if each.retryable} - {1}


RESERVED = {12, 13}
"""Published as not worth a retry, and not in use yet (docs/exit-codes.md)."""
A_NEW_RUN_MAY_DO_BETTER = {7, 8}
"""A backup that found its own upload damaged is made anew from the start; 8 is a restore's, which has no retries."""
NEVER_IN_A_JOB = {15, 16}
"""The kubectl plugin's own, which does not run in the cluster; and that of a check, which is never tried again."""


def test_a_failure_that_a_retry_cannot_mend_ends_the_job_at_once() -> None:
    for name, spec in job_specs(render(minimal())):
        assert spec["template"]["spec"]["restartPolicy"] == "Never"
        if not name.endswith("-backup"):
            assert spec["backoffLimit"] == 0
            continue
        ignore, fail = spec["podFailurePolicy"]["rules"]
        assert ignore == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
        assert (fail["action"], fail["onExitCodes"]["operator"]) == ("FailJob", "In")
        assert fail["onExitCodes"]["containerName"] == spec["template"]["spec"]["containers"][0]["name"]
        wanted = (codes_without_retry() | RESERVED) - A_NEW_RUN_MAY_DO_BETTER - NEVER_IN_A_JOB
        assert set(fail["onExitCodes"]["values"]) == wanted


def test_the_policy_lets_out_to_every_bucket_and_to_none_where_there_is_none() -> None:
    folder = {"url": "", "persistence": {"enabled": True}}
    more = {
        "near": {"url": "s3://near", "endpoint": "http://minio:9000"},
        "far": {"url": "s3://far"},
        "disk": {"url": "/backups/two"},
    }
    for stores, wanted in (({"moreStores": more}, {5432, 9000, 443}), ({}, {5432})):
        rendered = render(minimal(store=folder, networkPolicy={"enabled": True}, **stores))
        (policy,) = rendered.of("NetworkPolicy").values()
        ports = {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]}
        assert ports - {53, 5353} == wanted
