"""`pgproof release`: let retention have a backup that was held."""

from __future__ import annotations

import click

from backup.cli.marking import mark_everywhere
from backup.cli.options import Invocation, command
from backup.workflow import marking


@command("release")
@click.argument("backup", metavar="BACKUP")
def release(invocation: Invocation, *, backup: str) -> None:
    """Let retention have a backup that was held, in every store that has it.

    BACKUP is an id, `latest`, `latest-proven`, or a time: the newest backup at or before it.
    """
    mark_everywhere(invocation, backup, marking.release, done="released")
