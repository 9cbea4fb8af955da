"""A release of the chart in a namespace: installed, its Jobs run and waited for, taken away again.

Owns the least values that a release needs, and how the end of a Job is read: status, log, termination message.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.support.kubectl import Cluster, wait_until
from tests.cluster.support.servers import ACCESS_KEY, SECRET_KEY

ROOT = Path(__file__).parents[3]
CHART = ROOT / "helm"

NEVER = "0 0 1 1 *"
"""A schedule that does not fire while a test looks; once a year it might."""

WEBHOOK_SECRET = "whsec_c2VjcmV0LW9mLXRoZS1jbHVzdGVyLXRlc3Rz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a Job ended. `code` and `message` are of the container of its last pod."""

    job: str
    succeeded: bool
    failed_pods: int
    pods: int
    code: int
    log: str
    message: str
    conditions: Mapping[str, str]

    @property
    def backup(self) -> str:
        """The id of the backup that its log names."""
        found = re.findall(r"\b\d{8}T\d{6}Z(?:-[0-9a-z]+)?\b", self.log)
        if not found:
            raise AssertionError(f"no backup in the log of {self.job}:\n{self.log}")
        return str(found[-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A release that is installed."""

    name: str
    cluster: Cluster

    def upgrade(self, values: Mapping[str, Any], *, chart: Path = CHART) -> None:
        """helm upgrade with other values."""
        self.cluster.helm("upgrade", self.name, str(chart), "-f", "-", stdin=yaml.safe_dump(dict(values)))

    def start(self, cronjob: str, job: str) -> str:
        """A Job from a CronJob, as a person makes it; its name."""
        self.cluster.kubectl("create", "job", job, f"--from=cronjob/{cronjob}")
        return job

    def run(self, cronjob: str, job: str, *, limit: float = 120) -> Outcome:
        """The same, waited for."""
        return self.finish(self.start(cronjob, job), limit=limit)

    def finish(self, job: str, *, limit: float = 120) -> Outcome:
        """Wait for the end of a Job."""
        conditions = wait_until(lambda: self._ended(job), f"the end of the job {job}", limit=limit)
        pods = self.pods(job)
        last = pods[-1] if pods else {}
        code, message = _terminated(last)
        return Outcome(
            job=job,
            succeeded="Complete" in conditions,
            failed_pods=int(self.cluster.get("job", job)["status"].get("failed", 0)),
            pods=len(pods),
            code=code,
            log=self.log(last) if last else "",
            message=message,
            conditions=conditions,
        )

    def pods(self, job: str) -> list[dict[str, Any]]:
        """The pods of a Job, the oldest first."""
        found = self.cluster.items("pods", "-l", f"batch.kubernetes.io/job-name={job}")
        return sorted(found, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))

    def log(self, pod: Mapping[str, Any]) -> str:
        """What a pod printed, both streams."""
        return self.cluster.kubectl("logs", pod["metadata"]["name"], "-c", "pgproof", check=False).stdout

    def wait_for_pod(self, job: str, phase: str = "Running", *, limit: float = 60) -> dict[str, Any]:
        """The newest pod of a Job once it is in a phase."""

        def found() -> dict[str, Any] | None:
            pods = self.pods(job)
            return pods[-1] if pods and pods[-1]["status"].get("phase") == phase else None

        pod = wait_until(found, f"a pod of {job} that is {phase}", limit=limit)
        if pod is None:
            raise AssertionError
        return pod

    def request(self, name: str | None = None, **lines: str) -> None:
        """Set the restore request as `kubectl patch configmap` does; `_` stands for `-`. Unnamed keys become empty."""
        config = name or f"{self.name}-restore-request"
        present = self.cluster.get("configmap", config).get("data") or {}
        data = dict.fromkeys(present, "") | {key.replace("_", "-"): value for key, value in lines.items()}
        self.cluster.kubectl("patch", "configmap", config, "--type=merge", "-p", json.dumps({"data": data}))

    def _ended(self, job: str) -> dict[str, str]:
        status = self.cluster.get("job", job)["status"]
        conditions = {each["type"]: each.get("reason", "") for each in status.get("conditions", ())}
        return conditions if conditions.keys() & {"Complete", "Failed"} else {}


def _terminated(pod: Mapping[str, Any]) -> tuple[int, str]:
    for status in pod.get("status", {}).get("containerStatuses", ()):
        ended = status["state"].get("terminated")
        if status["name"] == "pgproof" and ended:
            return int(ended["exitCode"]), str(ended.get("message", ""))
    return -1, ""


def values_of(name: str, image: str, store_url: str, /, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - YAML
    """The values of a release whose Secrets are those of `secrets_of`."""
    repository, _, tag = image.rpartition(":")
    base: dict[str, Any] = {
        "image": {"repository": repository, "tag": tag, "pullPolicy": "IfNotPresent"},
        "database": {"existingSecret": f"{name}-database"},
        "store": {
            "url": store_url,
            "endpoint": "http://s3:8333",
            "region": "us-east-1",
            "existingSecret": f"{name}-store",
        },
        "webhook": {"existingSecret": f"{name}-webhook"},
        "schedule": NEVER,
    }
    return _merged(base, more)


def secrets_of(name: str, database: str, **others: str) -> list[dict[str, Any]]:
    """The Secrets of a release: the database's address (and others by key), the store's keys, the webhook."""
    contents = {
        "database": {"url": database, **others},
        "store": {"access-key": ACCESS_KEY, "secret-key": SECRET_KEY},
        "webhook": {"url": f"http://witness:8080/hooks/{name}", "secret": WEBHOOK_SECRET},
    }
    return [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"{name}-{kind}"}, "stringData": data}
        for kind, data in contents.items()
    ]


def _merged(base: dict[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in more.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged
