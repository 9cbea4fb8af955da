"""`kubectl pgproof logs`: show what a Job has printed."""

from __future__ import annotations

import click

from backup.cli.options import option
from backup.cli.output import write
from backup.cli.plugin.options import Call, plugin_command
from backup.cli.plugin.running import follow_job
from backup.cli.plugin.running import start_within as start_within_option
from backup.errors import NotFound
from backup.kube.jobs import CONTAINER, jobs_of, pods_of
from backup.kube.objects import log_lines


@plugin_command("logs")
@click.argument("job", metavar="JOB", required=False)
@option("-f", "--follow", is_flag=True, envvar="PGPROOF_KUBE_FOLLOW", help="Until its end, and with its exit code.")
@start_within_option
def logs(call: Call, *, job: str | None, follow: bool, start_within: int) -> None:
    """Show what a Job of the release has printed; without JOB, the newest one."""
    release = call.templates()[0].release
    names = [each.name for each in jobs_of(call.cluster, release)]
    wanted = job.removeprefix("job/") if job else next(iter(names), None)
    if wanted not in names or wanted is None:
        raise NotFound(
            f"the release {release} has no job {wanted or 'at all'}",
            hint=f"there is {', '.join(names)}" if names else "kubectl pgproof backup makes one",
        )
    if follow:
        follow_job(call, wanted, start_within=start_within, tell=_print)
        return
    for pod in pods_of(call.cluster, wanted):
        if pod.has_a_log:
            for line in log_lines(call.cluster, pod.name, container=CONTAINER, follow=False):
                _print(line.partition(" ")[2])


def _print(line: str) -> None:
    write(line + "\n")
