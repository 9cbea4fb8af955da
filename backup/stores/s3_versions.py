"""Buckets that keep versions, and objects that are locked there.

Part of the fence to the MinIO SDK. Owns that a delete in a versioned bucket frees the room, and how a lock is read
and written. Source: the S3 API reference, "Using versioning" and "Object Lock".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from minio import Minio
from minio.error import S3Error

from backup.errors import AccessDenied, ObjectLocked
from backup.logs import log
from backup.stores.addresses import S3Address
from backup.stores.s3_errors import translate, translated

_UNTIL = "x-amz-object-lock-retain-until-date"
_MODE = "x-amz-object-lock-mode"
_UNKNOWN = {"ObjectLockConfigurationNotFoundError", "NoSuchObjectLockConfiguration", "NotImplemented", "AccessDenied"}
"""What servers answer about a bucket without locks, or one of which we may not ask."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """How what is stored is locked: `governance` can be lifted by whoever may, `compliance` by nobody."""

    mode: Literal["governance", "compliance"]
    period: timedelta

    def headers(self, now: datetime) -> dict[str, str]:
        """Of a request that stores an object."""
        until = (now + self.period).astimezone(UTC)
        return {_MODE: self.mode.upper(), _UNTIL: until.strftime("%Y-%m-%dT%H:%M:%SZ")}


def locked_until(headers: Mapping[str, str] | None) -> datetime | None:
    """When an object can be deleted at the earliest, by the headers that came with it."""
    text = next((value for name, value in (headers or {}).items() if name.lower() == _UNTIL), None)
    try:
        return datetime.fromisoformat(text).astimezone(UTC) if text else None
    except ValueError:
        return None


class Versions:
    """What a bucket keeps beside what it shows. Asked once, when it is needed first."""

    def __init__(self, client: Minio, address: S3Address) -> None:
        self._client = client
        self._address = address
        self._kept: bool | None = None
        self._locks: bool | None = None

    @property
    def are_kept(self) -> bool:
        """Whether a plain delete only hides an object; False where we may not ask."""
        if self._kept is None:
            try:
                status = self._client.get_bucket_versioning(self._address.bucket).status
            except S3Error as error:
                if error.code not in _UNKNOWN:
                    raise translate(error, self._address, None) from error
                status = "Off"
                if error.code == "AccessDenied":
                    log.info(
                        "whether this bucket keeps versions is not known; if so, what is deleted is only hidden",
                        store=self._address.url,
                        hint="s3:GetBucketVersioning tells",
                    )
            self._kept = status in {"Enabled", "Suspended"}
        return self._kept

    @property
    def may_lock(self) -> bool:
        """Whether objects may be locked there; False where we may not ask."""
        if self._locks is None:
            try:
                self._client.get_object_lock_config(self._address.bucket)
                self._locks = True
            except S3Error as error:
                if error.code not in _UNKNOWN:
                    raise translate(error, self._address, None) from error
                self._locks = False
        return self._locks

    def delete(self, key: str, name: str) -> None:
        """Delete every version of an object. Raises ObjectLocked where one is kept for longer."""
        with translated(self._address, key):
            found = [
                each.version_id
                for each in self._client.list_objects(
                    self._address.bucket, prefix=name, recursive=True, include_version=True
                )
                if each.object_name == name
            ]
        for version in found:
            try:
                with translated(self._address, key):
                    self._client.remove_object(self._address.bucket, name, version_id=version)
            except AccessDenied as error:
                until = self._until(name, version)
                if until and until > datetime.now(UTC):
                    raise ObjectLocked(
                        f"{key} in {self._address.url} is locked until {until:%Y-%m-%d %H:%M:%SZ}",
                        until=until,
                        detail=error.detail,
                    ) from error
                raise

    def _until(self, name: str, version: str | None) -> datetime | None:
        try:
            found = self._client.stat_object(self._address.bucket, name, version_id=version)
        except S3Error:
            return None
        return locked_until(found.metadata)
