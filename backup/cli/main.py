"""The way in and the way out of the command line: signals, exit codes, and how a failure is told.

Owns the mapping of everything that can be raised to the published exit codes. Imports no command by itself.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path

import click

from backup import __version__
from backup.cli.commands import Commands
from backup.cli.failures import as_told, lines
from backup.cli.output import OutputClosed, abandon_stdout, print_json, write
from backup.cli.termination import leave
from backup.errors import Interrupted, PgproofError
from backup.failures import Bug, describe
from backup.logs import hide, redact
from backup.signals import interruptible, undisturbed

_BUG = 1
_SECRET_VARIABLES = ("PGPASSWORD", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_TRUE = {"1", "true", "yes", "on", "t", "y"}


def _show_version(ctx: click.Context, _parameter: click.Parameter, value: object) -> None:
    if value:
        write(f"pgproof {__version__}\n")
        ctx.exit()


VERSION = click.Option(
    ["--version"],
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 120}

pgproof = Commands(
    "pgproof",
    help="PostgreSQL backups that prove they restore. Start with: pgproof doctor",
    context_settings=CONTEXT,
    params=[VERSION],
    epilog="Settings come from flags, PGPROOF_* variables and a YAML file: pgproof config --reference",
)


def main(program: click.Group = pgproof) -> None:
    """Run the command that the process was started for, and end the process with its status."""
    sys.exit(run(sys.argv[1:], os.environ, program=program, last=True))


def run(argv: Sequence[str], environ: Mapping[str, str], *, program: click.Group = pgproof, last: bool = False) -> int:
    """Run a command and return the exit status; whatever goes wrong has been told.

    Args:
        argv: of the process, without its name.
        environ: of the process.
        program: whose commands there are.
        last: the process ends behind it.
    """
    _open_streams()
    json = wants_json(argv, environ)
    status = _BUG
    hide(environ[name] for name in _SECRET_VARIABLES if environ.get(name))
    told = False
    failure: Exception | None = None
    try:
        with interruptible(last=last):
            try:
                status = _invoke(program, argv)
                told = True
            except OutputClosed:
                status, told = 128 + signal.SIGPIPE, True
            except Exception as error:  # noqa: BLE001 -- the last net: what nobody thought of is told as a bug
                failure = error
                with suppress(Interrupted), undisturbed():
                    status = _tell_any(error, json=json)
                    told = True
    except Interrupted as late:  # between two steps above; once the outcome is told it has nothing to stop
        failure = failure or late
    if failure and not told:
        status = _tell_any(failure, json=json)
    return status


def _open_streams() -> None:
    """Make both streams ones that can be written to: there even if they are closed, and for every character."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 -- open until the end
        elif isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def wants_json(argv: Sequence[str], environ: Mapping[str, str]) -> bool:
    """Whether results and errors are JSON, known before the command line is understood."""
    options = argv[: argv.index("--")] if "--" in argv else argv
    return "--json" in options or environ.get("PGPROOF_JSON", "").strip().lower() in _TRUE


def tell(error: PgproofError, *, json: bool) -> int:
    """Print a failure on stderr, and as JSON on stdout where that is wanted; return its exit status."""
    text = "\n".join(lines(error))
    print(text, file=sys.stderr)  # noqa: T201 -- this module tells what went wrong
    leave(text)
    if json:
        with suppress(OutputClosed):
            print_json({**error.result, "error": describe(error)})
    return error.status


def _invoke(program: click.Group, argv: Sequence[str]) -> int:
    """Not click's own `main`: that one turns a broken pipe anywhere inside into a silent end."""
    try:
        with program.make_context(program.name, list(argv) or ["--help"]) as context:
            program.invoke(context)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except BrokenPipeError:
        if not _stdout_is_closed():
            raise
        raise OutputClosed from None
    return 0


def _stdout_is_closed() -> bool:
    """Whether what could not be written was our result; the pipe of some child is another matter."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    closed = any(what & (select.POLLERR | select.POLLHUP) for _, what in poll.poll(0))
    if closed:
        abandon_stdout()
    return closed


def _tell_any(error: Exception, *, json: bool) -> int:
    told = as_told(error)
    if isinstance(told, Bug):
        print(redact("".join(traceback.format_exception(error))), file=sys.stderr, end="")  # noqa: T201 -- as above
    return tell(told, json=json)
