"""Tell everybody who wants to know what happened to a run, those first that an earlier run could not tell.

Owns that it never changes what the run was: this is the one place where a failure becomes a warning.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

from backup.domain.events import RunEvent
from backup.errors import Interrupted, NotificationFailed, PgproofError
from backup.limits import in_time
from backup.logs import log
from backup.ports import Notifier
from backup.workflow.outbox import Outbox

_OF_THE_OUTBOX = 0.5
"""Share of the time in which what waited is sent."""


def announce(event: RunEvent, notifiers: Sequence[Notifier], *, within: float, outbox: Outbox | None = None) -> None:
    """Tell `event` to all that want it, in order; what one of them did not hear waits in the outbox.

    Args:
        event: what happened.
        notifiers: who is told.
        within: seconds for all together; each gets an equal share of what is left when its turn comes.
        outbox: where messages wait; None where there is no such place.
    """
    end = time.monotonic() + within
    wanting = [each for each in notifiers if each.wants(event.type)]
    keeping = [each for each in wanting if each.key]
    deaf: set[str] = set()
    if outbox and keeping:
        deaf = _tell_what_waited(outbox, notifiers, event, within=within * _OF_THE_OUTBOX)
    missed = []
    for waiting, notifier in zip(range(len(wanting), 0, -1), wanting, strict=True):
        share = max(end - time.monotonic(), 0) / waiting
        heard = notifier.key not in deaf and _tell(notifier, event, within=share)
        missed += [] if heard or not notifier.key else [notifier.key]
    if outbox and missed:
        log.info("what was not told waits in the store for the next run", what=event.type)
        _guarded("what was not told could not be kept in the store", lambda: outbox.keep(event, missed), end)


def record(who: str, what: str, tell: Callable[[], None]) -> bool:
    """Let somebody be told of something; whether that went well. A failure, or a bug there, is said and no more."""
    try:
        tell()
    except NotificationFailed as error:
        log.warning("not told", what=what, reason=error.message, detail=error.detail, hint=error.hint)
    except Interrupted:
        raise
    except Exception as error:  # noqa: BLE001 -- nor does a bug of whoever is told change what the run was
        reason = f"{type(error).__name__}: {error}"
        log.warning("not told, by a bug: please report it", who=who, what=what, reason=reason)
    else:
        log.debug("told", who=who, what=what)
        return True
    return False


def _tell(notifier: Notifier, event: RunEvent, *, within: float) -> bool:
    """Tell one of them; whether it was heard."""
    return record(notifier.name, event.type, partial(notifier.tell, event, within=within))


def _tell_what_waited(outbox: Outbox, notifiers: Sequence[Notifier], event: RunEvent, *, within: float) -> set[str]:
    """Send what waits, the oldest first; the keys of those who still do not hear, each of whom was tried once."""
    end = time.monotonic() + within
    by_key = {each.key: each for each in notifiers if each.key}
    deaf: set[str] = set()

    def send() -> None:
        for store, key, message in outbox.waiting(event.time):
            known = [each for each in message.to if each in by_key]  # the others are not receivers any more
            for each in known:
                left = end - time.monotonic()
                if each not in deaf and (left <= 0 or not _tell(by_key[each], message.event, within=left)):
                    deaf.add(each)
            outbox.settle(store, key, message, [each for each in known if each in deaf])

    _guarded("what waits in the store could not be sent", send, end)
    return deaf


def _guarded(failure: str, work: Callable[[], None], end: float) -> None:
    """Do something with a store that may be dead; a failure is told, and no more."""
    try:
        in_time(work, max(end - time.monotonic(), 1))
    except TimeoutError as error:
        log.warning(failure, reason=str(error))
    except Interrupted:
        raise
    except PgproofError as error:
        log.warning(failure, reason=error.message)
