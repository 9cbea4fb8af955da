"""One object on its way into a bucket: whole, or in parts of which a few are under way at a time.

Owns that a put that fails leaves nothing. The SDK's own `put_object` is not used for long streams: it copies
every part twice, learns of a failed part only at the end, and parts that its threads still send may arrive
after it has aborted the upload, which the server then keeps (and bills) for ever.
"""

from __future__ import annotations

import itertools
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import TypeVar

from minio import Minio
from minio.datatypes import Part
from minio.datatypes import Upload as ListedUpload
from minio.error import S3Error, ServerError
from minio.helpers import DictType
from urllib3.exceptions import MaxRetryError

from backup.errors import AccessDenied, IntegrityFailed, ObjectExists, PgproofError
from backup.signals import undisturbed
from backup.stores.addresses import Patience, S3Address
from backup.stores.s3_errors import Foreign, is_transient, translate, translated
from backup.stream.readers import ByteReader, read_exactly

_MARK = "x-amz-meta-pgproof-upload"
"""A header kept with the object, by which a put knows the object that it made itself."""

_SWEEPS = 3
"""How often a key's unfinished uploads are listed and aborted until there are none. A guess."""

_SERVER_FAULT = 500
_EXISTS = {"PreconditionFailed", "ConditionalRequestConflict"}
_NO_CONDITIONS = {"NotImplemented", "InvalidArgument"}
"""What servers answer that do not know If-None-Match on a PUT."""
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What an upload gave to the server, and the ETag that it got back."""

    bytes: int
    etag: str | None


class _Calls:
    """The multipart calls of the SDK for one key.

    They are private there, which is why pyproject.toml holds minio below 8; nothing else may use them. The public
    alternative is `put_object`, and what is wrong with that is said above.
    """

    def __init__(self, client: Minio, bucket: str, name: str, headers: Mapping[str, str]) -> None:
        self._client = client
        self._bucket = bucket
        self._name = name
        self._headers = headers

    def create(self, mark: str) -> str:
        headers: DictType = {**self._headers, _MARK: mark}
        return self._client._create_multipart_upload(self._bucket, self._name, headers)  # noqa: SLF001 - see the class

    def upload(self, upload_id: str, number: int, data: bytes) -> Part:
        etag = self._client._upload_part(self._bucket, self._name, data, None, upload_id, number)  # noqa: SLF001 - see the class
        return Part(number, etag)

    def complete(self, upload_id: str, parts: list[Part]) -> str:
        """The ETag of the object. A server may say 200 first and then find that it failed."""
        result = self._client._complete_multipart_upload(self._bucket, self._name, upload_id, parts)  # noqa: SLF001 - see the class
        if not result.etag:
            raise ServerError("the upload could not be completed; HTTP status code 500", _SERVER_FAULT)
        return result.etag

    def abort(self, upload_id: str) -> None:
        abort(self._client, self._bucket, self._name, upload_id)

    def unfinished(self) -> list[str]:
        found = all_unfinished(self._client, self._bucket, self._name)
        return [u.upload_id for u in found if u.object_name == self._name and u.upload_id]

    def whole(self, data: bytes, mark: str, *, new: bool) -> str:
        headers: DictType = {"Content-Type": "application/octet-stream", **self._headers, _MARK: mark}
        if new:
            headers["If-None-Match"] = "*"
        result = self._client._put_object(self._bucket, self._name, data, headers)  # noqa: SLF001 - see the class
        return result.etag or ""

    def mark(self) -> str | None:
        """Who made the object that is there now; None where there is none."""
        try:
            found = self._client.stat_object(self._bucket, self._name)
        except S3Error as error:
            if error.code == "NoSuchKey":
                return None
            raise
        return (found.metadata or {}).get(_MARK, "")


def all_unfinished(client: Minio, bucket: str, prefix: str) -> Iterator[ListedUpload]:
    """The uploads of a bucket under a prefix that are neither completed nor aborted."""
    key_marker = id_marker = None
    while True:
        found = client._list_multipart_uploads(  # noqa: SLF001 - see _Calls
            bucket, prefix=prefix, key_marker=key_marker, upload_id_marker=id_marker
        )
        yield from found.uploads
        if not found.is_truncated:
            return
        key_marker, id_marker = found.next_key_marker, found.next_upload_id_marker


def abort(client: Minio, bucket: str, name: str, upload_id: str) -> None:
    """End an upload, and let go of its parts."""
    client._abort_multipart_upload(bucket, name, upload_id)  # noqa: SLF001 - see _Calls


class Upload:
    """Puts one stream under one key. All requests run on threads of its own, so that it can wait for their end.

    Args:
        parallel: parts of it under way at a time.
        slots: each is one part under way, of this put or of others at the same time.
    """

    def __init__(
        self,
        client: Minio,
        address: S3Address,
        key: str,
        name: str,
        *,
        part_size: int,
        parallel: int,
        slots: BoundedSemaphore,
        patience: Patience,
        headers: Mapping[str, str],
        new: bool,
        remove: Callable[[], None],
    ) -> None:
        self._remove = remove
        self._calls = _Calls(client, address.bucket, name, headers)
        self._new = new
        self._address = address
        self._key = key
        self._part_size = part_size
        self._parallel = parallel
        self._slots = slots
        self._patience = patience
        self._mark = uuid.uuid4().hex
        self._upload_id: str | None = None

    def run(self, data: ByteReader, check: Callable[[Written], _T]) -> _T:
        """Read `data` to its end, store it, and let `check` look at what the store then has.

        Whatever is raised, by `data`, the server, `check` or a signal, is raised again when nothing is left.
        """
        ahead = self._read_ahead(data)
        in_parts = len(ahead) > 1
        pool = ThreadPoolExecutor(self._parallel, thread_name_prefix="upload")
        try:
            written = self._in_parts(pool, ahead, data) if in_parts else self._whole(pool, ahead.popleft())
            return check(written)
        except BaseException as error:
            with undisturbed():
                pool.shutdown(wait=True, cancel_futures=True)
                self._clean(error, in_parts=in_parts)
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _read_ahead(self, data: ByteReader) -> deque[bytes]:
        """The first part, and the second where there is one: only then is it known how to upload."""
        ahead = deque([read_exactly(data, self._part_size)])
        if len(ahead[0]) == self._part_size and (second := read_exactly(data, self._part_size)):
            ahead.append(second)
        return ahead

    def _whole(self, pool: ThreadPoolExecutor, data: bytes) -> Written:
        if self._new:
            return Written(bytes=len(data), etag=pool.submit(self._as_new, data).result())
        with translated(self._address, self._key):
            return Written(bytes=len(data), etag=pool.submit(self._put, data, new=False).result())

    def _put(self, data: bytes, *, new: bool) -> str:
        return self._calls.whole(data, self._mark, new=new)

    def _as_new(self, data: bytes) -> str | None:
        """Store it where there is nothing; a server that knows no conditions is asked first."""
        with translated(self._address, self._key):
            try:
                return self._put(data, new=True)
            except S3Error as error:
                if error.code in _EXISTS:
                    if self._calls.mark() == self._mark:  # the answer to the first try was lost
                        return None
                    raise ObjectExists(f"{self._key} is in {self._address.url} already") from error
                if error.code not in _NO_CONDITIONS:
                    raise
            self._refuse_other()
            return self._put(data, new=False)

    def _refuse_other(self) -> None:
        if self._calls.mark() is not None:
            raise ObjectExists(f"{self._key} is in {self._address.url} already")

    def _in_parts(self, pool: ThreadPoolExecutor, ahead: deque[bytes], rest: ByteReader) -> Written:
        with translated(self._address, self._key):
            if self._new:  # conditions are for small objects; this one is none
                pool.submit(self._refuse_other).result()
            upload_id = pool.submit(self._create).result()
        pending: set[Future[Part]] = set()
        parts: list[Part] = []
        size = 0
        for number in itertools.count(1):
            piece = ahead.popleft() if ahead else read_exactly(rest, self._part_size)
            if not piece:
                break
            size += len(piece)
            self._slots.acquire()  # of all puts of the store
            sent = pool.submit(self._calls.upload, upload_id, number, piece)
            sent.add_done_callback(lambda _sent: self._slots.release())
            pending.add(sent)
            del piece, sent  # so that it goes when it is sent, not when the next one is read
            pending = self._collect(pending, parts, at_most=self._parallel - 1)
        self._collect(pending, parts, at_most=0)
        parts.sort(key=lambda part: part.part_number)
        with translated(self._address, self._key):
            etag = pool.submit(self._complete, upload_id, parts).result()
        return Written(bytes=size, etag=etag)

    def _create(self) -> str:
        """Begin an upload, and end those that were begun without an answer that says so."""
        tries = 0

        def create() -> str:
            nonlocal tries
            tries += 1
            return self._calls.create(self._mark)

        self._upload_id = upload_id = self._again(create)
        if tries > 1:
            self._abort_all(but=upload_id)
        return upload_id

    def _collect(self, pending: set[Future[Part]], parts: list[Part], *, at_most: int) -> set[Future[Part]]:
        """Wait until at most so many are under way; the first that failed ends it all."""
        while True:
            waited = len(pending) > at_most
            done, pending = wait(pending, timeout=None if waited else 0, return_when=FIRST_COMPLETED)
            with translated(self._address, self._key):
                parts.extend(future.result() for future in done)
            if len(pending) <= at_most:
                return pending

    def _complete(self, upload_id: str, parts: list[Part]) -> str | None:
        """Complete it; None where an answer was lost, but the object is there and ours."""
        tries = 0

        def complete() -> str | None:
            nonlocal tries
            tries += 1
            try:
                return self._calls.complete(upload_id, parts)
            except S3Error as error:
                if tries > 1 and error.code == "NoSuchUpload" and self._calls.mark() == self._mark:
                    return None
                raise

        return self._again(complete)

    def _again(self, call: Callable[[], _T]) -> _T:
        """Retry a POST, which urllib3 does not by itself: the server may have done it though no answer came."""
        pause = self._patience.backoff.total_seconds()
        for _ in range(self._patience.retries):
            try:
                return call()
            except Foreign as error:
                if isinstance(error, MaxRetryError) or not is_transient(error):
                    raise  # in the first case urllib3 has tried it again already
            time.sleep(pause)
            pause *= 2
        return call()

    def _clean(self, error: BaseException, *, in_parts: bool) -> None:
        """Leave nothing of this put. That this failed too is said beside why it was needed."""
        try:
            if in_parts:
                self._abort()
            if self._calls.mark() == self._mark:
                self._remove()
        except (*Foreign, PgproofError) as left:
            ours = left if isinstance(left, PgproofError) else translate(left, self._address, self._key)
            reason = ours.message
            if isinstance(error, PgproofError):
                advice = (
                    f"something of {self._key} may be left, as it could not be removed ({reason}); "
                    "give the bucket a rule that ends unfinished uploads after a day"
                )
                error.hint = f"{error.hint}\n{advice}" if error.hint else advice

    def _abort(self) -> None:
        """Abort our upload, and every other of this key: the answer that told its id may have been lost."""
        if self._upload_id:
            self._abort_one(self._upload_id)
        self._abort_all()

    def _abort_all(self, *, but: str | None = None) -> None:
        for _ in range(_SWEEPS):
            try:
                unfinished = [found for found in self._calls.unfinished() if found != but]
            except S3Error as error:
                if isinstance(translate(error, self._address, None), AccessDenied):
                    return  # the right to list uploads is often not given; the one that we know of is aborted
                raise
            if not unfinished:
                return
            for upload_id in unfinished:
                self._abort_one(upload_id)

    def _abort_one(self, upload_id: str) -> None:
        try:
            self._calls.abort(upload_id)
        except S3Error as error:
            if error.code != "NoSuchUpload":
                raise


def check_written(written: Written, *, key: str, size: int, etag: str) -> None:
    """Compare what was given with what the store says that it has.

    Raises:
        IntegrityFailed: they differ.
    """
    if size != written.bytes:
        raise IntegrityFailed(f"the store has {size} bytes of {key}, {written.bytes} were sent")
    if written.etag is not None and etag != written.etag:
        raise IntegrityFailed(f"the store has another {key} than was sent", detail=f"ETag {etag}, not {written.etag}")
