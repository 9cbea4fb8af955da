"""Follows a Job to its end: the log of each of its pods line by line, and why one does not start.

Owns when the cluster is given up on. A follower that goes away stops nothing: the Job goes on.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from backup.errors import AccessDenied, ClusterUnreachable, JobNotRun, NotFound, PgproofError
from backup.kube.connection import Cluster
from backup.kube.jobs import CONTAINER, JobState, PodState, job_state, pods_of, warning_of
from backup.kube.objects import get, log_lines
from backup.logs import log

_PAUSE = 0.5
_SECOND = len("2026-11-22T08:00:00")
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S*) ")
_OF_PGPROOF = {"BackoffLimitExceeded", "PodFailurePolicy"}
"""Reasons for which a Job fails that are no more than its pods' exit codes."""
_SLOW = 5.0
_LOST = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a Job ended: the exit status of its last pod, and what that one said last."""

    job: str
    code: int
    said: str


class _Log:
    """What is told of the log of one pod. A log that is asked for again begins with the second in which it broke."""

    def __init__(self, pod: str) -> None:
        self.pod = pod
        self.since = ""
        self.failing_since: float | None = None
        self._told = Counter[str]()
        self._again = Counter[str]()

    def begin(self) -> None:
        """It is read from `since` on."""
        self._again.clear()

    def news(self, line: str) -> str | None:
        """The text of a line that was not told before."""
        self._again[line] += 1
        if self._again[line] <= self._told[line]:
            return None
        self.failing_since = None
        moment = _MOMENT.match(line)
        if moment is None:  # the node's own words, such as that it has no log
            self._told[line] += 1
            return line
        if moment[1][:_SECOND] != self.since[:_SECOND]:
            # Later ones too: stdout and stderr may overtake each other.
            self._told = Counter({each: n for each, n in self._told.items() if each[:_SECOND] >= moment[1][:_SECOND]})
        self._told[line] += 1
        self.since = moment[1]
        return line[moment.end() :]


class Follower:
    """Follows one Job.

    Args:
        cluster: where it is.
        job: its name.
        tell: is given each line of its log.
        start_within: seconds in which a pod must have started.
        pause: seconds between two looks.
        slow: seconds of waiting for a pod after which the reason is worth telling.
        lost: seconds for which the API server, or the log of a pod that has ended, may not answer: a server is
            restarted in an upgrade.
    """

    def __init__(
        self,
        cluster: Cluster,
        job: str,
        tell: Callable[[str], None],
        *,
        start_within: float,
        pause: float = _PAUSE,
        slow: float = _SLOW,
        lost: float = _LOST,
    ) -> None:
        self._cluster = cluster
        self._job = job
        self._tell = tell
        self._start_within = start_within
        self._pause = pause
        self._slow = min(slow, start_within)
        self._lost = lost
        self._told: set[str] = set()
        self._log = _Log("")
        self._reasons: set[tuple[str, str]] = set()
        self._waiting_since = self._answered = time.monotonic()

    def follow(self) -> Ended:
        """Follow it to its end.

        Raises:
            JobNotRun: no pod started in time, or the cluster ended the Job without an exit status.
            NotFound: somebody deleted it.
            AccessDenied: a right is missing.
            ClusterUnreachable: the API server does not answer for a minute.
        """
        away = False
        while True:
            try:
                ended = self._look()
            except NotFound as error:
                where = f"{self._job} in {self._cluster.namespace}"
                raise NotFound(f"the job {where} was deleted before its end was seen", detail=error.detail) from error
            except ClusterUnreachable as error:
                if isinstance(error, JobNotRun) or time.monotonic() - self._answered > self._lost:
                    raise
                if not away:
                    log.warning("the cluster does not answer, trying again", reason=error.detail or error.message)
                away = True
            else:
                self._answered, away = time.monotonic(), False
                if ended:
                    return ended
            time.sleep(self._pause)

    def _look(self) -> Ended | None:
        job = job_state(get(self._cluster, "jobs", self._job))
        pods = pods_of(self._cluster, self._job)
        for pod in pods:
            if pod.name not in self._told and pod.has_a_log:
                self._read_log(pod)
                self._waiting_since = time.monotonic()
                return None
        if job.condition:
            return self._end(job, pods)
        if any(pod.has_a_log for pod in pods[-1:]):
            self._wait_for_others(pods[-1])
        else:
            self._wait(pods[-1] if pods else None, suspended=job.suspended)
        return None

    def _wait_for_others(self, pod: PodState) -> None:
        """Tell what keeps a pod running in which pgproof has ended: the Job waits for all of its containers."""
        if pod.code is None or not pod.others:
            self._waiting_since = time.monotonic()
        elif time.monotonic() - self._waiting_since > self._slow and (pod.name, "others") not in self._reasons:
            self._reasons.add((pod.name, "others"))
            log.warning(
                "pgproof has ended, but other containers keep its pod running",
                pod=pod.name,
                exit_code=pod.code,
                containers=", ".join(pod.others),
                hint="docs/kubernetes.md says how to keep a mesh's sidecar out of these pods",
            )

    def _read_log(self, pod: PodState) -> None:
        """Tell what is new in the log of a pod, until it ends or the line breaks; the rest comes with the next look."""
        if self._log.pod != pod.name:
            self._log = _Log(pod.name)
        has_ended = pod.code is not None  # before we began to read
        try:
            self._tell_news(pod.name, has_ended=has_ended)
        except ClusterUnreachable as error:
            log.debug("the log is asked for again", pod=pod.name, reason=error.detail)
            now = time.monotonic()
            self._log.failing_since = self._log.failing_since or now
            if has_ended and now - self._log.failing_since > self._lost:
                self._give_up(pod, error)
        except (AccessDenied, NotFound) as error:
            self._give_up(pod, error)
        else:
            if has_ended:
                self._told.add(pod.name)

    def _tell_news(self, pod: str, *, has_ended: bool) -> None:
        self._log.begin()
        lines = log_lines(self._cluster, pod, container=CONTAINER, follow=True, since=self._log.since, ended=has_ended)
        for line in lines:
            text = self._log.news(line)
            if text is not None:
                self._tell(text)

    def _give_up(self, pod: PodState, error: PgproofError) -> None:
        log.warning("the log cannot be shown", pod=pod.name, reason=error.message, hint=error.hint)
        self._told.add(pod.name)

    def _wait(self, pod: PodState | None, *, suspended: bool) -> None:
        """Tell why nothing runs yet, once for each reason; give up in the end."""
        waited = time.monotonic() - self._waiting_since
        if waited < self._slow:
            return
        name = pod.name if pod else self._job
        reason = warning_of(self._cluster, name) or (pod.waits if pod else "")
        reason = reason or ("the Job is suspended" if suspended else "the cluster says no reason")
        if (name, reason) not in self._reasons:
            log.warning("waiting for the pod to start", pod=pod.name if pod else None, reason=reason)
            self._reasons.add((name, reason))
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
        if job.reason and job.reason not in _OF_PGPROOF:
            log.warning("the cluster ended the job", job=job.name, reason=job.reason)
        if not codes:
            raise JobNotRun(
                f"the cluster ended the job {job.name} without an exit status of pgproof",
                detail=job.reason,
                hint=f"kubectl describe job {job.name} --namespace {self._cluster.namespace} tells more",
            )
        return Ended(job=job.name, code=codes[-1].code or 1, said=codes[-1].said)
