"""Tells everybody whom the settings name that a backup is missing. Owns what is said of it."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import suppress
from uuid import uuid4

from backup import __version__
from backup.bootstrap import make_notifiers, now
from backup.cli.announcing import PATIENCE
from backup.cli.failures import describe
from backup.cli.options import Invocation
from backup.cli.output import jsonable
from backup.domain.events import RunEvent
from backup.errors import Interrupted, PgproofError
from backup.logs import redact
from backup.signals import undisturbed
from backup.workflow.announce import announce


def alert(invocation: Invocation, error: PgproofError, *, target: str | None, facts: Mapping[str, object]) -> None:
    """Announce `backup.missed`. Whoever cannot be told is a warning.

    Raises:
        ConfigurationError: somebody is to be told in a way that is not possible.
    """
    store = ", ".join(each.url for each in invocation.stores)
    event = RunEvent(
        type="backup.missed",
        time=now(),
        run=uuid4(),
        target=target,
        text=redact(error.message),
        facts=jsonable({"store": store, "host": socket.gethostname(), "pgproof": __version__, **facts}),
        error=describe(error),
    )
    with suppress(Interrupted), undisturbed():
        announce(event, make_notifiers(invocation.settings), within=PATIENCE)
