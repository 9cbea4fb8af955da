"""The guard's look at a store: the complete backups before a new one, and what they held.

Reads no more of them than it needs; must not stop a backup: what cannot be read is told, and the guard says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from backup.domain.counts import named
from backup.domain.guard import BASELINE, FEWEST, Measure, Suspicion, Tolerance, seen, suspect
from backup.domain.manifest import Manifest, Role
from backup.domain.marks import ACCEPTED
from backup.domain.proof import ROWS, Fact, Facts, Proof
from backup.domain.retention import Standing, standing_of
from backup.errors import IntegrityFailed, Interrupted, ObjectMissing, PgproofError
from backup.logs import log
from backup.ports import Clock, Store
from backup.workflow.catalog import Catalog
from backup.workflow.runs import read_runs


def weigh(
    new: Manifest,
    proof: Proof | None,
    stores: Sequence[Store],
    tolerance: Tolerance,
    *,
    clock: Clock,
    fingerprint: str = "",
) -> tuple[Suspicion, int]:
    """Given a backup that is about to be committed, say whether it is suspect, and how many there have been with it.

    Args:
        new: as it would be committed.
        proof: what its snapshot held.
        stores: where it will be. The first that has enough backups before it counts: another may be new.
        tolerance: what is borne.
        clock: of this machine.
        fingerprint: of the database's server; with it the tables of encrypted backups are known again.
    """
    names = [fact.name for fact in proof.facts if fact.kind == ROWS] if proof else []
    before: list[Measure] = []
    for store in stores:
        try:
            before = list(_Baseline(new, store, names, fingerprint).measures(clock))
        except Interrupted:
            raise
        except PgproofError as error:
            log.warning("the guard could not look at earlier backups", store=store.url, reason=error.message)
            continue
        if seen(before) >= FEWEST or any(each.accepted for each in before):
            break
    found = suspect(_measure(new, proof.facts if proof else {}, proof.unproven if proof else {}), before, tolerance)
    if found:
        log.warning("this backup is suspect", id=new.id, reason=found.text)
        for table in found.tables:
            log.warning("rows are missing", fact=table.text)
    return found, seen(before) + 1


@dataclass(frozen=True, slots=True)
class _Baseline:
    """Complete backups like a new one, the newest first. `names`: of the tables that it has."""

    new: Manifest
    store: Store
    names: Sequence[str]
    fingerprint: str

    def measures(self, clock: Clock) -> Iterator[Measure]:
        catalog = Catalog(self.store)
        count = 0
        folders = read_runs(self.store, self.new.target, now=clock())
        for folder in sorted(folders, key=lambda each: each.run.id, reverse=True):
            if not folder.run.finished or count == BASELINE:
                continue
            try:
                backup = catalog.manifest(self.new.target, folder.run.id)
            except (IntegrityFailed, ObjectMissing):
                continue  # list and verify tell of it
            accepted = ACCEPTED in folder.objects
            if self._is_like(backup) and standing_of(backup, accepted=accepted) is Standing.COMPLETE:
                count += 1
                if count == 1 and backup.recipients and not self.new.recipients:
                    log.warning("this backup is not encrypted, and the one before it was", before=backup.id)
                yield _measure(backup, *self._held_by(backup, catalog), accepted=accepted)

    def _is_like(self, backup: Manifest) -> bool:
        """Whether the two can be compared: made in the same way. A filter that is new may be a mistake, and is."""
        return backup.tool.engine == self.new.tool.engine

    def _held_by(self, backup: Manifest, catalog: Catalog) -> tuple[Facts, Mapping[Fact, str]]:
        """What an earlier backup held; one whose proof is damaged, gone or not for us still has its size."""
        if backup.recipients:
            return named(backup.counts, self.names, self.fingerprint) if backup.counts else {}, {}
        try:
            proof = catalog.proof_of(backup)
        except (IntegrityFailed, ObjectMissing) as error:
            log.warning("the guard does without the proof of an earlier backup", id=backup.id, reason=error.message)
            return {}, {}
        return (proof.facts, proof.unproven) if proof else ({}, {})


def _measure(backup: Manifest, facts: Facts, unproven: Mapping[Fact, str], *, accepted: bool = False) -> Measure:
    dumped = (*backup.parts_of(Role.DUMP), *backup.parts_of(Role.DATA))
    return Measure(
        bytes=sum(part.raw_bytes for part in dumped),
        facts=facts,
        unproven=unproven,
        accepted=accepted,
        nth=backup.nth,
    )
