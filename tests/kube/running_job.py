"""A Job of the cluster, its pods and their logs; and how it is followed meanwhile, by a thread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from backup.kube.connection import Cluster
from backup.kube.following import Ended, Follower
from tests.kube.api_server import Api, PodLog

JOB = "shop-backup-1"
SECOND = "2026-11-22T08:00:01"


def add_pod(
    api: Api, name: str, *, job: str = JOB, phase: str = "Running", code: int | None = None, said: str = ""
) -> PodLog:
    """A pod of the Job, and its log."""
    state: dict[str, Any] = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    if phase != "Pending":
        state = {"running": {}} if code is None else {"terminated": {"exitCode": code, "message": said}}
    status = {"phase": phase, "containerStatuses": [{"name": "pgproof", "state": state}]}
    labels = {**api.objects["jobs", job]["metadata"].get("labels", {}), "batch.kubernetes.io/job-name": job}
    api.add("pods", name, labels=labels, status=status)
    return api.log(name)


def end_pod(api: Api, name: str, code: int, said: str = "") -> None:
    """It ends, and with it its log."""
    api.objects["pods", name]["status"] = {
        "phase": "Failed" if code else "Succeeded",
        "containerStatuses": [{"name": "pgproof", "state": {"terminated": {"exitCode": code, "message": said}}}],
    }
    api.log(name).close()


def end_job(api: Api, condition: str, reason: str = "", *, job: str = JOB) -> None:
    """The cluster says that it has ended."""
    end = {"type": condition, "status": "True", "lastTransitionTime": "2026-11-22T09:00:00Z", "reason": reason}
    api.objects["jobs", job]["status"] = {"startTime": "2026-11-22T08:30:00Z", "conditions": [end]}


def run_through(api: Api, job: str, code: int, lines: Sequence[str], said: str = "") -> None:
    """A Job runs from its beginning to its end, with one pod."""
    log = add_pod(api, f"{job}-pod", job=job)
    for number, line in enumerate(lines):
        log.write(f"{SECOND}.{number:06}Z", line)
    end_pod(api, f"{job}-pod", code, said)
    end_job(api, "Failed" if code else "Complete", job=job)


def follower(cluster: Cluster, lines: list[str], *, start_within: float = 60, lost: float = 30) -> Follower:
    return Follower(
        cluster, JOB, lines.append, start_within=start_within, pause=0.02, slow=min(0.1, start_within), lost=lost
    )


def followed(cluster: Cluster, *, start_within: float = 60, lost: float = 30) -> tuple[Ended, list[str]]:
    lines: list[str] = []
    return follower(cluster, lines, start_within=start_within, lost=lost).follow(), lines


@contextmanager
def following(
    api: Api, cluster: Cluster, *, start_within: float = 60, lost: float = 30
) -> Iterator[tuple[Future[Ended], list[str]]]:
    """It is followed by a thread meanwhile."""
    lines: list[str] = []
    with ThreadPoolExecutor(1) as threads:
        try:
            yield threads.submit(follower(cluster, lines, start_within=start_within, lost=lost).follow), lines
        finally:  # where a test fails, the thread is to end all the same
            api.objects.clear()
            for log in api.logs.values():
                log.close()
