"""Events on the CronJob of a run, where `kubectl describe cronjob` shows them."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from uuid import uuid4

from kubernetes import client

from backup.domain.events import EventType, RunEvent
from backup.errors import AccessDenied, ClusterUnreachable, NotFound, NotificationFailed, PgproofError
from backup.kube.connection import SERVICE_ACCOUNT, of_this_pod, translated

_REASONS: dict[EventType, str] = {
    "backup.succeeded": "BackupSucceeded",
    "backup.incomplete": "BackupIncomplete",
    "backup.suspect": "BackupSuspect",
    "backup.degraded": "BackupDegraded",
    "backup.failed": "BackupFailed",
    "backup.missed": "BackupMissed",
    "prune.failed": "PruneFailed",
    "restore.finished": "RestoreFinished",
    "restore.failed": "RestoreFailed",
    "drill.proven": "DrillProven",
    "drill.failed": "DrillFailed",
    "sync.succeeded": "SyncSucceeded",
    "sync.failed": "SyncFailed",
}
_LONGEST = 1024
"""Bytes of a message that the API takes."""
_LEAST = 0.1
"""Seconds that a request has in any case (a guess)."""
_HINTS: dict[type[PgproofError], str] = {
    AccessDenied: "the chart's events.enabled gives the pod a token and the rights that this takes",
    NotFound: "PGPROOF_KUBERNETES_CRONJOB names it; the chart sets that",
    ClusterUnreachable: "the pod must reach the API server, through every NetworkPolicy; the chart's own lets it",
}
"""For a pod; what is said to a person with kubectl does not help it."""


class CronJobEvents:
    """Tells runs as Events on one CronJob in the pod's own namespace.

    Needs the rights to get that CronJob and to create Events.

    Args:
        cronjob: its name.
        service_account: the folder that Kubernetes mounts into the pod.
    """

    def __init__(self, cronjob: str, *, service_account: Path = SERVICE_ACCOUNT) -> None:
        self._cronjob = cronjob
        self._service_account = service_account

    @property
    def name(self) -> str:
        """Which CronJob."""
        return f"Events on the CronJob {self._cronjob}"

    @property
    def key(self) -> str:
        """None: the cluster knows when it was told."""
        return ""

    def wants(self, event: EventType, /) -> bool:
        """How runs end."""
        return event in _REASONS

    def tell(self, event: RunEvent, /, *, within: float) -> None:
        """Create one Event."""
        end = time.monotonic() + within
        try:
            cluster = of_this_pod(timeout=within, folder=self._service_account)
            with translated(f"get the CronJob {self._cronjob} in {cluster.namespace}"):
                job = cluster.batch.read_namespaced_cron_job(
                    self._cronjob, cluster.namespace, _request_timeout=_limits(end)
                )
            body = _event(event, job, namespace=cluster.namespace)
            with translated(f"create an Event in {cluster.namespace}"):
                cluster.core.create_namespaced_event(cluster.namespace, body, _request_timeout=_limits(end))
        except PgproofError as error:
            hint = _HINTS.get(type(error), error.hint)
            raise NotificationFailed(f"{self.name}: {error.message}", detail=error.detail, hint=hint) from error
        except (AttributeError, TypeError, ValueError) as error:  # of the client, which expects what was promised
            raise NotificationFailed(
                f"{self.name}: what answers is no Kubernetes API", detail=str(error), hint=_HINTS[ClusterUnreachable]
            ) from error


def _limits(end: float) -> tuple[float, float]:
    """Seconds to connect, which counts twice with TLS, and to read, so that all of it is over at `end`.

    Always a pair: of a number that is no integer the client takes no notice, and waits for ever.
    """
    third = max(end - time.monotonic(), _LEAST) / 3
    return third, third


def _event(event: RunEvent, job: client.V1CronJob, *, namespace: str) -> client.CoreV1Event:
    name, uid = job.metadata.name, job.metadata.uid
    if not (name and uid):
        raise ValueError("it gave a CronJob without name and uid")
    return client.CoreV1Event(
        api_version="v1",
        kind="Event",
        metadata=client.V1ObjectMeta(name=f"{name}.{uuid4().hex[:16]}", namespace=namespace),
        involved_object=client.V1ObjectReference(
            api_version="batch/v1", kind="CronJob", name=name, namespace=namespace, uid=uid
        ),
        type="Warning" if event.failed else "Normal",
        reason=_REASONS[event.type],
        message=event.text.encode(errors="replace")[:_LONGEST].decode(errors="ignore"),
        first_timestamp=event.time,
        last_timestamp=event.time,
        count=1,
        source=client.V1EventSource(component="pgproof", host=socket.gethostname()),
        reporting_component="pgproof",
        reporting_instance=socket.gethostname(),
    )
