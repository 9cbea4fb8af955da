"""Events on the CronJob of a run, where `kubectl describe cronjob` shows them."""

from __future__ import annotations

import socket
from pathlib import Path
from uuid import uuid4

from kubernetes import client

from backup.domain.events import EventType, RunEvent
from backup.errors import NotificationFailed, PgproofError
from backup.kube.connection import SERVICE_ACCOUNT, of_this_pod, translated

_REASONS: dict[EventType, str] = {
    "backup.succeeded": "BackupSucceeded",
    "backup.failed": "BackupFailed",
    "restore.finished": "RestoreFinished",
    "restore.failed": "RestoreFailed",
}
_LONGEST = 1024
"""Bytes of a message that the API takes."""


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

    def tell(self, event: RunEvent, /, *, within: float) -> None:
        """Create one Event."""
        try:
            cluster = of_this_pod(timeout=max(within / 2, 0.5), folder=self._service_account)
            with translated(f"get the CronJob {self._cronjob} in {cluster.namespace}"):
                job = cluster.batch.read_namespaced_cron_job(
                    self._cronjob, cluster.namespace, _request_timeout=cluster.timeout
                )
            with translated(f"create an Event in {cluster.namespace}"):
                cluster.core.create_namespaced_event(
                    cluster.namespace,
                    _event(event, job, namespace=cluster.namespace),
                    _request_timeout=cluster.timeout,
                )
        except PgproofError as error:
            raise NotificationFailed(f"{self.name}: {error.message}", detail=error.detail, hint=error.hint) from error


def _event(event: RunEvent, job: client.V1CronJob, *, namespace: str) -> client.CoreV1Event:
    name, uid = (job.metadata.name, job.metadata.uid) if job.metadata else (None, None)
    return client.CoreV1Event(
        api_version="v1",
        kind="Event",
        metadata=client.V1ObjectMeta(name=f"{name}.{uuid4().hex[:16]}", namespace=namespace),
        involved_object=client.V1ObjectReference(
            api_version="batch/v1", kind="CronJob", name=name, namespace=namespace, uid=uid
        ),
        type="Warning" if event.failed else "Normal",
        reason=_REASONS[event.type],
        message=event.text.encode()[:_LONGEST].decode(errors="ignore"),
        first_timestamp=event.time,
        last_timestamp=event.time,
        count=1,
        source=client.V1EventSource(component="pgproof", host=socket.gethostname()),
        reporting_component="pgproof",
        reporting_instance=socket.gethostname(),
    )
