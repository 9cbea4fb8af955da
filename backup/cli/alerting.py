"""Tells everybody whom the settings name that a backup is missing. Owns what is said of it."""

from __future__ import annotations

from collections.abc import Mapping

from backup.cli.announcing import PATIENCE, Announcement, Teller
from backup.cli.failures import describe
from backup.cli.options import Invocation
from backup.errors import PgproofError


def alert(invocation: Invocation, error: PgproofError, *, target: str | None, facts: Mapping[str, object]) -> None:
    """Announce `backup.missed`. Whoever cannot be told is a warning.

    Raises:
        ConfigurationError: somebody is to be told in a way that is not possible.
    """
    announcement = Announcement(target)
    announcement.facts |= facts
    text = error.message.removeprefix(f"{target} ")  # which stands before it
    Teller(invocation, announcement).tell("backup.missed", text, describe(error), within=PATIENCE)
