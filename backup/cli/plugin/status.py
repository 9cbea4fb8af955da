"""`kubectl pgproof status`: show schedules and the last Jobs of a release."""

from __future__ import annotations

from datetime import datetime

from backup.cli.output import Table
from backup.cli.plugin.options import Call, plugin_command
from backup.kube.jobs import JobState, PodState, jobs_of, pods_of_release
from backup.kube.releases import Template

_NOTHING = PodState(name="", phase="", code=None, said="", waits="")


@plugin_command("status")
def status(call: Call) -> None:
    """Show the schedules of a release, and how its last Jobs ended."""
    templates = call.chosen()
    release = templates[0].release
    pods = pods_of_release(call.cluster, release)
    backups = [each for each in templates if each.component == "backup"]
    found = [job for job in jobs_of(call.cluster, release) if call.database in {None, job.database}]
    jobs = [(job, pods.get(job.name, _NOTHING)) for job in found]
    call.emit(
        {
            "release": release,
            "namespace": call.cluster.namespace,
            "schedules": [_schedule(each) for each in backups],
            "jobs": [_job(job, pod) for job, pod in jobs],
        },
        _view(release, call.cluster.namespace, backups, jobs),
    )


def _schedule(template: Template) -> dict[str, object]:
    spec, status = template.cronjob["spec"], template.cronjob.get("status", {})
    return {
        "cronjob": template.name,
        "database": template.database,
        "schedule": spec["schedule"],
        "time_zone": spec.get("timeZone"),
        "suspended": bool(spec.get("suspend")),
        "last_scheduled": _moment(status.get("lastScheduleTime")),
        "last_successful": _moment(status.get("lastSuccessfulTime")),
    }


def _job(job: JobState, pod: PodState) -> dict[str, object]:
    return {
        "job": job.name,
        "component": job.component,
        "started": job.started,
        "ended": job.ended,
        "condition": job.condition or "Running",
        "exit_code": 0 if job.condition == "Complete" else pod.code,
        "outcome": pod.said or pod.waits or job.reason or "",
    }


def _view(
    release: str, namespace: str, backups: list[Template], jobs: list[tuple[JobState, PodState]]
) -> list[str | Table]:
    schedules = [
        (
            each["cronjob"],
            "suspended" if each["suspended"] else f"{each['schedule']} {each['time_zone'] or ''}".rstrip(),
            each["last_scheduled"] or "never",
            each["last_successful"] or "never",
        )
        for each in map(_schedule, backups)
    ]
    shown: list[str | Table] = [
        f"{release} in {namespace}",
        Table(columns=("cronjob", "schedule", "last scheduled", "last good"), rows=schedules),
    ]
    rows = [
        (
            job.name,
            job.started,
            job.ended - job.started if job.ended and job.started else None,
            _ending(job, pod),
            str(_job(job, pod)["outcome"]).partition("\n")[0],
        )
        for job, pod in jobs
    ]
    last = Table(columns=("job", "started", "took", "ended", "outcome"), rows=rows, right={"took"})
    return [*shown, last] if rows else [*shown, "no Job yet: kubectl pgproof backup makes one"]


def _ending(job: JobState, pod: PodState) -> str:
    if job.condition == "Complete":
        return "good"
    if job.condition == "Failed":
        return f"exit code {pod.code}" if pod.code else "failed"
    return "running" if pod.phase == "Running" else "waiting"


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
