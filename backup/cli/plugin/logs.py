"""`kubectl pgproof logs`: show what a Job has printed."""

from __future__ import annotations

from collections.abc import Iterator

import click

from backup.cli.options import option
from backup.cli.output import write
from backup.cli.plugin.options import Call, plugin_command
from backup.cli.plugin.running import follow_job, to_stderr
from backup.cli.plugin.running import start_within as start_within_option
from backup.errors import NotFound
from backup.kube.connection import Cluster
from backup.kube.jobs import CONTAINER, jobs_of, pods_of
from backup.kube.objects import log_lines


@plugin_command("logs")
@click.argument("job", metavar="JOB", required=False)
@option("-f", "--follow", is_flag=True, envvar="PGPROOF_KUBE_FOLLOW", help="Until its end, and with its exit code.")
@start_within_option
def logs(call: Call, *, job: str | None, follow: bool, start_within: int) -> None:
    """Show what a Job of the release has printed; without JOB, the newest one."""
    release = call.chosen()[0].release
    names = [each.name for each in jobs_of(call.cluster, release) if call.database in {None, each.database}]
    wanted = job.removeprefix("job/") if job else next(iter(names), None)
    if wanted not in names or wanted is None:
        raise NotFound(
            f"the release {release} has no job {wanted or 'at all'}",
            hint=f"there is {', '.join(names)}" if names else "kubectl pgproof backup makes one",
        )
    if follow:
        # With --json, stdout is for the outcome alone.
        follow_job(call, wanted, start_within=start_within, tell=to_stderr if call.json else _print)
        return
    lines = _lines(call.cluster, wanted)
    if call.json:
        call.emit({"job": wanted, "namespace": call.cluster.namespace, "lines": list(lines)}, "")
        return
    for line in lines:
        _print(line)


def _lines(cluster: Cluster, job: str) -> Iterator[str]:
    """What its pods have printed so far, the oldest first."""
    for pod in pods_of(cluster, job):
        if pod.has_a_log:
            for line in log_lines(cluster, pod.name, container=CONTAINER, follow=False):
                yield line.partition(" ")[2]


def _print(line: str) -> None:
    write(line + "\n")
