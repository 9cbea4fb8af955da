"""A failure for programs: one form of it, on stdout and over HTTP. Owns that form, and what a bug is called."""

from __future__ import annotations

from backup.errors import PgproofError
from backup.logs import redact


class Bug(PgproofError):
    """Something that nobody thought of."""


def describe(error: PgproofError) -> dict[str, object]:
    """A failure for programs, without secrets."""
    return {
        "code": error.code,
        "message": redact(error.message),
        "detail": redact(error.detail) if error.detail else None,
        "hint": redact(error.hint) if error.hint else None,
        "exit_code": error.status,
        "retryable": error.retryable or isinstance(error, Bug),
    }
