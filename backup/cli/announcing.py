"""Announces how the run of a command ended: to whom the settings name, and as the outcome that is left in a file.

Owns what is said of a run. A run that is stopped has less time to say so than one that has ended by itself.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal
from uuid import uuid4

from backup import __version__
from backup.bootstrap import make_notifiers, now
from backup.cli.failures import as_told, describe
from backup.cli.options import Invocation
from backup.cli.output import jsonable
from backup.cli.targets import named_target
from backup.cli.termination import leave
from backup.domain.events import EventType, RunEvent
from backup.errors import AfterwardsFailed, BackupSuspect, Interrupted, PgproofError
from backup.logs import redact
from backup.signals import undisturbed
from backup.workflow.announce import announce

Action = Literal["backup", "restore", "drill"]

_SUCCESS: dict[Action, EventType] = {
    "backup": "backup.succeeded",
    "restore": "restore.finished",
    "drill": "drill.proven",
}
_FAILURE: dict[Action, EventType] = {"backup": "backup.failed", "restore": "restore.failed", "drill": "drill.failed"}
_STORED: dict[type[Exception], EventType] = {
    AfterwardsFailed: "backup.incomplete",
    BackupSuspect: "backup.suspect",
}
"""Failures after which there is a backup."""
PATIENCE = 20.0
"""Seconds in which everybody must have been told."""
HURRY = 5.0
"""The same after a signal: whoever sent it may kill us half a minute later."""


class Announcement:
    """What will be said of a run; its command fills it in on its way.

    Attributes:
        target: name of what is backed up or restored.
        text: what was done, in one line.
        facts: of it, for programs.
        quiet: nothing was done that anybody needs to know.
    """

    def __init__(self, target: str | None) -> None:
        self.target = target
        self.text = ""
        self.facts: dict[str, Any] = {}
        self.quiet = False


@contextmanager
def announced(invocation: Invocation, action: Action) -> Iterator[Announcement]:
    """Announce the end of what is done within, whichever it is; what is raised is raised again.

    Raises:
        ConfigurationError: somebody is to be told in a way that is not possible; nothing was done yet.
    """
    notifiers = make_notifiers(invocation.settings)
    announcement = Announcement(_target(invocation))
    base = {"store": _store(invocation), "host": socket.gethostname(), "pgproof": __version__}
    run = uuid4()

    def tell(kind: EventType, text: str, error: dict[str, object] | None, *, within: float) -> None:
        event = RunEvent(
            type=kind,
            time=now(),
            run=run,
            target=announcement.target,
            text=redact(f"{announcement.target}: {text}" if announcement.target else text),
            facts=jsonable({**base, **announcement.facts}),
            error=error,
        )
        with suppress(Interrupted), undisturbed():  # the work has ended: a signal that comes now has nothing to stop
            announce(event, notifiers, within=within)

    try:
        yield announcement
    except Exception as error:
        if not announcement.quiet:
            told = as_told(error)
            within = HURRY if isinstance(error, Interrupted) else PATIENCE
            stored = _STORED.get(type(error)) if action == "backup" else None
            text = told.message if stored else f"{action} failed: {told.message}"
            tell(stored or _FAILURE[action], text, describe(told), within=within)
        raise
    if not announcement.quiet:
        leave(announcement.text)
        tell(_SUCCESS[action], announcement.text, None, within=PATIENCE)


def _target(invocation: Invocation) -> str | None:
    with suppress(PgproofError):
        return named_target(invocation)
    return None


def _store(invocation: Invocation) -> str | None:
    with suppress(PgproofError):
        return ", ".join(store.url for store in invocation.stores) or None
    return None
