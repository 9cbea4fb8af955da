"""Backups in an S3 bucket.

The fence to the MinIO SDK and its HTTP client, together with its neighbours s3_upload, s3_download, s3_errors,
http_client and credentials: nobody else imports minio or urllib3.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import partial
from threading import BoundedSemaphore
from typing import Protocol

from minio import Minio
from minio.error import S3Error

from backup.domain.marks import is_lasting
from backup.errors import ConfigurationError, ObjectMissing, StoreUnreachable
from backup.ports import Leftover, StoredObject
from backup.stores.addresses import LEAST_PART_SIZE, KeySource, Patience, S3Address
from backup.stores.credentials import Keys, find_keys
from backup.stores.http_client import make_client
from backup.stores.keys import check_key, check_prefix
from backup.stores.s3_download import Download
from backup.stores.s3_errors import translated
from backup.stores.s3_listing import listed
from backup.stores.s3_upload import Upload, Written, abort, all_unfinished, check_written
from backup.stores.s3_versions import Lock, Versions, locked_until
from backup.stream.readers import ByteReader

PART_SIZE = LEAST_PART_SIZE
"""Bytes of one request of an upload: with three of them under way, a put holds 25 MiB at most."""

PARALLEL = 3
"""Parts under way at a time: as fast as eight on a near server, at half the memory (tried)."""


_BESIDE = 16
"""Connections kept beside those of parts: several puts at a time begin, end and ask too. None is made before it is
needed."""


class _Described(Protocol):
    """What the SDK says of an object, in a list or alone."""

    @property
    def size(self) -> int | None: ...
    @property
    def etag(self) -> str | None: ...
    @property
    def last_modified(self) -> datetime | None: ...
    @property
    def metadata(self) -> Mapping[str, str] | None: ...


class S3Store:
    """A ports.Store in a bucket.

    Args:
        address: where.
        keys: whose keys open it, from credentials.find_keys; by default the first that the environment has.
        part_size: bytes of one request of an upload, 5 MiB at least; `parallel` of them are held in memory, and two
            more for each put.
        parallel: such requests at a time, of all puts together.
        patience: time limits and retries.
        lock: how objects of backups are locked, for how long after they were stored.
    """

    def __init__(
        self,
        address: S3Address,
        keys: Keys | None = None,
        *,
        part_size: int = PART_SIZE,
        parallel: int = PARALLEL,
        patience: Patience = Patience(),  # noqa: B008 - frozen
        lock: Lock | None = None,
    ) -> None:
        if part_size < LEAST_PART_SIZE:
            raise ConfigurationError(f"a part size of {part_size} bytes is too small for S3", hint="5 MiB is the least")
        self._address = address
        self._part_size = part_size
        self._parallel = parallel
        self._slots = BoundedSemaphore(parallel)
        self._patience = patience
        keys = keys or find_keys(KeySource(ca_file=address.ca_file), os.environ, region=address.region)
        self._lock = lock
        self._client = _connect(address, keys, connections=parallel + _BESIDE, patience=patience)
        self._versions = Versions(self._client, address)

    @property
    def url(self) -> str:
        """`s3://bucket/prefix`."""
        return self._address.url

    @property
    def may_lock(self) -> bool:
        """See ports.Store."""
        with translated(self._address):
            return self._versions.may_lock

    def put(self, key: str, data: ByteReader, /, *, new: bool = False) -> StoredObject:
        """See ports.Store."""
        lock = self._lock if is_lasting(key) else None
        upload = Upload(
            self._client,
            self._address,
            key,
            self._name(key),
            part_size=self._part_size,
            parallel=self._parallel,
            slots=self._slots,
            patience=self._patience,
            headers=lock.headers(datetime.now(UTC)) if lock else {},
            new=new,
            remove=partial(self.delete, key),
        )

        def ask_again(written: Written) -> StoredObject:
            stored = self.stat(key)
            check_written(written, key=key, size=stored.bytes, etag=stored.etag)
            return stored

        try:
            return upload.run(data, ask_again)
        except StoreUnreachable as error:
            if lock and isinstance(error.__cause__, S3Error) and not self.may_lock:
                raise ConfigurationError(
                    f"the bucket {self._address.bucket} has no object lock",
                    detail=error.detail,
                    hint="that is chosen when a bucket is made; without it set PGPROOF_S3_LOCK=off",
                ) from error
            raise

    def open(self, key: str, /) -> AbstractContextManager[ByteReader]:
        """See ports.Store."""
        return Download(self._client, self._address, key, self._name(key), patience=self._patience)

    def stat(self, key: str, /) -> StoredObject:
        """See ports.Store."""
        name = self._name(key)
        try:
            with translated(self._address, key):
                found = self._client.stat_object(self._address.bucket, name)
        except ObjectMissing:
            self._require_bucket()
            raise
        return _described(key, found)

    def list(self, prefix: str, /) -> Iterator[StoredObject]:
        """See ports.Store. Holds all of it, some 350 bytes an object, in memory to sort it.

        For not every server has the keys in order: SeaweedFS lists folder by folder, Amazon's directory buckets anyhow.
        """
        start = self._start()
        with translated(self._address):
            objects = [
                StoredObject(key=each.name.removeprefix(start), bytes=each.size, etag=each.etag, modified=each.modified)
                for each in listed(self._client, self._address.bucket, start + check_prefix(prefix))
            ]
        objects.sort(key=lambda item: item.key)
        yield from (item for item in objects if not item.key.endswith("/"))  # else a folder that some console made

    def delete(self, key: str, /) -> None:
        """See ports.Store."""
        name = self._name(key)
        with translated(self._address, key):
            if not self._versions.are_kept:
                self._client.remove_object(self._address.bucket, name)
                return
        self._versions.delete(key, name)

    def leftovers(self, prefix: str, /) -> Iterator[Leftover]:
        """See ports.Store: uploads that were begun. What their parts take up is not told."""
        start = self._start()
        with translated(self._address):
            found = list(all_unfinished(self._client, self._address.bucket, start + check_prefix(prefix)))
        for upload in found:
            name = upload.object_name or ""
            yield Leftover(
                key=name.removeprefix(start),
                what="unfinished upload",
                bytes=0,
                modified=upload.initiated_time or datetime.now(UTC),
                discard=partial(self._discard, name, upload.upload_id or ""),
            )

    def _discard(self, name: str, upload_id: str) -> None:
        with translated(self._address):
            try:
                abort(self._client, self._address.bucket, name, upload_id)
            except S3Error as error:
                if error.code != "NoSuchUpload":  # it has ended meanwhile, or somebody else has discarded it
                    raise

    def create_bucket(self) -> None:
        """Make the bucket; one that is there already is no error. For the demo and tests: backups go where they may."""
        with translated(self._address):
            if not self._client.bucket_exists(self._address.bucket):
                self._client.make_bucket(self._address.bucket)

    def _start(self) -> str:
        return f"{self._address.prefix}/" if self._address.prefix else ""

    def _name(self, key: str) -> str:
        return self._start() + check_key(key)

    def _require_bucket(self) -> None:
        """Tell a missing object from a missing bucket: the answer to HEAD has no body that would say it."""
        with translated(self._address):
            try:
                exists = self._client.bucket_exists(self._address.bucket)
            except S3Error as error:
                if error.code == "AccessDenied":
                    return
                raise
            if not exists:
                next(self._client.list_objects(self._address.bucket), None)


def _connect(address: S3Address, keys: Keys, *, connections: int, patience: Patience) -> Minio:
    """A client of the SDK with our time limits, retries and certificates."""
    http = make_client(patience, ca_file=address.ca_file, environ=os.environ, connections=connections)
    with translated(address):
        client = Minio(
            address.host,
            secure=address.is_secure,
            region=address.region,
            http_client=http,
            credentials=keys.provider,
        )
    if address.path_style is not None:
        if address.path_style:
            client.disable_virtual_style_endpoint()  # type: ignore[no-untyped-call]  # the SDK has no hints there
        else:
            client.enable_virtual_style_endpoint()  # type: ignore[no-untyped-call]  # the SDK has no hints there
    return client


def _described(key: str, found: _Described) -> StoredObject:
    return StoredObject(
        key=key,
        bytes=found.size or 0,
        etag=(found.etag or "").strip('"'),
        modified=found.last_modified or datetime.fromtimestamp(0, UTC),
        locked_until=locked_until(found.metadata),
    )
