"""Runs as Jobs of a release of the chart: made from its CronJobs, as `kubectl pgproof` makes them.

Owns no state: the cluster has the Jobs. The log of one is followed by a thread while somebody reads it.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections import OrderedDict
from collections.abc import Sequence

from backup.api.runs import KINDS, Busy, KeyReused, Log, Order, Run, address_of
from backup.errors import NotFound, PgproofError, RequestRefused
from backup.kube.connection import Cluster
from backup.kube.following import Follower
from backup.kube.jobs import CONTAINER, JobState, PodState, job_state, jobs_of, make_job, new_name, pods_of
from backup.kube.objects import Object, get
from backup.kube.releases import RELEASE, Template, choose, templates_of
from backup.logs import log, redact

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,250}[a-z0-9])?")
_MOST_FOLLOWED = 50
"""Logs that are kept."""
_START_WITHIN = 600.0
"""Seconds in which a pod must have started for its log to be followed."""


class Jobs:
    """Runs that are Jobs.

    Args:
        cluster: where the release is.
        release: its name.
        own: the target of a release whose CronJobs do not name any, as far as that is known.
    """

    def __init__(self, cluster: Cluster, release: str, *, own: str | None = None) -> None:
        self._cluster = cluster
        self._release = release
        self._own = own
        self._logs: OrderedDict[str, Log] = OrderedDict()
        self._lock = threading.Lock()

    def start(self, order: Order) -> Run:
        """See Runner; the key names the Job, so that it is known again by whichever replica is asked."""
        templates = templates_of(self._cluster, self._release)
        template = choose(templates, order.kind, order.database, target=order.target, own=self._own)
        args = _args(template, order)
        name = _name_of(template, order.key) if order.key else new_name(template)
        with self._lock:
            if order.key and (before := self._existing(name, args)):
                return before
            busy = next((each for each in jobs_of(self._cluster, self._release) if _is_beside(each, template)), None)
            if busy:
                raise Busy(f"a {order.kind} of {template.database} is under way already", run=busy.name)
            try:
                make_job(self._cluster, template, name, args)
            except RequestRefused:
                if order.key and (before := self._existing(name, args)):  # by another replica, a moment ago
                    return before
                raise
        log.info("a job was made", job=name, kind=order.kind, by=order.by)
        return self.find(name)

    def find(self, run: str) -> Run:
        """See Runner."""
        state = job_state(self._job(run))
        return _run(state, pods_of(self._cluster, run))

    def log_of(self, run: str) -> Log:
        """See Runner."""
        self._job(run)
        with self._lock:
            found = self._logs.get(run)
            if found is None:
                found = self._logs[run] = Log()
                threading.Thread(target=self._follow, args=(run, found), name=f"log of {run}", daemon=True).start()
            while len(self._logs) > _MOST_FOLLOWED:
                self._logs.popitem(last=False)
        return found

    def all(self) -> Sequence[Run]:
        """See Runner; of those that are not asked for one by one no pod is looked at."""
        found = jobs_of(self._cluster, self._release)
        return [_run(each, []) for each in found if each.component in KINDS]

    def stop(self) -> None:
        """Nothing ends: Jobs go on without us."""

    def _job(self, run: str) -> Object:
        """A Job of this release. Raises NotFound."""
        missing = NotFound(f"no run {run} of the release {self._release}")
        if not _NAME.fullmatch(run):
            raise missing
        job = get(self._cluster, "jobs", run)
        if job["metadata"].get("labels", {}).get(RELEASE) != self._release:
            raise missing
        return job

    def _existing(self, name: str, args: Sequence[str]) -> Run | None:
        """The Job that the same key has made before. Raises KeyReused where that was another order."""
        try:
            job = self._job(name)
        except NotFound:
            return None
        if _args_of(job["spec"]["template"]) != list(args):
            raise KeyReused("this Idempotency-Key came with another order before", hint="use a new key for it")
        return _run(job_state(job), pods_of(self._cluster, name))

    def _follow(self, run: str, lines: Log) -> None:
        try:
            Follower(self._cluster, run, lambda line: lines.add(redact(line)), start_within=_START_WITHIN).follow()
        except PgproofError as error:
            lines.add(redact(f"the log cannot be followed: {error.message}"))
            with self._lock:  # so that it is tried again when somebody asks again
                self._logs.pop(run, None)
        finally:
            lines.close()


def _args(template: Template, order: Order) -> list[str]:
    """Of pgproof in the Job; a backup and a sync are as the release has them, with what was asked for behind that."""
    own = _args_of(template.cronjob["spec"]["jobTemplate"]["spec"]["template"])
    return [*own, *order.words] if order.kind in {"backup", "sync"} else [order.kind, *order.words]


def _args_of(pod: Object) -> list[str]:
    (container,) = (each for each in pod["spec"]["containers"] if each["name"] == CONTAINER)
    return [str(each) for each in container.get("args", ())]


def _name_of(template: Template, key: str) -> str:
    return f"{template.name}-{hashlib.sha256(key.encode()).hexdigest()[:10]}"


def _is_beside(job: JobState, template: Template) -> bool:
    same = (job.component, job.database) == (template.component, template.database)
    return same and job.condition is None and not job.suspended


def _run(job: JobState, pods: Sequence[PodState]) -> Run:
    ended = [pod for pod in pods if pod.code is not None]
    last = ended[-1] if ended and job.condition else None
    code = last.code if last else None
    return Run(
        id=job.name,
        kind=job.component,
        state={"Complete": "succeeded", "Failed": "failed"}.get(job.condition or "", "running"),
        started=job.started or job.created,
        ended=job.ended,
        exit_code=code,
        outcome=redact(last.said) or None if last else job.reason,
        url=address_of(job.name),
        log=f"{address_of(job.name)}/log",
    )
