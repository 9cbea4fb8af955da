"""A Job that does not start, does not end well, or whose log cannot be had, is told for what it is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from backup.errors import JobNotRun, NotFound
from backup.kube.connection import Cluster, from_kubeconfig
from backup.kube.following import Ended
from tests.kube.api_server import Answer, Api, running_api
from tests.kube.running_job import JOB, SECOND, add_pod, end_job, end_pod, followed, following
from tests.support.command import wait_until

FORBIDDEN = Answer.refusal(403, 'pods "p" is forbidden: User "me" cannot get resource "pods/log" in API group ""')


@pytest.fixture
def api() -> Iterator[Api]:
    with running_api() as api:
        api.add("jobs", JOB)
        yield api


@pytest.fixture
def cluster(api: Api, tmp_path: Path) -> Cluster:
    return from_kubeconfig(file=api.kubeconfig(tmp_path), timeout=5)


def test_what_an_earlier_pod_did_is_no_waiting_of_the_next(api: Api, cluster: Cluster) -> None:
    """A pod has its whole time to start, however long the one before it ran."""
    add_pod(api, "p")
    api.answers["GET", "log"] = FORBIDDEN
    with following(api, cluster, start_within=1) as (end, _):
        begun = time.monotonic()
        wait_until(lambda: time.monotonic() - begun > 1.2)
        add_pod(api, "q", phase="Pending")
        end_pod(api, "p", 4)
        looks = len(api.asked("GET", "/events"))
        wait_until(lambda: len(api.asked("GET", "/events")) > looks)  # it waits, and has not given up
        end_job(api, "Complete")
        end_pod(api, "q", 0)
        assert end.result(30).code == 0


def test_a_pod_that_does_not_start_tells_each_reason_once_and_is_given_up_on(
    api: Api, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    add_pod(api, "p", phase="Pending")
    with pytest.raises(JobNotRun, match=r"no pod of the job shop-backup-1 started within 1 s") as failure:
        followed(cluster, start_within=1)
    assert failure.value.detail == "ImagePullBackOff: no such image"
    assert "kubectl delete job shop-backup-1 --namespace prod" in (failure.value.hint or "")
    assert capsys.readouterr().err.count("no such image") == 1
    assert len(api.asked("GET", "/events")) > 3


def test_a_job_without_a_pod_tells_the_warning_that_the_cluster_has(
    api: Api, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    for seconds, about, kind, message in (
        (2, JOB, "Warning", "exceeded quota"),
        (1, JOB, "Warning", "an older one"),
        (3, JOB, "Normal", "no warning"),
        (4, "other", "Warning", "of another"),
    ):
        last = f"2026-11-22T08:00:0{seconds}Z"
        api.add("events", message, involvedObject={"name": about}, type=kind, message=message, lastTimestamp=last)
    with pytest.raises(JobNotRun) as failure:
        followed(cluster, start_within=0.5)
    assert failure.value.detail == "exceeded quota"
    assert capsys.readouterr().err.count("exceeded quota") == 1


def test_a_pod_that_failed_before_it_ran_has_no_log_to_wait_for(api: Api, cluster: Cluster) -> None:
    """Such as one that was evicted, or that its node did not take."""
    api.add("pods", "p", labels={"batch.kubernetes.io/job-name": JOB}, status={"phase": "Failed", "reason": "Evicted"})
    api.answers["GET", "log"] = Answer.refusal(400, 'container "pgproof" in pod "p" is waiting to start')
    end_job(api, "Failed", "BackoffLimitExceeded")
    with pytest.raises(JobNotRun, match="ended the job shop-backup-1 without an exit status") as failure:
        followed(cluster)
    assert failure.value.detail == "BackoffLimitExceeded"


def test_a_job_that_the_cluster_ended_has_no_exit_status(api: Api, cluster: Cluster) -> None:
    end_job(api, "Failed", "DeadlineExceeded")
    with pytest.raises(JobNotRun) as failure:
        followed(cluster)
    assert failure.value.detail == "DeadlineExceeded"
    assert "kubectl describe job shop-backup-1 --namespace prod" in (failure.value.hint or "")


def test_a_log_that_stays_away_does_not_hide_the_exit_code(
    api: Api, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    """The node is gone, the cluster is not."""
    add_pod(api, "p", phase="Failed", code=7)
    api.answers["GET", "log"] = Answer.refusal(500, "dial tcp: no route to host")
    end_job(api, "Failed")
    assert followed(cluster, lost=0.3)[0].code == 7
    assert capsys.readouterr().err.count("the log cannot be shown") == 1


@pytest.mark.parametrize("answer", [FORBIDDEN, Answer.refusal(404, 'pods "p" not found')], ids=["no right", "gone"])
def test_a_log_that_we_cannot_have_does_not_hide_the_exit_code(
    api: Api, cluster: Cluster, answer: Answer, capsys: pytest.CaptureFixture[str]
) -> None:
    add_pod(api, "p")
    api.answers["GET", "log"] = answer
    with following(api, cluster) as (end, lines):
        wait_until(lambda: api.asked("GET", "/log"))
        end_job(api, "Failed")
        end_pod(api, "p", 9, "no backup")
        assert end.result(30) == Ended(job=JOB, code=9, said="no backup")
    assert lines == []
    assert capsys.readouterr().err.count("the log cannot be shown") == 1


def test_a_job_that_is_deleted_meanwhile_is_said(api: Api, cluster: Cluster) -> None:
    add_pod(api, "p").write(f"{SECOND}.1Z", "before")
    with following(api, cluster) as (end, lines):
        wait_until(lambda: lines == ["before"])
        del api.objects["jobs", JOB], api.objects["pods", "p"]
        api.log("p").close()
        with pytest.raises(NotFound, match="the job shop-backup-1 in prod was deleted before its end was seen"):
            end.result(30)
