"""`kubectl pgproof run`: run any command of pgproof in the cluster."""

from __future__ import annotations

import click

from backup.cli.plugin.options import Call, plugin_command
from backup.cli.plugin.running import ask


@plugin_command("run")
@click.argument("command", nargs=-1, required=True, metavar="-- COMMAND...")
def run(call: Call, *, command: tuple[str, ...]) -> None:
    """Run any command of pgproof from inside the cluster, such as `run -- accept 20261122T080000Z`.

    It runs with the store and the database of a release, and prints what it says; the Job for that is deleted again.
    """
    ask(call, [*command, *["--json"] * call.json])
