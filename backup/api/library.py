"""The backups as the watch saw them last: found, put in order, and kept as ready bytes until it sees anew.

Owns no store and no clock: what is answered here is never waited for.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from backup.api.schemas import BackupInFull, BackupPage, BackupSummary, DrillSummary, StoreState
from backup.domain.ids import BackupId, Latest, LatestProven, Reference
from backup.domain.manifest import Manifest
from backup.domain.metrics import Holding, Sighting
from backup.errors import NotFound, UsageError
from backup.workflow.watch import Watch

LIST = "/api/backups"
"""The address of the list."""
_MOST_KEPT = 32
"""Answers that are kept as bytes between two looks, each a third of a megabyte at most for a thousand backups."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A backup in a store."""

    backup: Manifest
    holding: Holding
    store: str


Look = tuple[tuple[str, bool, datetime | None], ...]
"""By what one look at all stores is told from another."""


class Library:
    """What can be read of backups without asking a store.

    Args:
        watch: that looks at them.
    """

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._kept: dict[bytes, bytes] = {}
        self._look: Look = ()

    def sightings(self) -> tuple[Sighting, ...]:
        """What was seen last."""
        return self._watch.sightings()

    def targets(self) -> frozenset[str]:
        """The names of what there are backups of, or folders of runs."""
        return frozenset(holding.target for each in self.sightings() for holding in each.holdings)

    def page(self, question: bytes, *, target: str | None, limit: int, before: str | None) -> bytes:
        """One page of the list, as JSON; kept under the question as it was written, for `answered`.

        Raises:
            UsageError: `before` is no id.
        """
        if before is not None and BackupId.parse(before) is None:
            raise UsageError(f"{before[:40]!r} is no id of a backup", hint="give the `next` of the page before")
        kept = self.answered(question)
        if kept is None:
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            kept = _page(self.sightings(), target, limit, before).model_dump_json().encode()
            self._kept[question] = kept
        return kept

    def answered(self, question: bytes) -> bytes | None:
        """What was answered to a question, where nothing was seen anew since."""
        look = tuple((each.store, each.up, each.read) for each in self.sightings())
        if look != self._look:
            self._kept.clear()
            self._look = look
        return self._kept.get(question)

    def find(self, reference: Reference, target: str | None) -> BackupInFull:
        """One backup.

        Raises:
            NotFound: there is none.
            UsageError: it may be of several targets.
        """
        found = [each for each in entries(self.sightings(), target) if _means(reference, each)]
        names = sorted({each.backup.target for each in found})
        if not found:
            raise NotFound(f"no such backup{f' of {target}' if target else ''}")
        if len(names) > 1:
            raise UsageError(f"there are such backups of {', '.join(names)}", hint="choose one: ?target=NAME")
        newest = found[0]
        same = [each for each in found if each.backup.id == newest.backup.id]
        return _in_full(newest, [each.store for each in same])


def entries(sightings: tuple[Sighting, ...], target: str | None = None) -> list[Entry]:
    """All backups, or those of a target, the newest first."""
    found = [
        Entry(backup, holding, sighting.store)
        for sighting in sightings
        for holding in sighting.holdings
        if target is None or holding.target == target
        for backup in holding.backups
    ]
    return sorted(found, key=lambda each: (each.backup.age, each.backup.target), reverse=True)


def restore_command(backup: Manifest) -> str:
    """The command that restores a backup, into a new database."""
    return f"pgproof restore {backup.id} --target {shlex.quote(backup.target)}"


def _page(sightings: tuple[Sighting, ...], target: str | None, limit: int, before: str | None) -> BackupPage:
    mark = BackupId.parse(before) if before else None
    rest = [each for each in entries(sightings, target) if mark is None or each.backup.age < mark]
    shown = list(_whole_ids(rest, limit))
    return BackupPage(
        backups=[BackupSummary.of(each.backup, each.holding, each.store) for each in shown],
        next=shown[-1].backup.id if len(shown) < len(rest) else None,
        stores=[StoreState.of(each) for each in sightings],
    )


def _whole_ids(rest: list[Entry], limit: int) -> Iterator[Entry]:
    """At least `limit` of them: all that have the id of the last one, since the next page begins behind it."""
    for number, each in enumerate(rest):
        if number >= limit and each.backup.age != rest[limit - 1].backup.age:
            return
        yield each


def _means(reference: Reference, entry: Entry) -> bool:
    if isinstance(reference, BackupId):
        return entry.backup.age == reference
    if entry.backup not in entry.holding.complete:
        return False
    if isinstance(reference, LatestProven):
        return entry.holding.is_proven(entry.backup)
    return isinstance(reference, Latest) or entry.backup.snapshot.time <= reference.moment


def _in_full(entry: Entry, stores: list[str]) -> BackupInFull:
    summary = BackupSummary.of(entry.backup, entry.holding, entry.store)
    return BackupInFull(
        **summary.model_dump(),
        drills=[DrillSummary.of(each) for each in entry.holding.drills.get(entry.backup.id, ())],
        manifest=json.loads(entry.backup.to_json()),
        stores=sorted(stores),
        restore=restore_command(entry.backup),
    )
