"""`pgproof demo`: back up and restore real data, on servers of its own.

Owns how the story looks; what happens in it is `backup.demo.story`. The user's settings have no part in it.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from signal import SIGINT
from typing import Self

import click

from backup import logs
from backup.bootstrap import now
from backup.cli.backup import told as told_backup
from backup.cli.commands import short_help
from backup.cli.drills import took
from backup.cli.list import backups_table
from backup.cli.options import option
from backup.cli.output import Fields, Table, View, painted, print_json, show, write
from backup.cli.prune import prune_figures, prune_views
from backup.cli.restore import told_restore
from backup.cli.sync import sync_view
from backup.demo.second import Synced, Written
from backup.demo.story import (
    CLEAN_UP,
    Compared,
    Done,
    Heard,
    Loaded,
    Lost,
    Planned,
    Restored,
    Result,
    Servers,
    Step,
    tell_story,
)
from backup.demo.surroundings import kept_apart
from backup.domain.drill import Drill
from backup.domain.manifest import Manifest
from backup.domain.sizes import show_seconds, show_size
from backup.errors import Interrupted, UsageError
from backup.workflow.listing import Listing, summary


@click.command("demo", short_help=short_help("demo"))
@option("--keep", is_flag=True, envvar="PGPROOF_DEMO_KEEP", help="Leave the servers up until Enter or Ctrl-C.")
@option("--json", "as_json", is_flag=True, envvar="PGPROOF_JSON", help="Results and errors on stdout as JSON.")
@option(
    "--log-format",
    type=click.Choice(("text", "json")),
    default="text",
    envvar="PGPROOF_LOG_FORMAT",
    help="How events on stderr look.",
)
@option("-v", "--verbose", is_flag=True, envvar="PGPROOF_VERBOSE", help="Tell every step.")
def demo(*, keep: bool, as_json: bool, log_format: logs.Format, verbose: bool) -> None:
    """Back up, restore and prove real data, on servers of its own.

    Starts a PostgreSQL server and an S3 server, loads 336,776 flights, backs them up into a bucket and a folder, writes
    some tables as JSON and all into a second database, loses the flights, restores them into a new database, compares
    every table, proves the backup by a drill, and shows what would be deleted. Nothing outside temporary folders is
    touched, and nothing is left.
    """
    if keep and as_json:
        raise UsageError("--keep and --json exclude each other")
    logs.setup(format=log_format, verbose=verbose, quiet=True)
    with kept_apart(), closing(tell_story()) as story:
        if as_json:
            _print_json(story)
        else:
            _narrate(story, keep=keep)


def _print_json(story: Iterator[Step | Done[Result]]) -> None:
    done = [event for event in story if isinstance(event, Done)]
    steps = [
        {
            "name": each.step.name,
            "title": each.step.title,
            "command": each.step.command,
            "seconds": round(each.seconds, 3),
            "result": _described(each.result),
        }
        for each in done
    ]
    print_json({"steps": steps, "seconds": round(sum(each.seconds for each in done), 3)})


def _narrate(story: Iterator[Step | Done[Result]], *, keep: bool) -> None:
    """Show each step as a shell would: what one types, then what comes of it, and how long it took."""
    environment: Mapping[str, str] = {}
    rows = 0
    drilled = ""
    seconds = 0.0
    with _Spinner() as spinner:
        for event in story:
            if isinstance(event, Step):
                if event == CLEAN_UP and keep:
                    _wait(environment)
                write(_heading(event))
                spinner.turn(f"{event.title} …" if event.command else "…")
                continue
            spinner.rest()
            _show(event)
            seconds += event.seconds
            if isinstance(event.result, Servers):
                environment = event.result.environment
            elif isinstance(event.result, Compared):
                rows = event.result.rows
            elif isinstance(event.result, Drill):
                drilled = took(event.result)
    told = f"All {rows:,} rows came back, and the backup is proven{drilled}. The whole story took"
    write(painted(f"{told} {show_seconds(seconds)}.\n", "green"))


def _heading(step: Step) -> str:
    line = painted(f"$ {step.command}", "cyan") if step.command else painted(f"# {step.title}", "bright_black")
    return f"{line}\n"


def _show(done: Done[Result]) -> None:
    view = _view(done.result)
    if view:
        show(view)
    write(f"{painted('✓', 'green')} {show_seconds(done.seconds)}\n\n")


def _view(result: Result) -> View:
    """What came of a step, as the command itself would show it where there is one."""
    match result:
        case Loaded():
            return Table(columns=("table", "rows"), rows=[_figures(row) for row in result.rows.items()], right={"rows"})
        case Listing():
            return backups_table([result], now())
        case Planned():
            return list(prune_views(result.prunings))
        case Written() | Synced():
            return _rows_view(result)
        case Compared():
            rows = [_figures((each.table, each.backed_up, each.left, each.restored)) for each in result.tables]
            figures = ("backed up", "left", "restored")
            return Table(columns=("table", *figures), rows=rows, right=set(figures))
    return _line(result)


def _rows_view(result: Written | Synced) -> View:
    """Rows that went elsewhere."""
    if isinstance(result, Synced):
        return sync_view(result.tables, result.moment)
    file = Fields(values={"file": result.file, "size": show_size(result.bytes), "as of": result.moment})
    rows = [_figures(row) for row in result.stats.items()]
    return [file, Table(columns=("table", "rows"), rows=rows, right={"rows"})]


def _line(result: Result) -> str:
    """The same of a step of which there is little to say."""
    line = ""
    match result:
        case Servers():
            line = f"PostgreSQL {result.postgres}, SeaweedFS at {result.s3}, and the folder {result.folder}"
        case Manifest():
            line = told_backup(result)
        case Heard():
            line = "\n".join(f"{each['type']}: {each['data']['text']} (signature good)" for each in result.messages)
        case Lost():
            line = f"gone: {', '.join(result.relations)}"
        case Restored():
            line = told_restore(result.backup, result.report)
        case Drill():
            line = f"{result.backup}  {result.text}{took(result)}"
    return line


def _figures(row: Sequence[str | int | None]) -> list[str]:
    """Numbers with thousands apart; what is not there, as a dash."""
    return ["-" if each is None else f"{each:,}" if isinstance(each, int) else each for each in row]


def _described(result: Result) -> object:
    """What came of a step, for programs."""
    match result:
        case Manifest():
            return summary(result)
        case Listing():
            return [summary(each) for each in result.backups]
        case Servers():
            return {"postgres": result.postgres, "s3": result.s3, "folder": result.folder}
        case Planned():
            return [prune_figures(each) for each in result.prunings]
        case Restored():
            return result.report
        case _:
            return result


def _wait(environment: Mapping[str, str]) -> None:
    """Leave the servers up, and say how to reach them."""
    write(painted("# Try it yourself in another shell; the servers end with Enter or Ctrl-C here\n", "bright_black"))
    write("".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items()) + "\n")
    try:
        sys.stdin.readline()
    except Interrupted as stopped:
        if stopped.signum != SIGINT:
            raise


class _Spinner:
    """Says on a terminal that something is under way; elsewhere it says nothing."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.rest()

    def turn(self, text: str) -> None:
        """Begin to turn."""
        if not sys.stderr.isatty():
            return
        from rich.console import Console  # noqa: PLC0415 -- heavy, and only a terminal needs it

        self._stack.enter_context(Console(stderr=True).status(text, spinner_style="cyan"))

    def rest(self) -> None:
        """Stop, and leave no trace."""
        self._stack.close()
