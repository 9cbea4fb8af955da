"""Tell everybody who wants to know what happened to a run, those first that an earlier run could not tell.

Owns that it never changes what the run was: this is the one place where a failure becomes a warning.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

from backup.domain.events import RunEvent
from backup.errors import Interrupted, NotificationFailed, NotificationRefused, PgproofError
from backup.limits import in_time
from backup.logs import log
from backup.ports import Notifier
from backup.workflow.outbox import Outbox

Outcome = Literal["heard", "refused", "deaf"]
_MOST_REFUSALS = 3
"""After so many in a run, one that refuses what waits is not asked again: it may refuse all of it."""
_GRACE = 1.0
"""Seconds by which the store may take longer than the last receiver, who is known to be deaf only then."""
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
        heard = notifier.key not in deaf and _tell(notifier, event, within=share) == "heard"
        missed += [] if heard or not notifier.key else [notifier.key]
    if outbox and missed:
        _guarded("what was not told could not be kept in the store", lambda: _keep(outbox, event, missed), end)


def _keep(outbox: Outbox, event: RunEvent, missed: Sequence[str]) -> None:
    outbox.keep(event, missed)
    log.info("what was not told waits in the store for the next run", what=event.type)


def record(who: str, what: str, tell: Callable[[], None]) -> Outcome:
    """Let somebody be told of something, and say how that went. A failure, or a bug there, is told and no more."""
    try:
        tell()
    except NotificationFailed as error:
        log.warning("not told", what=what, reason=error.message, detail=error.detail, hint=error.hint)
        return "refused" if isinstance(error, NotificationRefused) else "deaf"
    except Interrupted:
        raise
    except Exception as error:  # noqa: BLE001 -- nor does a bug of whoever is told change what the run was
        reason = f"{type(error).__name__}: {error}"
        log.warning("not told, by a bug: please report it", who=who, what=what, reason=reason)
    else:
        log.debug("told", who=who, what=what)
        return "heard"
    return "refused"


def _tell(notifier: Notifier, event: RunEvent, *, within: float) -> Outcome:
    """Tell one of them."""
    return record(notifier.name, event.type, partial(notifier.tell, event, within=within))


def _tell_what_waited(outbox: Outbox, notifiers: Sequence[Notifier], event: RunEvent, *, within: float) -> set[str]:
    """Send what waits, the oldest first; the keys of those who still do not hear, each of whom was tried once.

    One that refuses a message hears, so newer ones do not wait for it.
    """
    end = time.monotonic() + within
    by_key = {each.key: each for each in notifiers if each.key}
    deaf: set[str] = set()
    refusals: Counter[str] = Counter()

    def left() -> float:
        return end - time.monotonic()

    def send() -> None:
        for store, key, message in outbox.waiting(event.time):
            waiting = []
            for each in message.to:
                if each not in by_key:
                    continue  # no receiver any more
                told: Outcome = "refused"
                if each not in deaf and refusals[each] < _MOST_REFUSALS:
                    told = _tell(by_key[each], message.event, within=left())
                if told == "deaf":
                    deaf.add(each)
                refusals[each] += told == "refused"
                waiting += [] if told == "heard" else [each]
            outbox.settle(store, key, message, waiting)
            if left() <= 0:
                return

    _guarded("what waits in the store could not be sent", send, end + _GRACE)
    return set(deaf)  # a thread that was left alone may still add to it


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
    except Exception as error:  # noqa: BLE001 -- nor does a bug of ours here
        log.warning(f"{failure}, by a bug: please report it", reason=f"{type(error).__name__}: {error}")
