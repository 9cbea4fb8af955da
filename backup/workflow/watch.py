"""Watch stores: look at each again and again, and keep what was seen last while one is down.

Owns how often a store is read and what is said of one that cannot be. Whoever asks never waits for a store.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from backup.domain.metrics import Holding, Sample, Sighting, measure
from backup.errors import PgproofError
from backup.logs import log
from backup.ports import Clock
from backup.workflow.sightings import Lookout, Remembering, look

_SLOW = timedelta(minutes=5)
"""That a look may take beyond its turn before its store counts as down; retries of a client end before. A guess."""


class Watch:
    """Looks at stores, each on a thread of its own, so that one that hangs keeps no other from being seen.

    Args:
        lookouts: the stores.
        targets: those that are watched; none: all that there are.
        also: those that should be there even where the stores have nothing of them.
        every: seconds from one look at a store to the next.
        clock: now.
    """

    def __init__(
        self,
        lookouts: Sequence[Lookout],
        targets: Sequence[str],
        *,
        also: Sequence[str] = (),
        every: float,
        clock: Clock,
    ) -> None:
        self._targets, self._also = tuple(targets), tuple(also)
        self._every = every
        self._clock = clock
        self._ended = threading.Event()
        self._posts = [_Post(replace(each, store=Remembering(each.store)), clock) for each in lookouts]

    def start(self, *, patience: float) -> None:
        """Begin, and wait up to `patience` seconds for a first look at each store."""
        for post in self._posts:
            threading.Thread(target=self._stand, args=(post,), name=f"watch {post.url}", daemon=True).start()
        for post in self._posts:
            post.looked.wait(patience)

    def stop(self) -> None:
        """Look no more; a look that is under way is left alone."""
        self._ended.set()
        self.hurry()

    def measure(self) -> tuple[Sample, ...]:
        """The figures of now."""
        return measure(self.sightings(), now=self._clock())

    def sightings(self) -> tuple[Sighting, ...]:
        """What was seen of each store last, in the order of the stores."""
        now = self._clock()
        limit = timedelta(seconds=self._every) + _SLOW
        return tuple(post.seen(now, limit) for post in self._posts)

    def hurry(self) -> None:
        """Look again at once: something has changed. Returns before anything was seen."""
        for post in self._posts:
            post.hurry.set()

    def _stand(self, post: _Post) -> None:
        while not self._ended.is_set():
            post.hurry.clear()
            post.look(self._targets, self._also)
            post.hurry.wait(self._every)


class _Post:
    """One store, and what was seen of it last."""

    def __init__(self, lookout: Lookout, clock: Clock) -> None:
        self.looked = threading.Event()
        self.hurry = threading.Event()
        self._lookout = lookout
        self._clock = clock
        self._last = Sighting(store=lookout.store.url, up=False)
        self._told = False

    @property
    def url(self) -> str:
        return self._last.store

    def seen(self, now: datetime, limit: timedelta) -> Sighting:
        """What was seen last; a store that has not been read for so long is not up."""
        late = self._last.read is not None and now - self._last.read > limit
        return replace(self._last, up=self._last.up and not late)

    def look(self, targets: Sequence[str], also: Sequence[str]) -> None:
        """Look once. That a store cannot be read is said once, and once that it can again."""
        try:
            found = look(self._lookout, targets, also=also, clock=self._clock)
        except PgproofError as error:
            self._tell_down(error.message, error.detail, error.hint)
        except Exception as error:  # noqa: BLE001 -- a bug must not end the watch in silence
            self._tell_down(f"by a bug, please report it: {type(error).__name__}: {error}", None, None)
        else:
            if self._told:
                log.info("the store can be read again", store=self.url)
            self._told = False
            self._last = replace(found, holdings=self._with_those_gone(found))
        self.looked.set()

    def _tell_down(self, reason: str, detail: str | None, hint: str | None) -> None:
        if not self._told:
            log.warning("the store cannot be read", store=self.url, reason=reason, detail=detail, hint=hint)
        self._told = True
        self._last = replace(self._last, up=False)

    def _with_those_gone(self, found: Sighting) -> tuple[Holding, ...]:
        """A target that was there and is not any more has no backup; it is not to be forgotten."""
        there = {holding.target for holding in found.holdings}
        gone = [Holding(target=each.target) for each in self._last.holdings if each.target not in there]
        return (*found.holdings, *gone)
