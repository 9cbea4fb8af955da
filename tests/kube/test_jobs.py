"""A Job is made as kubectl makes it, and its state is read for what it is."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from backup.kube.connection import Cluster, from_kubeconfig
from backup.kube.jobs import job_state, jobs_of, make_job, new_name, pods_of, pods_of_release, warning_of
from backup.kube.releases import Template, choose, templates_of
from tests.kube.api_server import Answer, Api, Object, running_api

LABELS = {"app.kubernetes.io/name": "pgproof", "app.kubernetes.io/instance": "shop"}
FAILED = {"type": "Failed", "status": "True", "lastTransitionTime": "2026-11-22T08:10:00Z"}
TEMPLATE: Object = {
    "metadata": {"labels": {**LABELS, "app.kubernetes.io/component": "backup"}, "annotations": {"team": "blue"}},
    "spec": {
        "backoffLimit": 3,
        "fieldOfTomorrow": {"unknown": ["to", "the client"]},
        "template": {
            "metadata": {"labels": LABELS},
            "spec": {
                "restartPolicy": "Never",
                "initContainers": [{"name": "proxy", "restartPolicy": "Always", "args": ["serve"]}],
                "containers": [
                    {"name": "sidecar", "args": ["watch"], "env": [{"name": "A", "value": "1"}]},
                    {"name": "pgproof", "args": ["backup"], "env": [{"name": "B", "value": "2"}], "fieldOfTomorrow": 1},
                ],
            },
        },
    },
}


@pytest.fixture
def api() -> Iterator[Api]:
    with running_api() as api:
        labels = {**LABELS, "app.kubernetes.io/component": "backup"}
        api.add("cronjobs", "shop-backup", labels=labels, spec={"jobTemplate": TEMPLATE})
        yield api


@pytest.fixture
def cluster(api: Api, tmp_path: Path) -> Cluster:
    return from_kubeconfig(file=api.kubeconfig(tmp_path))


@pytest.fixture
def template(cluster: Cluster) -> Template:
    return choose(templates_of(cluster, None), "backup", None)


class TestMaking:
    def test_a_job_is_what_kubectl_makes_of_a_cronjob(self, api: Api, cluster: Cluster, template: Template) -> None:
        """As `kubectl create job --from` does, field by field, also those that our client does not know."""
        name = new_name(template)
        make_job(cluster, template, name)
        made = api.objects["jobs", name]
        assert name.startswith("shop-backup-")
        assert (made["apiVersion"], made["kind"], made["spec"]) == ("batch/v1", "Job", TEMPLATE["spec"])
        metadata = made["metadata"]
        assert metadata["labels"] == TEMPLATE["metadata"]["labels"]
        assert metadata["annotations"] == {"cronjob.kubernetes.io/instantiate": "manual", "team": "blue"}
        uid = api.objects["cronjobs", "shop-backup"]["metadata"]["uid"]
        owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": "shop-backup", "uid": uid, "controller": True}
        assert metadata["ownerReferences"] == [owner]

    def test_each_job_has_a_name_of_its_own(self, template: Template) -> None:
        assert len({new_name(template) for _ in range(5)}) == 5

    def test_arguments_and_variables_are_those_of_pgproof_alone(
        self, api: Api, cluster: Cluster, template: Template
    ) -> None:
        name = new_name(template)
        make_job(cluster, template, name, ["restore", "latest"], environ={"C": "3"})
        expected = copy.deepcopy(TEMPLATE["spec"])
        expected["template"]["spec"]["containers"][1]["args"] = ["restore", "latest"]
        expected["template"]["spec"]["containers"][1]["env"].append({"name": "C", "value": "3"})
        assert api.objects["jobs", name]["spec"] == expected
        assert template.cronjob["spec"]["jobTemplate"] == TEMPLATE

    def test_a_template_without_labels_arguments_or_variables_will_do(self, api: Api, cluster: Cluster) -> None:
        bare = {"spec": {"template": {"spec": {"containers": [{"name": "pgproof"}]}}}}
        api.objects["cronjobs", "shop-backup"]["spec"]["jobTemplate"] = bare
        template = choose(templates_of(cluster, None), "backup", None)
        name = new_name(template)
        make_job(cluster, template, name)
        assert api.objects["jobs", name]["spec"] == bare["spec"]


class TestStates:
    @pytest.mark.parametrize(
        ("conditions", "expected"),
        [
            ([], (None, None)),
            ([{"type": "Suspended", "status": "True"}], (None, None)),
            ([{"type": "FailureTarget", "status": "True", "reason": "DeadlineExceeded"}], (None, None)),
            ([{**FAILED, "status": "False"}], (None, None)),
            ([{**FAILED, "type": "Complete"}], ("Complete", None)),
            ([{**FAILED, "reason": "BackoffLimitExceeded", "message": "m"}], ("Failed", "BackoffLimitExceeded")),
            ([{**FAILED, "reason": "PodFailurePolicy"}], ("Failed", "PodFailurePolicy")),
            ([{**FAILED, "reason": "DeadlineExceeded"}], ("Failed", "DeadlineExceeded")),
            ([{**FAILED, "message": "in words alone"}], ("Failed", "in words alone")),
        ],
    )
    def test_a_job_has_ended_when_the_cluster_says_so(
        self, api: Api, conditions: list[Object], expected: tuple[str | None, str | None]
    ) -> None:
        job = api.add("jobs", "j", labels={"app.kubernetes.io/component": "backup"}, status={"conditions": conditions})
        state = job_state(job)
        assert (state.name, state.component, state.condition, state.reason) == ("j", "backup", *expected)
        assert state.ended == (datetime(2026, 11, 22, 8, 10, tzinfo=UTC) if expected[0] else None)

    def test_a_job_that_has_just_been_made_has_no_status(self, api: Api) -> None:
        state = job_state(api.add("jobs", "j"))
        assert (state.started, state.ended, state.condition) == (None, None, None)

    @pytest.mark.parametrize(
        ("status", "expected"),
        [
            ({}, ("Pending", None, "", "", False)),
            ({"phase": "Running"}, ("Running", None, "", "", True)),
            ({"phase": "Failed", "reason": "Evicted"}, ("Failed", None, "", "", False)),
        ],
    )
    def test_a_pod_without_containers_is_read(
        self, api: Api, cluster: Cluster, status: Object, expected: tuple[object, ...]
    ) -> None:
        assert read_pod(api, cluster, status) == expected

    @pytest.mark.parametrize(
        ("phase", "state", "expected"),
        [
            ("Running", {"running": {}}, (None, "", "", True)),
            ("Succeeded", {"terminated": {"exitCode": 0, "message": "stored"}}, (0, "stored", "", True)),
            ("Failed", {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}, (137, "", "", True)),
            ("Running", {"terminated": {"exitCode": 4}}, (4, "", "", True)),  # a sidecar still runs
            ("Pending", {"waiting": {"reason": "ContainerCreating"}}, (None, "", "ContainerCreating", False)),
            (
                "Pending",
                {"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "db" not found'}},
                (None, "", 'CreateContainerConfigError: secret "db" not found', False),
            ),
        ],
    )
    def test_a_pod_is_read_by_the_container_of_pgproof(
        self, api: Api, cluster: Cluster, phase: str, state: Object, expected: tuple[object, ...]
    ) -> None:
        other = {"name": "sidecar", "state": {"terminated": {"exitCode": 99, "message": "not this"}}}
        status = {"phase": phase, "containerStatuses": [other, {"name": "pgproof", "state": state}]}
        assert read_pod(api, cluster, status) == (phase, *expected)

    def test_a_pod_that_fits_on_no_node_says_why(self, api: Api, cluster: Cluster) -> None:
        full = {"reason": "Unschedulable", "message": "0/3 nodes are available"}
        condition = {"type": "PodScheduled", "status": "False", **full}
        expected = ("Pending", None, "", "Unschedulable: 0/3 nodes are available", False)
        assert read_pod(api, cluster, {"phase": "Pending", "conditions": [condition]}) == expected


def read_pod(api: Api, cluster: Cluster, status: Object) -> tuple[Any, ...]:
    """What is made of the status of a pod: phase, code, last words, why it waits, whether it has a log."""
    api.add("pods", "p", labels={"batch.kubernetes.io/job-name": "j"}, status=status)
    (pod,) = pods_of(cluster, "j")
    return pod.phase, pod.code, pod.said, pod.waits, pod.has_a_log


def test_the_newest_job_is_first_and_the_oldest_pod(api: Api, cluster: Cluster) -> None:
    for name in ("b", "c", "a"):
        api.add("jobs", name, labels=LABELS)
        api.add("pods", f"pod-{name}", labels={**LABELS, "batch.kubernetes.io/job-name": "c"})
    api.add("jobs", "other", labels={**LABELS, "app.kubernetes.io/instance": "blog"})
    assert [job.name for job in jobs_of(cluster, "shop")] == ["a", "c", "b"]
    assert [pod.name for pod in pods_of(cluster, "c")] == ["pod-b", "pod-c", "pod-a"]
    assert {job: pod.name for job, pod in pods_of_release(cluster, "shop").items()} == {"c": "pod-a"}


def test_without_the_right_to_read_events_there_is_no_warning(api: Api, cluster: Cluster) -> None:
    api.add("events", "e", involvedObject={"name": "j"}, type="Warning", message="full", eventTime="2026-11-22T08:00Z")
    assert warning_of(cluster, "j") == "full"
    api.answers["GET", "events"] = Answer.refusal(403, 'events is forbidden: User "me" cannot list resource "events"')
    assert warning_of(cluster, "j") == ""
