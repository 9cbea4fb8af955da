"""Prune: delete what retention does not keep, backup by backup, the oldest first.

Owns the order of deletion: a manifest goes before its parts, so a prune that ends half-way leaves no backup that only
looks whole; the rest of it is swept a day later.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from backup.domain.drill import prove
from backup.domain.ids import BackupId
from backup.domain.manifest import MANIFEST_NAME
from backup.domain.marks import ACCEPTED, HOLD, LEASE, SHIELDS, is_in_the_making, is_ours
from backup.domain.retention import SETTLED, Plan, Standing, StoredRun, plan, standing_of
from backup.domain.rules import Rules
from backup.errors import IntegrityFailed, ObjectLocked, ObjectMissing
from backup.logs import log
from backup.ports import Clock, Leftover, Store
from backup.workflow.catalog import Catalog
from backup.workflow.runs import RunFolder, is_held, read_runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruning:
    """What becomes of a target in one store.

    Attributes:
        plan: as it was carried out, or would be.
        leftovers: unfinished uploads and files in the making, older than a day, that go too.
        done: False where it is only a plan.
    """

    target: str
    store: str
    rules: Rules
    plan: Plan
    leftovers: tuple[Leftover, ...]
    done: bool

    @property
    def freed(self) -> int:
        """Bytes that go."""
        return sum(run.bytes for run in self.plan.deleted) + sum(each.bytes for each in self.leftovers)


def prune(target: str, store: Store, rules: Rules, *, clock: Clock, dry_run: bool = False) -> Pruning:
    """Given a target and a store, delete what the rules do not keep; with `dry_run` only say what would be.

    Raises:
        PgproofError: it could not be carried out to its end; what was deleted by then is gone.
    """
    now = clock()
    folders = {folder.run.id: folder for folder in read_runs(store, target, now=now)}
    worth = Worth(store, target, folders.values())
    runs = [folder.run for folder in folders.values()]
    under_way = any(is_held(store, [f"{target}/{LEASE}"], now=now))
    made = plan(runs, rules, now=now, standing_of=worth.standing, is_proven=worth.is_proven, under_way=under_way)
    kept: dict[BackupId, str] = {}
    for run in made.deleted:
        folder = folders[run.id]
        reason = worth.objection(run) or _locked(store, folder)
        if not reason and not dry_run:
            reason = _delete(store, f"{target}/{run.id}/", folder, clock)
        if reason:
            kept[run.id] = reason
    leftovers: Sequence[Leftover] = ()
    if not (made.stopped or under_way):
        shielded = {folder.run.id for folder in folders.values() if folder.run.shielded}
        leftovers = [
            each
            for each in store.leftovers(f"{target}/")
            if now - each.modified >= SETTLED and _is_ours(each, target) and _run_of(each) not in shielded
        ]
    for each in () if dry_run else leftovers:
        each.discard()
        log.info("swept", what=each.what, key=each.key, bytes=each.bytes)
    decisions = [
        replace(each, keep=True, reason=kept[each.run.id]) if each.run.id in kept else each for each in made.decisions
    ]
    return Pruning(
        target=target,
        store=store.url,
        rules=rules,
        plan=replace(made, decisions=tuple(decisions)),
        leftovers=tuple(leftovers),
        done=not dry_run,
    )


class Worth:
    """What stored runs are worth, read when it is asked for."""

    def __init__(self, store: Store, target: str, folders: Iterable[RunFolder]) -> None:
        self._catalog = Catalog(store)
        self._target = target
        self._folders = {folder.run.id: folder for folder in folders}
        self._known: dict[BackupId, Standing] = {}

    def standing(self, run: StoredRun) -> Standing:
        """By its manifest, what was accepted, whether all of it is there in full size, and its last drill."""
        if run.id not in self._known:
            self._known[run.id] = self._read(run)
        return self._known[run.id]

    def _read(self, run: StoredRun) -> Standing:
        try:
            backup = self._catalog.manifest(self._target, run.id)
        except (IntegrityFailed, ObjectMissing) as error:
            log.warning("this backup cannot be used", id=str(run.id), reason=error.message)
            return Standing.UNREADABLE
        objects = self._folders[run.id].objects
        volumes = (volume for part in backup.parts for volume in part.volumes)
        if any(volume.name not in objects or objects[volume.name].bytes != volume.bytes for volume in volumes):
            log.warning("objects of this backup are missing or cut", id=str(run.id))
            return Standing.DAMAGED
        drills = self._catalog.drills(self._target, run.id) if run.drilled else ()
        if drills and drills[-1].verdict in {"failed", "differs"}:
            return Standing.DISPROVED
        return standing_of(backup, accepted=ACCEPTED in objects)

    def objection(self, run: StoredRun) -> str:
        """Why a run should not go after all: it may be of a newer pgproof, or of somebody else."""
        if run.finished and self.standing(run) is Standing.UNREADABLE:
            return "its manifest cannot be read"
        if run.drilled and not self._catalog.are_drills_readable(self._target, run.id):
            return "the result of a drill cannot be read"
        return ""

    def is_proven(self, run: StoredRun) -> bool:
        """By its drills."""
        return prove(self._catalog.drills(self._target, run.id))


def _locked(store: Store, folder: RunFolder) -> str:
    """Until when the store itself keeps a run, where it does: what was added to a backup later may be kept longer.

    Else its manifest would go, and the rest of it stay.
    """
    if not store.may_lock:
        return ""
    found = []
    keys = folder.keys()
    for key in keys:
        with suppress(ObjectMissing):  # a shield that was taken away meanwhile
            found.append(store.stat(key).locked_until)
    until = max((each for each in found if each), default=None)
    return _told_lock(until) if until and until > datetime.now(UTC) else ""


def _told_lock(until: datetime | None) -> str:
    return f"locked until {until.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}" if until else "locked"


def _delete(store: Store, prefix: str, folder: RunFolder, clock: Clock) -> str:
    """Delete a run; why it is kept after all, where that has changed since, or the store does not let it go."""
    names = {stored.key.removeprefix(prefix) for stored in store.list(prefix)}
    if HOLD in names and folder.run.finished:
        return "held"
    if MANIFEST_NAME in names and not folder.run.finished:
        return "a copy of it has come to its end"
    shields = [prefix + name for name in names if name.startswith(f"{SHIELDS}/")]
    if any(is_held(store, shields, now=clock())):
        return "being read"
    keys = folder.keys()
    for number, key in enumerate(keys):
        try:
            store.delete(key)
        except ObjectLocked as error:
            if not number:
                return _told_lock(error.until)
            log.warning("a part of it stays", key=key, store=store.url, reason=error.message)
    log.info("deleted", id=str(folder.run.id), objects=len(keys), bytes=folder.run.bytes, store=store.url)
    return ""


def _run_of(leftover: Leftover) -> BackupId | None:
    """The run whose folder a leftover is in, if it is in one."""
    return BackupId.parse(leftover.key.partition("/")[2].partition("/")[0])


def _is_ours(leftover: Leftover, target: str) -> bool:
    """Whether pgproof began it: it is called as we call things, in the folder of a run or beside the lease."""
    first, _, name = leftover.key.removeprefix(f"{target}/").partition("/")
    if not name:
        return is_in_the_making(first)
    return _run_of(leftover) is not None and (is_ours(name) or is_in_the_making(name.rpartition("/")[2]))
