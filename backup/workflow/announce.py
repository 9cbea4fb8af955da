"""Tell everybody who wants to know how a run ended.

Owns that it never changes what the run was: this is the one place where a failure becomes a warning.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

from backup.domain.events import RunEvent
from backup.errors import Interrupted, NotificationFailed
from backup.logs import log
from backup.ports import Notifier


def announce(event: RunEvent, notifiers: Sequence[Notifier], *, within: float) -> None:
    """Tell `event` to all of them, in order.

    Args:
        event: the end of the run.
        notifiers: who is told.
        within: seconds for all together; each gets an equal share of what is left when its turn comes.
    """
    end = time.monotonic() + within
    for waiting, notifier in zip(range(len(notifiers), 0, -1), notifiers, strict=True):
        share = max(end - time.monotonic(), 0) / waiting
        record(notifier.name, event.type, partial(notifier.tell, event, within=share))


def record(who: str, what: str, tell: Callable[[], None]) -> None:
    """Let somebody be told of something; where that fails, or whoever is told has a bug, it is said and no more."""
    try:
        tell()
        log.debug("told", who=who, what=what)
    except NotificationFailed as error:
        log.warning("not told", what=what, reason=error.message, detail=error.detail, hint=error.hint)
    except Interrupted:
        raise
    except Exception as error:  # noqa: BLE001 -- nor does a bug of whoever is told change what the run was
        reason = f"{type(error).__name__}: {error}"
        log.warning("not told, by a bug: please report it", who=who, what=what, reason=reason)
