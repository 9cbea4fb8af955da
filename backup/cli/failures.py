"""How a failure is told to people, in lines. Whatever was raised is told the same way; for programs see `failures`."""

from __future__ import annotations

import click

from backup import __version__
from backup.errors import PgproofError, UsageError
from backup.failures import Bug
from backup.logs import redact


def as_told(error: Exception) -> PgproofError:
    """Any exception as one of ours: of the command line, or else a bug."""
    if isinstance(error, PgproofError):
        return error
    if isinstance(error, click.ClickException):
        return _usage(error)
    if isinstance(error, click.Abort):
        return UsageError("there was no answer")
    return Bug(
        f"this is a bug of pgproof {__version__}: {type(error).__name__}: {error}",
        hint="please report it, with the lines above",
    )


def lines(error: PgproofError) -> list[str]:
    """A failure for people, without secrets: what, what the tool said, what to do."""
    found = [f"pgproof: error: {error.message}"]
    found += [f"  {line}" for line in (error.detail or "").splitlines()]
    if error.hint:
        first, *more = error.hint.splitlines()
        found += [f"hint: {first}", *(f"  {line}" for line in more)]
    return redact("\n".join(found)).splitlines()


def _usage(error: click.ClickException) -> UsageError:
    """What click found wrong with the command line, in our words."""
    message = error.format_message().rstrip(".")
    context = error.ctx if isinstance(error, click.UsageError) else None
    hint = f"{context.command_path if context else 'pgproof'} --help shows what there is"
    return UsageError(message[:1].lower() + message[1:], hint=hint)
