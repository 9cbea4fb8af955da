"""What a store holds: the bucket is the catalog. Owns the keys of backups, and how one is found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from backup.domain.drill import DRILL_LIMIT, FOLDER, Drill, prove
from backup.domain.ids import AtOrBefore, BackupId, Latest, LatestProven, Reference
from backup.domain.manifest import MANIFEST_LIMIT, MANIFEST_NAME, Manifest, Part, Role
from backup.domain.marks import ACCEPTED, FAILED, HOLD, Mark
from backup.domain.proof import PROOF_LIMIT, Proof
from backup.domain.retention import Standing, standing_of
from backup.errors import IntegrityFailed, NotFound, ObjectMissing, UsageError
from backup.logs import log
from backup.ports import Store
from backup.stream.age import NO_KEYS, Keyring
from backup.stream.readers import ByteReader, drain, read_exactly
from backup.stream.volumes import StoredStream, WrittenVolume, decoded
from backup.workflow.listing import Listing, read_all
from backup.workflow.runs import read_mark, read_runs

_DEPTH = 3


@dataclass(frozen=True, slots=True)
class Catalog:
    """The backups in a store. Only manifests count: objects without one are no backup.

    Attributes:
        keys: with which encrypted ones are opened.
    """

    store: Store
    keys: Keyring = NO_KEYS

    def targets(self) -> tuple[str, ...]:
        """The targets that have a backup, in order."""
        return tuple(sorted({key.split("/")[0] for key in self._keys("") if _backup_of(key)}))

    def tried_targets(self) -> tuple[str, ...]:
        """The targets that have a backup, or of which a run has failed, in order."""
        steps = (key.split("/") for key in self._keys("") if _backup_of(key) or key.endswith(f"/{FAILED}"))
        return tuple(sorted({each[0] for each in steps if len(each) == _DEPTH and BackupId.parse(each[1])}))

    def only_target(self) -> str:
        """The target, where the store holds only one.

        Raises:
            NotFound: it holds none.
            UsageError: it holds several; they are listed.
        """
        targets = self.targets()
        if not targets:
            raise NotFound(f"no backup in {self.store.url}", hint="pgproof backup makes one")
        if len(targets) > 1:
            raise UsageError(
                f"{self.store.url} holds {len(targets)} targets: {', '.join(targets)}", hint="choose one: --target NAME"
            )
        return targets[0]

    def listing(self, target: str, *, limit: int = 0) -> Listing:
        """Backups of a target, oldest first, and what is said of them: all, or only the `limit` newest."""
        return self._listing(target, list(self._keys(f"{target}/")), limit)

    def listings(self, *, limit: int = 0) -> list[Listing]:
        """The same of every target that has a backup, by their names; the store is listed once."""
        keys: dict[str, list[str]] = {}
        for key in self._keys(""):
            keys.setdefault(key.split("/")[0], []).append(key)
        return [self._listing(name, keys[name], limit) for name in sorted(keys) if any(map(_backup_of, keys[name]))]

    def _listing(self, target: str, keys: Sequence[str], limit: int) -> Listing:
        manifests = sorted((backup, key) for key in keys if (backup := _backup_of(key)))
        older = max(len(manifests) - limit, 0) if limit else 0
        wanted = [key for _, key in manifests[older:]]
        ids = {_id_in(key) for key in wanted}
        backups = []
        unreadable = []
        for key, manifest in read_all(wanted, self._read_manifest):
            if isinstance(manifest, IntegrityFailed):
                unreadable.append((_id_in(key), manifest))
            else:
                backups.append(manifest)
        drills: dict[str, list[Drill]] = {}
        tried = [key for key in keys if _is_drill(key) and _id_in(key) in ids]
        for key, drill in read_all(tried, self._read_drill):
            if isinstance(drill, IntegrityFailed):
                log.warning("passed over", object=key, reason=drill.message)
            else:
                drills.setdefault(_id_in(key), []).append(drill)
        marked = {
            name: {_id_in(key) for key in keys if key.count("/") == _DEPTH - 1 and key.endswith(f"/{name}")}
            for name in (ACCEPTED, HOLD, FAILED)
        }
        return Listing(
            target=target,
            backups=tuple(backups),
            unreadable=tuple(unreadable),
            drills={each: tuple(sorted(found, key=lambda drill: drill.time)) for each, found in drills.items()},
            accepted=frozenset(marked[ACCEPTED]),
            held=frozenset(marked[HOLD]),
            failed=self._last_failure(target, marked[FAILED], {backup for backup, _ in manifests}),
            older=older,
        )

    def _last_failure(self, target: str, failed: set[str], backups: set[BackupId]) -> tuple[BackupId, Mark] | None:
        """The newest run that failed, where it is newer than every backup, be it readable or not."""
        ids = {parsed for name in failed if (parsed := BackupId.parse(name))} - backups
        if not ids or (newest := max(ids)) < max(backups, default=newest):
            return None
        try:
            mark = read_mark(self.store, f"{target}/{newest}/{FAILED}")
        except IntegrityFailed:
            mark = Mark(time=newest.started, text="its note of why cannot be read")
        return (newest, mark) if mark else None

    def manifest(self, target: str, backup_id: BackupId) -> Manifest:
        """The manifest of a backup. Raises ObjectMissing where there is none, IntegrityFailed where it is damaged."""
        return self._read_manifest(f"{target}/{backup_id}/{MANIFEST_NAME}")

    def drills(self, target: str, backup_id: BackupId | str) -> tuple[Drill, ...]:
        """The drills of one backup, oldest first."""
        found = []
        for result in self._drill_results(target, backup_id):
            if isinstance(result, Drill):
                found.append(result)
            else:
                log.warning("passed over", reason=result.message)
        return tuple(sorted(found, key=lambda drill: drill.time))

    def newest_proven(self, target: str, *, now: datetime) -> Manifest | None:
        """The newest complete backup that a drill has proven, of which alone the manifest is read."""
        for folder in sorted(read_runs(self.store, target, now=now), key=lambda each: each.run.id, reverse=True):
            run = folder.run
            if run.finished and run.drilled and prove(self.drills(target, run.id)):
                found = self.manifest(target, run.id)
                if standing_of(found, accepted=ACCEPTED in folder.objects) is Standing.COMPLETE:
                    return found
        return None

    def are_drills_readable(self, target: str, backup_id: BackupId) -> bool:
        """Whether each result of a drill of a backup can be read."""
        return all(isinstance(result, Drill) for result in self._drill_results(target, backup_id))

    def _drill_results(self, target: str, backup_id: BackupId | str) -> Iterator[Drill | IntegrityFailed]:
        """The drills of one backup by their keys, and in the place of one that cannot be read the reason."""
        keys = [key for key in self._keys(f"{target}/{backup_id}/{FOLDER}/") if _is_drill(key)]
        yield from (result for _, result in read_all(keys, self._read_drill))

    def proof_of(self, backup: Manifest) -> Proof | None:
        """What its snapshot held; None where that was not kept.

        Raises:
            ConfigurationError: it is encrypted, and no key opens it.
            IntegrityFailed: it is damaged, or larger than any proof.
        """
        parts = backup.parts_of(Role.PROOF)
        if not parts:
            return None
        where = f"{backup.target}/{backup.id}"
        self.require_key(backup)
        with self.open_part(backup, parts[0]) as stored, self.decoded(parts[0], stored) as content:
            data = read_exactly(content, PROOF_LIMIT)
            drain(content)
            drain(stored)
        return Proof.from_json(data, where=where)

    def find(self, target: str, reference: Reference) -> Manifest:
        """The backup that a reference means.

        Raises:
            NotFound: there is none.
            IntegrityFailed: its manifest cannot be read.
        """
        if isinstance(reference, BackupId):
            try:
                return self.manifest(target, reference)
            except ObjectMissing as error:
                raise NotFound(
                    f"no backup {reference} of {target} in {self.store.url}", hint="pgproof list shows what there is"
                ) from error
        listing = self.listing(target)
        found = [backup for backup in listing.backups if _means(reference, backup, listing)]
        if found:
            _warn_of_newer(listing, reference, found[-1])
            _warn_of_lesser(listing, found[-1])
            return found[-1]
        if listing.unreadable:
            raise listing.unreadable[-1][1]
        when = f" at or before {reference.moment:%Y-%m-%dT%H:%M:%SZ}" if isinstance(reference, AtOrBefore) else ""
        if isinstance(reference, LatestProven) and listing.backups:
            raise NotFound(
                f"none of the {len(listing.backups)} backups of {target} in {self.store.url} is proven",
                hint="pgproof drill latest proves one",
            )
        raise NotFound(
            f"no{' complete' * bool(listing.backups)} backup of {target}{when} in {self.store.url}",
            hint=_others(listing, reference) if listing.backups else self._other_targets(target),
        )

    def open_part(self, backup: Manifest, part: Part) -> AbstractContextManager[StoredStream]:
        """The stored bytes of a part, checked."""
        volumes = [WrittenVolume(name=v.name, bytes=v.bytes, sha256=v.sha256) for v in part.volumes]
        return StoredStream(volumes, partial(open_beside, self.store, f"{backup.target}/{backup.id}/"))

    def decoded(self, part: Part, stored: ByteReader) -> AbstractContextManager[ByteReader]:
        """A part as the engine made it, its size checked."""
        keys = self.keys if part.encryption else None
        return decoded(stored, name=part.name, compression=part.compression, raw_bytes=part.raw_bytes, keys=keys)

    def require_key(self, backup: Manifest) -> None:
        """See to it that a backup can be opened. Raises ConfigurationError where it cannot; nothing is read of it."""
        self.keys.require(backup.recipients, what=f"the backup {backup.id}")

    def _keys(self, prefix: str) -> Iterator[str]:
        return (stored.key for stored in self.store.list(prefix))

    def _read_drill(self, key: str) -> Drill:
        with self.store.open(key) as reader:
            return Drill.from_json(read_exactly(reader, DRILL_LIMIT), where=key)

    def _read_manifest(self, key: str) -> Manifest:
        """The manifest under a key. The key says whose it is: a folder may have been renamed since it was written."""
        with self.store.open(key) as reader:
            found = Manifest.from_json(read_exactly(reader, MANIFEST_LIMIT), where=key)
        target, backup_id, _ = key.split("/")
        return replace(found, target=target, id=backup_id)

    def _other_targets(self, target: str) -> str:
        others = [name for name in self.targets() if name != target]
        return f"there are backups of {', '.join(others)}" if others else "pgproof backup makes one"


def open_beside(store: Store, prefix: str, name: str) -> AbstractContextManager[ByteReader]:
    """An object by its name in the folder of a run."""
    return store.open(prefix + name)


def _backup_of(key: str) -> BackupId | None:
    """Whose manifest is under a key; None where something else is."""
    steps = key.split("/")
    return BackupId.parse(steps[1]) if len(steps) == _DEPTH and steps[2] == MANIFEST_NAME else None


def _is_drill(key: str) -> bool:
    steps = key.split("/")
    return len(steps) == _DEPTH + 1 and steps[2] == FOLDER and key.endswith(".json")


def _id_in(key: str) -> str:
    return key.split("/")[1]


def _means(reference: Latest | LatestProven | AtOrBefore, backup: Manifest, listing: Listing) -> bool:
    """Whether it may be the one; what a restore saved, and what is not complete, is meant by its id alone."""
    if not listing.is_complete(backup):
        return False
    if isinstance(reference, LatestProven):
        return listing.is_proven(backup)
    return isinstance(reference, Latest) or backup.snapshot.time <= reference.moment


def _others(listing: Listing, reference: Latest | LatestProven | AtOrBefore) -> str:
    """What there is where nothing complete is meant: the newest that an id alone means."""
    moment = reference.moment if isinstance(reference, AtOrBefore) else None
    lesser = [each for each in listing.backups if moment is None or each.snapshot.time <= moment]
    said = "pgproof list shows what there is"
    return f"{said}; {lesser[-1].id} ({listing.standing(lesser[-1])}) is meant by its id alone" if lesser else said


def _warn_of_newer(listing: Listing, reference: Latest | LatestProven | AtOrBefore, found: Manifest) -> None:
    """Say which backups would have been meant rather than `found`, if they could be read."""
    names = [
        name
        for name, _ in listing.unreadable
        if (parsed := BackupId.parse(name))
        and parsed > found.age
        and (not isinstance(reference, AtOrBefore) or parsed.started <= reference.moment)
    ]
    if names:
        log.warning("passed over newer backups, their manifests cannot be read", ids=", ".join(names), found=found.id)


def _warn_of_lesser(listing: Listing, found: Manifest) -> None:
    """Say which newer backups are not meant, because they are not complete."""
    for backup in listing.backups:
        if backup.age > found.age and backup.purpose == "backup" and not listing.is_complete(backup):
            log.warning("passed over a newer backup", id=backup.id, status=backup.status.value, found=found.id)
