"""What keeps a Job waiting is told: other containers of its pod, a queue, what runs before pgproof."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from backup.errors import JobNotRun
from backup.kube.connection import Cluster, from_kubeconfig
from tests.kube.api_server import Api, running_api
from tests.kube.running_job import JOB, add_pod, end_job, followed, following
from tests.support.command import wait_until


@pytest.fixture
def api() -> Iterator[Api]:
    with running_api() as api:
        api.add("jobs", JOB)
        yield api


@pytest.fixture
def cluster(api: Api, tmp_path: Path) -> Cluster:
    return from_kubeconfig(file=api.kubeconfig(tmp_path), timeout=5)


def test_containers_that_keep_the_pod_of_an_ended_run_are_named_once(
    api: Api, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    add_pod(api, "p", code=0, said="done").close()
    api.objects["pods", "p"]["status"]["containerStatuses"].append({"name": "istio-proxy", "state": {"running": {}}})
    said: list[str] = []

    def told() -> bool:
        said.append(capsys.readouterr().err)
        return "istio-proxy" in "".join(said)

    with following(api, cluster) as (end, _):
        wait_until(told)
        looks = len(api.asked("GET", "/pods"))
        wait_until(lambda: len(api.asked("GET", "/pods")) > looks + 3)
        end_job(api, "Complete")
        assert end.result(30).said == "done"
    assert ("".join(said) + capsys.readouterr().err).count("istio-proxy") == 1


def test_a_suspended_job_is_said(api: Api, cluster: Cluster) -> None:
    api.objects["jobs", JOB]["spec"] = {"suspend": True}
    with pytest.raises(JobNotRun) as failure:
        followed(cluster, start_within=1)
    assert failure.value.detail == "the Job is suspended"


def test_a_container_that_waits_before_pgproof_is_the_reason(api: Api, cluster: Cluster) -> None:
    add_pod(api, "p", phase="Pending")
    waiting = {"waiting": {"reason": "ErrImagePull", "message": "no postgis"}}
    api.objects["pods", "p"]["status"]["initContainerStatuses"] = [{"name": "postgres", "state": waiting}]
    with pytest.raises(JobNotRun) as failure:
        followed(cluster, start_within=1)
    assert failure.value.detail == "ErrImagePull: no postgis"


def test_a_deadline_is_told_beside_the_exit_code(
    api: Api, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    add_pod(api, "p", code=4, said="no answer").close()
    end_job(api, "Failed", "DeadlineExceeded")
    ended, _ = followed(cluster)
    assert ended.code == 4
    assert "DeadlineExceeded" in capsys.readouterr().err
