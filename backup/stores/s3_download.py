"""One object on its way out of a bucket: a stream that is taken up again where its line broke.

Owns that what is read is one and the same object from its first byte to its last.
"""

from __future__ import annotations

import time
from typing import Self

from minio import Minio
from minio.error import S3Error
from urllib3.response import BaseHTTPResponse

from backup.errors import IntegrityFailed, ObjectMissing, StoreUnreachable
from backup.stores.addresses import Patience, S3Address
from backup.stores.s3_errors import Foreign, is_transient, translate, translated

_PARTIAL = 206
_PRECONDITION_FAILED = 412


class Download:
    """A ByteReader of one object; use it as a context manager, leaving it lets go of the line.

    Raises:
        ObjectMissing: it is not there, said on entering.
    """

    def __init__(self, client: Minio, address: S3Address, key: str, name: str, *, patience: Patience) -> None:
        self._client = client
        self._address = address
        self._key = key
        self._name = name
        self._patience = patience
        self._response: BaseHTTPResponse | None = None
        self._offset = 0
        self._size = 0
        self._etag = ""
        self._failures = 0

    def __enter__(self) -> Self:
        with translated(self._address, self._key):
            response = self._client.get_object(self._address.bucket, self._name)
        self._response = response
        self._size = int(response.headers.get("content-length", 0))
        self._etag = response.headers.get("etag", "")
        return self

    def __exit__(self, *exc: object) -> None:
        self._let_go()

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes.

        Raises:
            IntegrityFailed: the object was changed or deleted meanwhile.
            StoreUnreachable: the line breaks or the server fails again and again, and nothing comes in between.
        """
        while self._offset < self._size:
            try:
                data = self._some(min(size, self._size - self._offset))
            except Foreign as error:
                self._pause(error)
                continue
            self._offset += len(data)
            self._failures = 0
            return data
        return b""

    def _some(self, size: int) -> bytes:
        if self._response is None:
            self._response = self._resumed()
        # Not `read`: that throws away what came before the line broke, and so may never get on.
        data: bytes = self._response.read1(size, decode_content=False)
        if not data:
            raise ConnectionResetError(f"the line ended after {self._offset} of {self._size} bytes")
        return data

    def _resumed(self) -> BaseHTTPResponse:
        """The rest of the same object."""
        headers: dict[str, str | list[str] | tuple[str]] = {"If-Match": self._etag}
        try:
            response = self._client.get_object(
                self._address.bucket, self._name, offset=self._offset, request_headers=headers
            )
        except S3Error as error:
            if error.response.status == _PRECONDITION_FAILED:
                raise self._changed() from error
            if isinstance(translate(error, self._address, self._key), ObjectMissing):
                raise IntegrityFailed(f"{self._key} was deleted while it was read") from error
            raise
        if response.headers.get("etag", "") != self._etag:
            response.close()
            raise self._changed()
        if self._offset and response.status != _PARTIAL:
            response.close()
            raise StoreUnreachable(
                f"{self._address.host} cannot resume a download", hint="it ignores the HTTP header Range"
            )
        return response

    def _changed(self) -> IntegrityFailed:
        return IntegrityFailed(f"{self._key} was changed while it was read")

    def _pause(self, error: Exception) -> None:
        """Let go of a broken line and wait, longer each time; or give up."""
        self._let_go()
        self._failures += 1
        if self._failures > self._patience.retries or not is_transient(error):
            raise translate(error, self._address, self._key) from error
        time.sleep(self._patience.backoff.total_seconds() * 2 ** (self._failures - 1))

    def _let_go(self) -> None:
        """Close rather than give back: what was not read would have to be."""
        if self._response is not None:
            self._response.close()
            self._response.release_conn()
            self._response = None
