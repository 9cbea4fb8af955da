"""`kubectl pgproof drill`: prove a backup, in the cluster."""

from __future__ import annotations

import click

from backup.cli.options import option
from backup.cli.plugin.options import Call, plugin_command
from backup.cli.plugin.running import detach as detach_option
from backup.cli.plugin.running import run_job
from backup.cli.plugin.running import start_within as start_within_option


@plugin_command("drill")
@click.argument("backup", metavar="BACKUP", default="latest")
@option(
    "--sample",
    type=click.IntRange(min=1, max=100),
    metavar="NUMBER",
    envvar="PGPROOF_DRILL_SAMPLE",
    help="Percent of the tables whose rows are restored; else what the release says.",
)
@detach_option
@start_within_option
def drill(call: Call, *, backup: str, sample: int | None, detach: bool, start_within: int) -> None:
    """Prove a backup: restore it into a throwaway server in the cluster, and compare it with what its snapshot held.

    BACKUP is an id, `latest` (the default), `latest-proven`, or a time. The drill is a Job of the release; its log is
    shown, and its exit code is that of this command: 0 means proven.
    """
    args = ["drill", backup, *(["--sample", str(sample)] if sample else [])]
    run_job(call, "drill", args, detach=detach, start_within=start_within)
