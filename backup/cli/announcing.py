"""Announces how the run of a command ended: to whom the settings name, and as the outcome that is left in a file.

Owns what is said of a run. A run that is stopped has less time to say so than one that has ended by itself.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, Literal
from uuid import uuid4

from backup import __version__
from backup.bootstrap import now
from backup.bootstrap.telling import make_notifiers
from backup.cli.failures import as_told
from backup.cli.options import Invocation
from backup.cli.output import jsonable
from backup.cli.places import places
from backup.cli.targets import named_target
from backup.cli.termination import leave
from backup.domain.events import EventType, RunEvent
from backup.domain.manifest import Manifest
from backup.errors import AfterwardsFailed, BackupDegraded, BackupSuspect, Interrupted, PgproofError, SyncFailed
from backup.failures import describe
from backup.limits import in_time
from backup.logs import log, recent, redact
from backup.ports import Store
from backup.signals import AsFarAsKnown, undisturbed
from backup.workflow.announce import announce
from backup.workflow.catalog import Catalog
from backup.workflow.outbox import Outbox

Action = Literal["backup", "restore", "drill", "prune", "sync"]

_SUCCESS: dict[Action, EventType] = {
    "backup": "backup.succeeded",
    "restore": "restore.finished",
    "drill": "drill.proven",
    "sync": "sync.succeeded",
}
_FAILURE: dict[Action, EventType] = {
    "backup": "backup.failed",
    "restore": "restore.failed",
    "drill": "drill.failed",
    "prune": "prune.failed",
    "sync": "sync.failed",
}
_STORED: dict[type[Exception], EventType] = {
    AfterwardsFailed: "backup.incomplete",
    BackupDegraded: "backup.degraded",
    BackupSuspect: "backup.suspect",
}
"""Failures after which there is a backup."""
PATIENCE = 20.0
"""Seconds in which everybody must have been told."""
HURRY = 5.0
"""The same after a signal: whoever sent it may kill us half a minute later."""
AT_THE_START = 3.0
"""The same before a backup, which is waiting for it."""
_A_MOMENT = 3.0
"""Seconds in which the last proven backup is looked for."""
_LOG_LINES = 20


class Announcement:
    """What will be said of a run; its command fills it in on its way.

    Attributes:
        target: name of what is backed up, restored or synced.
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
    announcement = Announcement(_target(invocation))
    teller = Teller(invocation, announcement)
    if action == "backup":
        teller.tell("backup.started", "backup started", within=AT_THE_START)
    try:
        yield announcement
    except Exception as error:
        if not announcement.quiet:
            told = as_told(error)
            within = HURRY if isinstance(error, Interrupted) else PATIENCE
            stored = _STORED.get(type(error)) if action == "backup" else None
            text = told.message if stored else f"{action} failed: {told.message}"
            said = describe(told)
            if isinstance(told, SyncFailed):  # the server quotes the row there that it does not take
                said["detail"] = None
            teller.tell(stored or _FAILURE[action], text, said, within=within)
        raise
    if not announcement.quiet and action in _SUCCESS:
        leave(announcement.text)
        teller.tell(_SUCCESS[action], announcement.text, within=PATIENCE)


class Teller:
    """Tells what happens to one run, to whom the settings name.

    Raises:
        ConfigurationError: somebody is to be told in a way that is not possible.
    """

    def __init__(self, invocation: Invocation, announcement: Announcement) -> None:
        self._notifiers = make_notifiers(invocation.settings)
        self._invocation = invocation
        self._announcement = announcement
        self._run = uuid4()
        self._base = {"store": _store(invocation), "host": socket.gethostname(), "pgproof": __version__}

    def tell(self, kind: EventType, text: str, error: dict[str, object] | None = None, *, within: float) -> None:
        """Tell it. Nothing of it changes what the run was."""
        if not any(each.wants(kind) for each in self._notifiers):
            return
        target = self._announcement.target
        facts = {**self._base, **self._announcement.facts}
        begun = time.monotonic()
        stores = self._stores() if kind != "backup.started" and any(each.key for each in self._notifiers) else []
        # Once the work has ended, a signal has nothing to stop; before it, it has.
        with nullcontext() if kind == "backup.started" else _over():
            if stores and target and within > HURRY:
                facts |= _proven(stores, target)
            event = RunEvent(
                id=f"msg_{uuid4().hex}",
                type=kind,
                time=now(),
                run=self._run,
                target=target,
                text=redact(f"{target}: {text}" if target else text),
                facts=jsonable(facts),
                error=error,
                log=recent(_LOG_LINES) if error else (),
            )
            encryption = self._invocation.settings.encryption
            confidential = bool(encryption.to or encryption.identity)
            outbox = Outbox(stores, target, confidential=confidential) if stores and target else None
            announce(event, self._notifiers, within=within - (time.monotonic() - begun), outbox=outbox)

    def _stores(self) -> list[Store]:
        with AsFarAsKnown():
            return [place.store for place in places(self._invocation)]
        return []


def _proven(stores: Sequence[Store], target: str) -> dict[str, object]:
    """The newest backup that is proven, for all that can be found out in a moment; nothing where that fails."""
    moment = now()

    def look() -> Manifest | None:
        found, failures = [], []
        for store in stores:
            try:
                found.append(Catalog(store).newest_proven(target, now=moment))
            except PgproofError as error:
                failures.append(error)
        if not found:
            raise failures[0]
        return max((each for each in found if each), key=lambda each: each.snapshot.time, default=None)

    try:
        newest = in_time(look, _A_MOMENT)
    except Interrupted:
        raise
    except Exception as error:  # noqa: BLE001 -- it is worth a line in a message, and no more
        log.debug("the last proven backup is not told", reason=f"{type(error).__name__}: {error}")
        return {}
    if newest is None:
        return {"proven": None}
    return {"proven": {"id": newest.id, "age_seconds": round((moment - newest.snapshot.time).total_seconds())}}


@contextmanager
def _over() -> Iterator[None]:
    with suppress(Interrupted), undisturbed():
        yield


def _target(invocation: Invocation) -> str | None:
    with AsFarAsKnown():
        return named_target(invocation)
    return None


def _store(invocation: Invocation) -> str | None:
    with AsFarAsKnown():
        return ", ".join(store.url for store in invocation.stores) or None
    return None
