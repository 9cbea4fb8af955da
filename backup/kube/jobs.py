"""Jobs that are made from a template, and how they and their pods stand. Owns what is read from their status."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from secrets import token_hex
from typing import Any

from backup.errors import AccessDenied
from backup.kube.connection import Cluster
from backup.kube.objects import Object, create, items
from backup.kube.releases import COMPONENT, DATABASE, ONLY, OURS, RELEASE, Template

CONTAINER = "pgproof"
_JOB = "batch.kubernetes.io/job-name"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobState:
    """How a Job stands.

    Attributes:
        condition: `Complete` or `Failed` once it has ended.
        reason: of that condition, in the cluster's words.
        suspended: it waits to be let go, as by a queue.
    """

    name: str
    component: str
    database: str
    created: datetime
    started: datetime | None
    ended: datetime | None
    condition: str | None
    reason: str | None
    suspended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PodState:
    """How a pod of ours stands.

    Attributes:
        phase: Pending, Running, Succeeded, Failed, Unknown.
        code: exit status of pgproof, once it has ended.
        said: its last words, the outcome of the run.
        waits: why it does not start, in the cluster's words.
        others: containers that still run beside pgproof, such as a mesh's.
    """

    name: str
    phase: str
    code: int | None
    said: str
    waits: str
    others: tuple[str, ...] = ()

    @property
    def has_a_log(self) -> bool:
        """Whether the container runs or has run. A pod that failed before that, or was lost, has none to show."""
        return self.phase == "Running" or self.code is not None


def new_name(template: Template) -> str:
    """A name for a Job of a template, that no other has."""
    return f"{template.name}-{token_hex(3)}"


def make_job(
    cluster: Cluster,
    template: Template,
    name: str,
    args: Sequence[str] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
) -> None:
    """Make a Job of a template, as `kubectl create job --from` does.

    Args:
        cluster: where the template is.
        template: what is made a Job of.
        name: of the Job.
        args: of pgproof, in place of the template's.
        environ: more variables.
    """
    spec = copy.deepcopy(template.cronjob["spec"]["jobTemplate"])
    for container in spec["spec"]["template"]["spec"]["containers"]:
        if container["name"] == CONTAINER and args:
            container["args"] = list(args)
        if container["name"] == CONTAINER and environ:
            container["env"] = [*container.get("env", ()), *_variables(environ)]
    metadata = template.cronjob["metadata"]
    owner = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "name": metadata["name"],
        "uid": metadata["uid"],
        "controller": True,
    }
    body = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            **spec.get("metadata", {}),
            "name": name,
            "annotations": {
                **spec.get("metadata", {}).get("annotations", {}),
                "cronjob.kubernetes.io/instantiate": "manual",
            },
            "ownerReferences": [owner],
        },
        "spec": spec["spec"],
    }
    create(cluster, "jobs", body)


def jobs_of(cluster: Cluster, release: str) -> list[JobState]:
    """The Jobs of a release, the newest first."""
    found = items(cluster, "jobs", labelSelector=f"{OURS},{RELEASE}={release}")
    return sorted(map(job_state, found), key=lambda job: job.created, reverse=True)


def job_state(job: Object) -> JobState:
    """What a Job says of itself."""
    status = job.get("status", {})
    ends = [each for each in status.get("conditions", ()) if each["type"] in {"Complete", "Failed"}]
    end = next((each for each in ends if each["status"] == "True"), None)
    return JobState(
        name=job["metadata"]["name"],
        component=job["metadata"].get("labels", {}).get(COMPONENT, ""),
        database=job["metadata"].get("labels", {}).get(DATABASE, ONLY),
        created=_moment(job["metadata"]["creationTimestamp"]),
        started=_moment(status["startTime"]) if status.get("startTime") else None,
        ended=_moment(end["lastTransitionTime"]) if end else None,
        condition=end["type"] if end else None,
        reason=(end.get("reason") or end.get("message")) if end else None,
        suspended=bool(job.get("spec", {}).get("suspend")),
    )


def pods_of(cluster: Cluster, job: str) -> list[PodState]:
    """The pods of a Job, the oldest first."""
    found = items(cluster, "pods", labelSelector=f"{_JOB}={job}")
    found = sorted(found, key=lambda pod: (pod["metadata"]["creationTimestamp"], pod["metadata"]["name"]))
    return [_pod_state(pod) for pod in found]


def pods_of_release(cluster: Cluster, release: str) -> dict[str, PodState]:
    """The newest pod of each Job of a release, by the Job's name."""
    found = items(cluster, "pods", labelSelector=f"{OURS},{RELEASE}={release}")
    found = sorted(found, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))
    return {pod["metadata"].get("labels", {}).get(_JOB, ""): _pod_state(pod) for pod in found}


def warning_of(cluster: Cluster, name: str) -> str:
    """The newest warning that the cluster has about an object, where we may read it."""
    try:
        found = items(cluster, "events", fieldSelector=f"involvedObject.name={name},type=Warning")
    except AccessDenied:
        return ""
    newest = max(found, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""), default={})
    return str(newest.get("message", ""))


def _pod_state(pod: Object) -> PodState:
    status = pod.get("status", {})
    of_all = {each["name"]: each.get("state", {}) for each in status.get("containerStatuses", ())}
    states: Mapping[str, Any] = of_all.get(CONTAINER, {})
    ended, waiting = states.get("terminated"), states.get("waiting", {})
    for each in status.get("initContainerStatuses", ()):  # what runs before us may be what waits
        waiting = each.get("state", {}).get("waiting") or waiting
    unplaced = [each for each in status.get("conditions", ()) if each["type"] == "PodScheduled"]
    reasons = [waiting.get("reason"), waiting.get("message")]
    if not states and unplaced and unplaced[0]["status"] == "False":
        reasons = [unplaced[0].get("reason"), unplaced[0].get("message")]
    return PodState(
        name=pod["metadata"]["name"],
        phase=status.get("phase", "Pending"),
        code=int(ended["exitCode"]) if ended else None,
        said=str(ended.get("message", "")) if ended else "",
        waits=": ".join(text for text in reasons if text),
        others=tuple(name for name, state in of_all.items() if name != CONTAINER and "running" in state),
    )


def _variables(environ: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in environ.items()]


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
