"""Find out before a backup what would keep it from being made, of the database and of the store.

Owns the probe of a store: objects under `.pgproof-doctor/`, where no target can be, which are always deleted.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import timedelta

from backup.domain.checks import Check, failed
from backup.domain.sizes import show_seconds, show_size
from backup.errors import AccessDenied, IntegrityFailed, Interrupted, ObjectMissing, PgproofError
from backup.logs import log
from backup.ports import Clock, Snapshot, Source, Store, StoredObject
from backup.signals import undisturbed
from backup.stream.readers import ByteReader, BytesReader, Hashed, drain

PROBE_PREFIX = ".pgproof-doctor/"
MULTIPART_BYTES = 12 << 20
"""More than one part of an upload at its default size of 5 MiB."""

_SMALL = 1 << 10
_BLOCK = 1 << 16
_LARGEST_SKEW = timedelta(minutes=5)
"""A guess: well below the 15 minutes at which S3 refuses requests, well above what a slow answer explains."""


def doctor(
    source: Source[Snapshot] | None, store: Store | None, clock: Clock, *, multipart_bytes: int = MULTIPART_BYTES
) -> Iterator[Check]:
    """Every check of what there is, as it is made; a failure is a finding, never raised."""
    if source is not None:
        try:
            yield from source.checks()
        except Interrupted:
            raise
        except PgproofError as error:
            yield failed("database", error)
    if store is not None:
        yield from store_checks(store, clock, multipart_bytes=multipart_bytes)


def preflight(source: Source[Snapshot]) -> tuple[str, ...]:
    """Make the source's checks, tell the warnings, and return the names of the checks that gave them.

    Their words stay in the log: they may name tables, and a manifest does not.

    Raises:
        PgproofError: of the first check that failed; with several, it says all of them, and all their hints.
    """
    checks = list(source.checks())
    fails = [check.to_error() for check in checks if check.verdict == "fail"]
    if len(fails) == 1:
        raise fails[0]
    if fails:
        details = [error.detail for error in fails if error.detail]
        hints = dict.fromkeys(error.hint for error in fails if error.hint)
        message = "; ".join(error.message for error in fails)
        raise type(fails[0])(message, detail="\n".join(details) or None, hint="\n".join(hints) or None)
    warnings = [check for check in checks if check.verdict == "warn"]
    for check in warnings:
        log.warning(check.message, check=check.name, hint=check.hint)
    return tuple(check.name for check in warnings)


def store_checks(store: Store, clock: Clock, *, multipart_bytes: int = MULTIPART_BYTES) -> Iterator[Check]:
    """Write, read back, list, write in several parts, compare clocks, delete; ended by a write that failed.

    Args:
        store: where backups are to live.
        clock: ours.
        multipart_bytes: size of an object that the store takes in more than one part.
    """
    with closing(_Probe(store, clock)) as probe:
        written = _found("store write", probe.write)
        yield written
        if written.verdict == "fail":
            return
        yield _found("store read", probe.read_back)
        yield _found("store list", probe.list)
        yield _found("store multipart", lambda: probe.multipart(multipart_bytes))
        yield probe.compare_clocks()
        yield probe.delete()


def _found(name: str, step: Callable[[], str]) -> Check:
    """What a step of the probe found: its message, or its failure."""
    try:
        return Check(name=name, verdict="ok", message=step())
    except Interrupted:
        raise
    except PgproofError as error:
        return failed(name, error)


class _Probe:
    """Objects of our own in a store."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._prefix = f"{PROBE_PREFIX}{secrets.token_hex(8)}/"
        self._content = secrets.token_bytes(_SMALL)
        self._keys: list[str] = []
        self._skew = timedelta(0)

    def write(self) -> str:
        """Write a small object."""
        begun = time.monotonic()
        stored = self._put("small", BytesReader(self._content))
        self._skew = stored.modified - self._clock()
        return f"{show_size(stored.bytes)} to {self._store.url} in {show_seconds(time.monotonic() - begun)}"

    def read_back(self) -> str:
        """Compare the small object with what was written. Raises IntegrityFailed where it is another."""
        expected = Hashed(BytesReader(self._content))
        drain(expected)
        self._compare(self._keys[0], expected)
        return "the same bytes"

    def list(self) -> str:
        """Find the small object among its neighbours. Raises IntegrityFailed where it is not."""
        listed = [each.key for each in self._store.list(self._prefix)]
        if listed != self._keys:
            raise IntegrityFailed(
                f"{self._store.url} lists {len(listed)} objects where 1 was just written",
                hint="pgproof needs a store that lists what it has just taken",
            )
        return "what was written is listed"

    def multipart(self, size: int) -> str:
        """Write an object in several parts and read it back. Raises IntegrityFailed where it is another."""
        begun = time.monotonic()
        sent = Hashed(_Noise(size))
        self._put("multipart", sent)
        written = time.monotonic()
        self._compare(self._keys[-1], sent)
        return (
            f"{show_size(size)} written in {show_seconds(written - begun)},"
            f" read in {show_seconds(time.monotonic() - written)}"
        )

    def compare_clocks(self) -> Check:
        """Whether the store's clock agrees with ours."""
        if abs(self._skew) <= _LARGEST_SKEW:
            return Check(name="store clock", verdict="ok", message="agrees with ours")
        ahead = "ahead of" if self._skew > timedelta(0) else "behind"
        return Check(
            name="store clock",
            verdict="warn",
            message=f"{show_seconds(abs(self._skew).total_seconds())} {ahead} ours",
            hint="set both by NTP: retention counts on times, and S3 refuses requests that are 15 minutes off",
        )

    def delete(self) -> Check:
        """Delete what was written; not to be allowed to is only a warning, a backup needs no deleting."""
        name = "store delete"
        try:
            for key in [*self._keys]:
                self._store.delete(key)
                self._expect_gone(key)
                self._keys.remove(key)
        except AccessDenied as error:
            return Check(
                name=name,
                verdict="warn",
                message=f"{error.message}; the probe stays in {self._prefix}",
                hint="backups can be made, but failed ones leave objects behind and old ones cannot be pruned",
                error=AccessDenied,
            )
        except Interrupted:
            raise
        except PgproofError as error:
            return failed(name, error)
        return Check(name=name, verdict="ok", message="nothing of the probe is left")

    def close(self) -> None:
        """Delete what is still there, as far as the store lets us."""
        with undisturbed():
            for key in self._keys:
                with suppress(PgproofError):
                    self._store.delete(key)

    def _put(self, name: str, data: ByteReader) -> StoredObject:
        key = self._prefix + name
        self._keys.append(key)
        return self._store.put(key, data)

    def _compare(self, key: str, expected: Hashed) -> None:
        with self._store.open(key) as reader:
            found = Hashed(reader)
            drain(found)
        if (found.bytes, found.sha256) != (expected.bytes, expected.sha256):
            raise IntegrityFailed(
                f"{self._store.url} gave back other bytes than it was given",
                detail=f"{found.bytes} bytes instead of {expected.bytes}" if found.bytes != expected.bytes else None,
                hint="this store cannot be trusted with a backup",
            )

    def _expect_gone(self, key: str) -> None:
        try:
            self._store.stat(key)
        except ObjectMissing:
            return
        raise IntegrityFailed(f"{self._store.url} still has an object that was deleted")


class _Noise:
    """Bytes that do not compress, and hardly any memory."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._block = secrets.token_bytes(_BLOCK)

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes."""
        piece = self._block[: min(size, self._left)]
        self._left -= len(piece)
        return piece
