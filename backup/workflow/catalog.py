"""What a store holds: the bucket is the catalog. Owns the keys of backups, and how one is found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial

from backup.domain.ids import AtOrBefore, BackupId, Latest, Reference
from backup.domain.manifest import MANIFEST_LIMIT, MANIFEST_NAME, Manifest, Part, Role
from backup.errors import IntegrityFailed, NotFound, ObjectMissing, UsageError
from backup.logs import log
from backup.ports import Store
from backup.stream.readers import ByteReader, read_exactly
from backup.stream.volumes import StoredStream, WrittenVolume, decoded

_DEPTH = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The backups of a target, oldest first, and those whose manifest cannot be read, with the reason."""

    backups: tuple[Manifest, ...]
    unreadable: tuple[tuple[str, IntegrityFailed], ...]


@dataclass(frozen=True, slots=True)
class Catalog:
    """The backups in a store. Only manifests count: objects without one are no backup."""

    store: Store

    def targets(self) -> tuple[str, ...]:
        """The targets that have a backup, in order."""
        return tuple(sorted({key.split("/")[0] for key in self._manifest_keys("")}))

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

    def listing(self, target: str) -> Listing:
        """All backups of a target, oldest first."""
        backups = []
        unreadable = []
        for key in self._manifest_keys(f"{target}/"):
            try:
                backups.append(self._read_manifest(key))
            except ObjectMissing:
                continue  # deleted by somebody since it was listed
            except IntegrityFailed as error:
                unreadable.append((key.split("/")[1], error))
        return Listing(backups=tuple(sorted(backups, key=_age)), unreadable=tuple(unreadable))

    def find(self, target: str, reference: Reference) -> Manifest:
        """The backup that a reference means.

        Raises:
            NotFound: there is none.
            IntegrityFailed: its manifest cannot be read.
        """
        if isinstance(reference, BackupId):
            try:
                return self._read_manifest(f"{target}/{reference}/{MANIFEST_NAME}")
            except ObjectMissing as error:
                raise NotFound(
                    f"no backup {reference} of {target} in {self.store.url}", hint="pgproof list shows what there is"
                ) from error
        listing = self.listing(target)
        found = [backup for backup in listing.backups if _means(reference, backup)]
        if found:
            _warn_of_newer(listing, reference, found[-1])
            return found[-1]
        if listing.unreadable:
            raise listing.unreadable[-1][1]
        when = f" at or before {reference.moment:%Y-%m-%dT%H:%M:%SZ}" if isinstance(reference, AtOrBefore) else ""
        raise NotFound(
            f"no backup of {target}{when} in {self.store.url}",
            hint="pgproof list shows what there is" if listing.backups else self._other_targets(target),
        )

    def open_part(self, backup: Manifest, part: Part) -> AbstractContextManager[StoredStream]:
        """The stored bytes of a part, checked."""
        volumes = [WrittenVolume(name=v.name, bytes=v.bytes, sha256=v.sha256) for v in part.volumes]
        return StoredStream(volumes, partial(_open, self.store, f"{backup.target}/{backup.id}/"))

    def _manifest_keys(self, prefix: str) -> Iterator[str]:
        for stored in self.store.list(prefix):
            steps = stored.key.split("/")
            if len(steps) == _DEPTH and steps[2] == MANIFEST_NAME and BackupId.parse(steps[1]):
                yield stored.key

    def _read_manifest(self, key: str) -> Manifest:
        """The manifest under a key. The key says whose it is: a folder may have been renamed since it was written."""
        with self.store.open(key) as reader:
            found = Manifest.from_json(read_exactly(reader, MANIFEST_LIMIT), where=key)
        target, backup_id, _ = key.split("/")
        return replace(found, target=target, id=backup_id)

    def _other_targets(self, target: str) -> str:
        others = [name for name in self.targets() if name != target]
        return f"there are backups of {', '.join(others)}" if others else "pgproof backup makes one"


def dump_of(backup: Manifest) -> Part:
    """The dump of a backup. Raises IntegrityFailed where it has none, or several."""
    dumps = backup.parts_of(Role.DUMP)
    if len(dumps) != 1:
        raise IntegrityFailed(
            f"backup {backup.id} has {len(dumps)} dump parts, this pgproof restores one", hint="use a newer pgproof"
        )
    return dumps[0]


def decode_part(part: Part, stored: ByteReader) -> ByteReader:
    """A part as the engine made it, its size checked."""
    return decoded(stored, name=part.name, compression=part.compression, raw_bytes=part.raw_bytes)


def _open(store: Store, prefix: str, name: str) -> AbstractContextManager[ByteReader]:
    return store.open(prefix + name)


def _means(reference: Latest | AtOrBefore, backup: Manifest) -> bool:
    """Whether it may be the one; what a restore saved before it overwrote something is meant by its id alone."""
    if backup.purpose == "safety":
        return False
    return isinstance(reference, Latest) or backup.snapshot.time <= reference.moment


def _warn_of_newer(listing: Listing, reference: Latest | AtOrBefore, found: Manifest) -> None:
    """Say which backups would have been meant rather than `found`, if they could be read."""
    names = [
        name
        for name, _ in listing.unreadable
        if (parsed := BackupId.parse(name))
        and (
            (parsed.started, parsed.number) > _age(found)
            and (isinstance(reference, Latest) or parsed.started <= reference.moment)
        )
    ]
    if names:
        log.warning("passed over newer backups, their manifests cannot be read", ids=", ".join(names), found=found.id)


def _age(backup: Manifest) -> tuple[object, ...]:
    parsed = BackupId.parse(backup.id)
    return (parsed.started, parsed.number) if parsed else (backup.started, 0)
