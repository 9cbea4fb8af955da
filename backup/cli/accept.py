"""`pgproof accept`: count a suspect backup as a complete one."""

from __future__ import annotations

from functools import partial

import click

from backup.bootstrap import now
from backup.cli.marking import mark_everywhere
from backup.cli.options import Invocation, command, option
from backup.workflow import marking


@command("accept")
@click.argument("backup", metavar="BACKUP")
@option("--reason", envvar="PGPROOF_ACCEPT_REASON", default="", metavar="TEXT", help="Why, for whoever finds it.")
def accept(invocation: Invocation, *, backup: str, reason: str) -> None:
    """Count a suspect backup as a complete one: what is missing in it is meant to be missing.

    The backups after it are measured by it. BACKUP is an id.
    """
    mark_everywhere(invocation, backup, partial(marking.accept, reason=reason, clock=now), done="accepted")
