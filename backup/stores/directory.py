"""Backups in a directory: a key is a path below its root.

Owns how a file becomes durable and visible at once: temporary name, fsync, rename, fsync of the folder. Files in
the making are removed on failure, and never listed. Only regular files are objects: a pipe, a link that leads
nowhere or in a circle, or another thing that somebody put there is none. Must not follow a key out of the root.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Literal

from backup.domain.ids import BackupId, check_target
from backup.errors import (
    AccessDenied,
    ObjectExists,
    ObjectMissing,
    PgproofError,
    StoreMissing,
    StoreUnreachable,
    UsageError,
)
from backup.logs import log
from backup.ports import Leftover, StoredObject
from backup.signals import undisturbed
from backup.stores.keys import PARTIAL, check_key, check_prefix
from backup.stream.readers import READ_SIZE, ByteReader

_FILE_MODE = 0o640
_FOLDER_MODE = 0o750

_SYNC_EVERY = 64 << 20
"""Bytes written between two syncs, so that the last one does not have to wait for gigabytes. A guess."""

_MAKE_TRIES = 5
"""How often a folder is made again that a concurrent delete removes as empty. A guess."""

_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


class DirectoryStore:
    """A ports.Store in the folder `path`, which the first put makes where its parent exists."""

    def __init__(self, path: Path) -> None:
        self._root = path

    @property
    def url(self) -> str:
        """The path."""
        return str(self._root)

    @property
    def may_lock(self) -> bool:
        """A folder keeps nothing against the will of its owner."""
        return False

    def put(self, key: str, data: ByteReader, /, *, new: bool = False) -> StoredObject:
        """See ports.Store."""
        path = self._path(key)
        self._require_root()
        made = path.with_name(PARTIAL + uuid.uuid4().hex)
        try:
            with self._create(made) as file:
                _fill(file.fileno(), data, made)
            with _translated(path):
                if new:
                    _link(made, path)
                else:
                    made.replace(path)
                self._sync_folders(path.parent)
        except BaseException:
            with undisturbed():
                self._remove(made)
            raise
        return self.stat(key)

    @contextmanager
    def open(self, key: str, /) -> Iterator[ByteReader]:
        """See ports.Store. Who reads keeps the file that he opened, even while it is replaced."""
        path = self._path(key)
        self._require_root()
        try:
            with _translated(path, to="read"):
                file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe would wait for its writer
        except StoreUnreachable as error:
            raise _missing(key, self.url, error) from error.__cause__
        try:
            with _translated(path, to="read"):
                found = os.fstat(file)
            self._require_regular(key, found)
            yield _FileReader(file, path)
        finally:
            os.close(file)

    def stat(self, key: str, /) -> StoredObject:
        """See ports.Store."""
        path = self._path(key)
        self._require_root()
        try:
            with _translated(path, to="read"):
                found = path.stat()
        except StoreUnreachable as error:
            raise _missing(key, self.url, error) from error.__cause__
        self._require_regular(key, found)
        return _described(key, found)

    def list(self, prefix: str, /) -> Iterator[StoredObject]:
        """See ports.Store."""
        check_prefix(prefix)
        self._require_root()
        yield from self._walk("", prefix)

    def delete(self, key: str, /) -> None:
        """See ports.Store. Folders that became empty go with it, up to the root."""
        path = self._path(key)
        self._require_root()
        with _translated(path), contextlib.suppress(*_ABSENT):
            if path.is_dir():
                return
            path.unlink()
            _sync_folder(path.parent)
        self._remove_empty(path.parent)

    def leftovers(self, prefix: str, /) -> Iterator[Leftover]:
        """See ports.Store: files in the making, whose names do not tell what they should have become."""
        check_prefix(prefix)
        self._require_root()
        folder = self._root / prefix.rpartition("/")[0]
        for path in sorted(folder.rglob(f"{PARTIAL}*")):
            with contextlib.suppress(*_ABSENT), _translated(path, to="read"):
                found = path.lstat()
                if stat.S_ISREG(found.st_mode):
                    yield Leftover(
                        key=path.relative_to(self._root).as_posix(),
                        what="file in the making",
                        bytes=found.st_size,
                        modified=datetime.fromtimestamp(found.st_mtime, UTC),
                        discard=partial(self._discard, path),
                    )

    def _discard(self, path: Path) -> None:
        with _translated(path):
            path.unlink(missing_ok=True)
        self._remove_empty(path.parent)

    def _path(self, key: str) -> Path:
        return self._root / check_key(key)

    def _require_regular(self, key: str, found: os.stat_result) -> None:
        if not stat.S_ISREG(found.st_mode):
            raise ObjectMissing(f"{key} is not in {self.url}")

    def _require_root(self) -> None:
        """Tell a folder that is not made yet from one whose disk is not there."""
        with _translated(self._root, to="read"):
            try:
                is_folder = stat.S_ISDIR(self._root.stat().st_mode)  # one question: another thread may be making it
            except FileNotFoundError:
                if not self._root.parent.is_dir():
                    raise StoreMissing(
                        f"there is no directory {self._root.parent} to keep backups in",
                        hint="create it, or mount the disk that should be there",
                    ) from None
                return
        if not is_folder:
            raise StoreMissing(f"{self._root} is not a directory")

    def _create(self, partial: Path) -> _Writable:
        with _translated(partial.parent):
            for _ in range(_MAKE_TRIES):
                self._make_folders(partial.parent)
                with contextlib.suppress(FileNotFoundError):
                    return _Writable(partial)
        raise StoreUnreachable(f"{partial.parent} is removed by somebody as often as it is made")

    def _make_folders(self, folder: Path) -> None:
        for step in [*reversed([f for f in folder.parents if f.is_relative_to(self._root)]), folder]:
            with contextlib.suppress(FileExistsError, FileNotFoundError):
                step.mkdir(_FOLDER_MODE)
                if step == self._root:
                    log.info("store folder made", path=self.url)

    def _sync_folders(self, folder: Path) -> None:
        while folder != self._root:
            _sync_folder(folder)
            folder = folder.parent
        _sync_folder(self._root)
        with contextlib.suppress(PermissionError):  # the parent of the root need not be ours to read
            _sync_folder(self._root.parent)

    def _remove(self, partial: Path) -> None:
        with contextlib.suppress(OSError):  # what is told is why there is something to remove
            partial.unlink(missing_ok=True)
        self._remove_empty(partial.parent)

    def _remove_empty(self, folder: Path) -> None:
        with contextlib.suppress(OSError):  # not empty, or gone already
            while folder != self._root:
                folder.rmdir()
                folder = folder.parent

    def _walk(
        self, folder: str, prefix: str, above: frozenset[tuple[int, int]] = frozenset()
    ) -> Iterator[StoredObject]:
        """All objects below `folder` (empty, or ending in a slash); a folder sorts as its name with the slash.

        A closed folder that cannot be of a target or a backup is the file system's own, such as `lost+found`, and
        has none. Nor has a link to a folder that it is in itself: `above` are the marks of those.
        """
        path = self._root / folder
        try:
            with _translated(path, to="read"), os.scandir(path) as entries:
                found = path.stat()
                names = sorted(name for entry in entries if (name := _step(folder, entry)))
        except StoreUnreachable as error:
            if _is_absent(error.__cause__):
                return
            raise
        except AccessDenied:
            if folder and not _may_be_ours(folder.rstrip("/")):
                return
            raise
        mark = (found.st_dev, found.st_ino)
        if mark in above:
            return
        for key in (folder + name for name in names):
            if key.endswith("/"):
                if key.startswith(prefix) or prefix.startswith(key):
                    yield from self._walk(key, prefix, above | {mark})
            elif key.startswith(prefix):
                with contextlib.suppress(ObjectMissing):  # deleted since the folder was read
                    yield self.stat(key)


class _Writable(AbstractContextManager["_Writable"]):
    """A new file that is open for writing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE)

    def __exit__(self, *exc: object) -> None:
        with _translated(self._path):
            os.close(self._file)

    def fileno(self) -> int:
        return self._file


class _FileReader:
    """An open file as a ByteReader."""

    def __init__(self, file: int, path: Path) -> None:
        self._file = file
        self._path = path

    def read(self, size: int, /) -> bytes:
        with _translated(self._path, to="read"):
            return os.read(self._file, size)


def _fill(file: int, data: ByteReader, path: Path) -> None:
    """Write all of `data`, and do not return before the disk has it. Only our own errors are translated."""
    unsynced = 0
    while piece := data.read(READ_SIZE):
        view = memoryview(piece)
        with _translated(path):
            while view:
                view = view[os.write(file, view) :]
            unsynced += len(piece)
            if unsynced >= _SYNC_EVERY:
                os.fdatasync(file)
                unsynced = 0
    with _translated(path):
        os.fsync(file)


def _link(made: Path, path: Path) -> None:
    """Give a file that was made its name, unless another has it."""
    try:
        path.hardlink_to(made)
    except FileExistsError as error:
        raise ObjectExists(f"{path} is there already") from error
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if path.exists():  # this disk knows no links: the best that it can do
            raise ObjectExists(f"{path} is there already") from error
        made.replace(path)
    else:
        made.unlink()


def _sync_folder(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _is_visible(name: str) -> bool:
    """Whether a file's name can be a step of a key: not one in the making, and text."""
    return not name.startswith(PARTIAL) and name == os.fsencode(name).decode(errors="replace")


def _step(folder: str, entry: os.DirEntry[str]) -> str | None:
    """The name of an entry of `folder`, with a slash for a folder; None for what is neither that nor an object."""
    if not _is_visible(entry.name):
        return None
    try:
        return f"{entry.name}/" if entry.is_dir() else entry.name if entry.is_file() else None
    except OSError as error:  # a link, to what cannot be looked at
        if _is_absent(error) or not _may_be_ours(folder + entry.name):
            return None
        raise


def _may_be_ours(path: str) -> bool:
    """Whether it can be the folder of a target or of a backup, or be in one."""
    target, _, rest = path.partition("/")
    try:
        check_target(target)
    except UsageError:
        return False
    return not rest or BackupId.parse(rest.partition("/")[0]) is not None


def _is_absent(error: BaseException | None) -> bool:
    """Whether nothing is there: also at the end of a link that leads in a circle."""
    return isinstance(error, _ABSENT) or (isinstance(error, OSError) and error.errno == errno.ELOOP)


def _described(key: str, found: os.stat_result) -> StoredObject:
    """A new inode and a new time for each put: together they change with the content."""
    return StoredObject(
        key=key,
        bytes=found.st_size,
        etag=f"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_size:x}",
        modified=datetime.fromtimestamp(found.st_mtime, UTC),
    )


def _missing(key: str, url: str, error: StoreUnreachable) -> PgproofError:
    """What a failure to open an object means: that it is missing, where that was the reason."""
    return ObjectMissing(f"{key} is not in {url}") if _is_absent(error.__cause__) else error


@contextmanager
def _translated(path: Path, *, to: Literal["read", "write"] = "write") -> Iterator[None]:
    """The operating system's errors as ours; `to` is what was tried."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        if error.errno in _REFUSED:
            hint = f"give the user that runs pgproof the right to {to} there"
            raise AccessDenied(f"{path}: {reason.lower()}", hint=hint) from error
        if error.errno in _FULL:
            hint = f"make room on the disk of {path.parent}, or raise the quota or the limit on file sizes"
            raise StoreUnreachable(f"no space for {path}: {reason.lower()}", hint=hint) from error
        raise StoreUnreachable(f"{path}: {reason.lower()}") from error


def room_of(path: Path) -> tuple[int, int] | None:
    """Free bytes and all bytes of the disk that a folder is on; None where it does not tell."""
    try:
        usage = shutil.disk_usage(path)
    except OSError:
        return None
    return usage.free, usage.total
