"""`kubectl pgproof list`: show the backups of a release."""

from __future__ import annotations

from backup.cli.options import option
from backup.cli.plugin.options import Call, plugin_command
from backup.cli.plugin.running import ask


@plugin_command("list")
@option("--all", "every_target", is_flag=True, envvar="PGPROOF_LIST_ALL", help="Of every target in the store.")
def list_backups(call: Call, *, every_target: bool) -> None:
    """Show the backups of a release, the newest first, as `pgproof list` says it from inside the cluster."""
    ask(call, ["list", *["--all"] * every_target, *["--json"] * call.json])
