"""Tells everybody whom the settings name that a backup is missing. Owns what is said of it."""

from __future__ import annotations

from backup.cli.announcing import PATIENCE, Announcement, Teller
from backup.cli.options import Invocation
from backup.errors import PgproofError
from backup.failures import describe


class Alarm:
    """Announces `backup.missed`. Whoever cannot be told is a warning.

    Raises:
        ConfigurationError: somebody is to be told in a way that is not possible.
    """

    def __init__(self, invocation: Invocation, target: str | None) -> None:
        self._announcement = Announcement(target)
        self._teller = Teller(invocation, self._announcement)

    def raise_for(self, error: PgproofError) -> None:
        """Tell that the check ended with `error`."""
        self._announcement.facts |= error.result
        text = error.message.removeprefix(f"{self._announcement.target} ")  # which stands before it
        self._teller.tell("backup.missed", text, describe(error), within=PATIENCE)
