"""`kubectl pgproof list`: show the backups of a release."""

from __future__ import annotations

import click

from backup.cli.options import option
from backup.cli.plugin.options import Call, plugin_command
from backup.cli.plugin.running import ask


@plugin_command("list")
@option("--all", "every_target", is_flag=True, envvar="PGPROOF_LIST_ALL", help="Of every target in the store.")
@option(
    "--limit",
    type=click.IntRange(min=0),
    metavar="NUMBER",
    envvar="PGPROOF_LIST_LIMIT",
    help="So many of the newest of each target; 0 for all.",
)
def list_backups(call: Call, *, every_target: bool, limit: int | None) -> None:
    """Show the backups of a release, the newest first, as `pgproof list` says it from inside the cluster."""
    limited = [] if limit is None else ["--limit", str(limit)]
    ask(call, ["list", *["--all"] * every_target, *limited, *["--json"] * call.json])
