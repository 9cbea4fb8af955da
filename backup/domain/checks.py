"""What a check found: the common currency of `doctor` and of the checks before a backup. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from backup.errors import PgproofError

Verdict = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One finding.

    Attributes:
        name: what was looked at, two or three words.
        verdict: `fail` means that a backup cannot be made.
        message: what was found, one line.
        hint: what to do, may have several lines ready to paste.
        error: the class of the failure that this would be, so that `doctor` and `backup` exit alike.
        cause: the failure itself, where there was one.
    """

    name: str
    verdict: Verdict
    message: str
    hint: str | None = None
    error: type[PgproofError] = PgproofError
    cause: PgproofError | None = field(default=None, repr=False, compare=False)

    def to_error(self) -> PgproofError:
        """This finding as the failure of a run."""
        return self.cause or self.error(self.message, hint=self.hint)


def failed(name: str, error: PgproofError) -> Check:
    """A failure as a finding."""
    message = f"{error.message}: {error.detail}" if error.detail else error.message
    return Check(name=name, verdict="fail", message=message, hint=error.hint, error=type(error), cause=error)
