"""Follows a Job to its end: the log of each of its pods line by line, and why one does not start.

Owns when the cluster is given up on. A follower that goes away stops nothing: the Job goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from backup.errors import AccessDenied, ClusterUnreachable, JobNotRun
from backup.kube.connection import Cluster
from backup.kube.jobs import CONTAINER, JobState, PodState, job_state, pods_of, warning_of
from backup.kube.objects import get, log_lines
from backup.logs import log

_PAUSE = 0.5
_SECOND = len("2026-11-22T08:00:00")
_SLOW = 5.0
"""Seconds of waiting after which the reason is worth telling."""
_LOST = 60.0
"""Seconds for which the API server may not answer while we follow: it is restarted in an upgrade."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a Job ended: the exit status of its last pod, and what that one said last."""

    job: str
    code: int
    said: str


class Follower:
    """Follows one Job.

    Args:
        cluster: where it is.
        job: its name.
        tell: is given each line of its log.
        start_within: seconds in which a pod must have started.
    """

    def __init__(self, cluster: Cluster, job: str, tell: Callable[[str], None], *, start_within: float) -> None:
        self._cluster = cluster
        self._job = job
        self._tell = tell
        self._start_within = start_within
        self._told: set[str] = set()
        self._known: set[str] = set()
        self._since = ""
        self._waiting_since = self._answered = time.monotonic()
        self._reason = ""

    def follow(self) -> Ended:
        """Follow it to its end.

        Raises:
            JobNotRun: no pod started in time, or the cluster ended the Job without an exit status.
            NotFound: somebody deleted it.
            AccessDenied: a right is missing.
            ClusterUnreachable: the API server does not answer for a minute.
        """
        while True:
            try:
                ended = self._look()
            except ClusterUnreachable as error:
                if isinstance(error, JobNotRun) or time.monotonic() - self._answered > _LOST:
                    raise
                log.warning("the cluster does not answer, trying again", reason=error.detail or error.message)
            else:
                self._answered = time.monotonic()
                if ended:
                    return ended
            time.sleep(_PAUSE)

    def _look(self) -> Ended | None:
        job = job_state(get(self._cluster, "jobs", self._job))
        pods = pods_of(self._cluster, self._job)
        for pod in pods:
            if pod.name not in self._told and pod.has_a_log:
                self._read_log(pod)
                return None
        if job.condition:
            return self._end(job, pods)
        if not any(pod.has_a_log for pod in pods[-1:]):
            self._wait(pods[-1] if pods else None)
        return None

    def _read_log(self, pod: PodState) -> None:
        """Tell what is new in the log of a pod, until it ends or the line breaks; the rest comes with the next look."""
        try:
            for line in log_lines(self._cluster, pod.name, container=CONTAINER, follow=True, since=self._since):
                if line in self._known:
                    continue
                moment, _, text = line.partition(" ")
                self._known = {each for each in self._known if each[:_SECOND] == moment[:_SECOND]} | {line}
                self._since = moment
                self._tell(text)
        except ClusterUnreachable as error:
            log.debug("the log is asked for again", pod=pod.name, reason=error.detail)
        except AccessDenied as error:
            log.warning("the log cannot be shown", pod=pod.name, reason=error.message, hint=error.hint)
            self._told.add(pod.name)
        if pod.code is not None:  # it had ended before we began to read
            self._told.add(pod.name)
            self._known, self._since, self._reason = set(), "", ""
            self._waiting_since = time.monotonic()

    def _wait(self, pod: PodState | None) -> None:
        """Tell why nothing runs yet, once for each reason; give up in the end."""
        waited = time.monotonic() - self._waiting_since
        if waited < _SLOW:
            return
        name = pod.name if pod else self._job
        reason = warning_of(self._cluster, name) or (pod.waits if pod else "") or "the cluster says no reason"
        if reason != self._reason:
            log.warning("waiting for the pod to start", pod=pod.name if pod else None, reason=reason)
            self._reason = reason
        if waited > self._start_within:
            raise JobNotRun(
                f"no pod of the job {self._job} started within {self._start_within:.0f} s",
                detail=reason,
                hint=f"it may start yet; kubectl delete job {self._job} --namespace {self._cluster.namespace} takes it"
                " back",
            )

    def _end(self, job: JobState, pods: list[PodState]) -> Ended:
        if job.condition == "Complete":
            return Ended(job=job.name, code=0, said=next((pod.said for pod in reversed(pods) if pod.code == 0), ""))
        codes = [pod for pod in pods if pod.code]
        if not codes:
            raise JobNotRun(
                f"the cluster ended the job {job.name} without an exit status of pgproof",
                detail=job.reason,
                hint=f"kubectl describe job {job.name} --namespace {self._cluster.namespace} tells more",
            )
        return Ended(job=job.name, code=codes[-1].code or 1, said=codes[-1].said)
