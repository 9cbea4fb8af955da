"""`pgproof hold`: keep a backup whatever retention says."""

from __future__ import annotations

from functools import partial

import click

from backup.bootstrap import now
from backup.cli.marking import mark_everywhere
from backup.cli.options import Invocation, command, option
from backup.workflow import marking


@command("hold")
@click.argument("backup", metavar="BACKUP")
@option("--reason", envvar="PGPROOF_HOLD_REASON", default="", metavar="TEXT", help="Why, for whoever finds it.")
def hold(invocation: Invocation, *, backup: str, reason: str) -> None:
    """Keep a backup whatever retention says, in every store that has it.

    BACKUP is an id, `latest`, `latest-proven`, or a time: the newest backup at or before it.
    """
    mark_everywhere(invocation, backup, partial(marking.hold, reason=reason, clock=now), done="held")
