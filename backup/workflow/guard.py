"""The guard's look at a store: the complete backups before a new one, and what they held.

Reads no more of them than it needs; must not stop a backup: what cannot be read is told, and the guard says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from backup.domain.guard import BASELINE, FEWEST, Measure, Suspicion, Tolerance, seen, suspect
from backup.domain.manifest import Manifest, Role
from backup.domain.marks import ACCEPTED
from backup.domain.proof import Proof
from backup.domain.retention import Standing, standing_of
from backup.errors import IntegrityFailed, Interrupted, ObjectMissing, PgproofError
from backup.logs import log
from backup.ports import Clock, Store
from backup.workflow.catalog import Catalog
from backup.workflow.runs import read_runs


def weigh(
    new: Manifest, proof: Proof | None, stores: Sequence[Store], tolerance: Tolerance, *, clock: Clock
) -> tuple[Suspicion, int]:
    """Given a backup that is about to be committed, say whether it is suspect, and how many there have been with it.

    Args:
        new: as it would be committed.
        proof: what its snapshot held.
        stores: where it will be. The first that has enough backups before it counts: another may be new.
        tolerance: what is borne.
        clock: of this machine.
    """
    before: list[Measure] = []
    for store in stores:
        try:
            before = list(_baseline(new, store, clock))
        except Interrupted:
            raise
        except PgproofError as error:
            log.warning("the guard could not look at earlier backups", store=store.url, reason=error.message)
            continue
        if seen(before) >= FEWEST or any(each.accepted for each in before):
            break
    found = suspect(_measure(new, proof), before, tolerance)
    if found:
        log.warning("this backup is suspect", id=new.id, reason=found.text)
        for table in found.tables:
            log.warning("rows are missing", fact=table.text)
    return found, seen(before) + 1


def _baseline(new: Manifest, store: Store, clock: Clock) -> Iterator[Measure]:
    """Complete backups like this one, the newest first."""
    catalog = Catalog(store)
    count = 0
    for folder in sorted(read_runs(store, new.target, now=clock()), key=lambda each: each.run.id, reverse=True):
        if not folder.run.finished or count == BASELINE:
            continue
        try:
            backup = catalog.manifest(new.target, folder.run.id)
        except (IntegrityFailed, ObjectMissing):
            continue  # list and verify tell of it
        accepted = ACCEPTED in folder.objects
        if _is_like(backup, new) and standing_of(backup, accepted=accepted) is Standing.COMPLETE:
            count += 1
            yield _measure(backup, _proof_of(backup, catalog), accepted=accepted)


def _proof_of(backup: Manifest, catalog: Catalog) -> Proof | None:
    """What an earlier backup held; one whose proof is damaged or gone still has its size."""
    try:
        return catalog.proof_of(backup)
    except (IntegrityFailed, ObjectMissing) as error:
        log.warning("the guard does without the proof of an earlier backup", id=backup.id, reason=error.message)
        return None


def _is_like(backup: Manifest, new: Manifest) -> bool:
    """Whether the two can be compared: made in the same way. A filter that is new may be a mistake, and is compared."""
    return backup.tool.engine == new.tool.engine


def _measure(backup: Manifest, proof: Proof | None, *, accepted: bool = False) -> Measure:
    dumped = (*backup.parts_of(Role.DUMP), *backup.parts_of(Role.DATA))
    return Measure(
        bytes=sum(part.raw_bytes for part in dumped),
        facts=proof.facts if proof else {},
        unproven=proof.unproven if proof else {},
        accepted=accepted,
        nth=backup.nth,
    )
