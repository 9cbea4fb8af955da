"""`kubectl pgproof backup`: back up the database now, in the cluster."""

from __future__ import annotations

from backup.cli.plugin.options import Call, plugin_command
from backup.cli.plugin.running import detach as detach_option
from backup.cli.plugin.running import run_job
from backup.cli.plugin.running import start_within as start_within_option


@plugin_command("backup")
@detach_option
@start_within_option
def backup(call: Call, *, detach: bool, start_within: int) -> None:
    """Back up the database now: a Job of the release's CronJob.

    Its log is shown, and its exit code is that of this command.
    """
    run_job(call, "backup", None, detach=detach, start_within=start_within)
