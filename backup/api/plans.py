"""What would be pruned next: the real plan, made with the store at hand and kept until something has changed.

Owns how long a page waits for it. Nothing is ever deleted here.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from backup.bootstrap import make_store, now
from backup.domain.rules import Rules
from backup.errors import PgproofError
from backup.limits import in_time
from backup.logs import log
from backup.ports import Store
from backup.settings import Settings, StoreSettings
from backup.workflow.prune import Pruning, prune
from backup.workflow.sightings import Remembering

_PATIENCE = 5.0
"""Seconds that a page waits for a store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What would become of a target's backups in a store; `pruning` is None where that is not known now."""

    store: str
    rules: str
    pruning: Pruning | None


class Plans:
    """Plans of all stores.

    Args:
        settings: with the rules.
        stores: that are pruned by them.
    """

    def __init__(self, settings: Settings, stores: Sequence[StoreSettings]) -> None:
        self._places: list[tuple[Store, Rules]] = []
        for each in stores:
            rules = settings.rules(each)
            self._places.append((Remembering(make_store(each, keep=rules.keep_within)), rules))
        self._kept: dict[tuple[str, str], tuple[datetime | None, Pruning]] = {}
        self._lock = threading.Lock()

    def of(self, target: str, read: dict[str, datetime | None]) -> list[Plan]:
        """The plans for a target; `read` says when each store was read last, as long as it can be."""
        return [self._plan(target, store, rules, read.get(store.url)) for store, rules in self._places]

    def _plan(self, target: str, store: Store, rules: Rules, read: datetime | None) -> Plan:
        key = (store.url, target)
        kept = self._kept.get(key)
        if kept and kept[0] == read:
            return Plan(store=store.url, rules=rules.text, pruning=kept[1])
        made = None
        if read is not None:
            try:
                made = in_time(lambda: self._make(target, store, rules), _PATIENCE)
            except (PgproofError, TimeoutError) as error:
                log.debug("no plan", store=store.url, reason=str(error))
        if made:
            self._kept[key] = (read, made)
        return Plan(store=store.url, rules=rules.text, pruning=made)

    def _make(self, target: str, store: Store, rules: Rules) -> Pruning:
        if not self._lock.acquire(timeout=_PATIENCE):  # what is remembered of a store is not for two at once
            raise TimeoutError(f"somebody else still waits for {store.url}")
        try:
            return prune(target, store, rules, clock=now, dry_run=True)
        finally:
            self._lock.release()
