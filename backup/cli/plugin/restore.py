"""`kubectl pgproof restore`: restore a backup, in the cluster."""

from __future__ import annotations

from typing import Any

import click

from backup.cli.commands import load
from backup.cli.plugin.options import Call, plugin_command
from backup.cli.plugin.running import detach as detach_option
from backup.cli.plugin.running import run_job
from backup.cli.plugin.running import start_within as start_within_option

_ELSEWHERE = {"request", "document", "target_url", "target_url_file"}
"""Options of `pgproof restore` that name files of the pod, or a secret: the chart's business."""


def _shared_options() -> list[click.Option]:
    """Those of `pgproof restore` that are no settings: they are handed to it as they were given."""
    options = [each for each in load("restore").params if isinstance(each, click.Option) and each.expose_value]
    return [each for each in options if each.name not in {*_ELSEWHERE, "config", "json"}]


def _arguments(said: dict[str, Any]) -> list[str]:
    """The options as they are written."""
    words: list[str] = []
    for each in _shared_options():
        value = said[each.name or ""]
        if each.is_flag:
            words += [each.opts[0]] * bool(value)
        else:
            for one in value if each.multiple else filter(None, [value]):
                words += [each.opts[0], str(one)]
    return words


@plugin_command("restore")
@click.argument("backup", metavar="BACKUP")
@detach_option
@start_within_option
def restore(call: Call, /, *, backup: str, detach: bool, start_within: int, **said: Any) -> None:  # noqa: ANN401 -- click's
    """Restore a backup, by default into a new database: nothing that is there is touched.

    BACKUP is an id, `latest`, or a time: the newest backup at or before it. The restore is a Job of the release; its
    log is shown, and its exit code is that of this command.
    """
    run_job(call, "restore", ["restore", backup, *_arguments(said)], detach=detach, start_within=start_within)


restore.params[1:1] = _shared_options()
