"""What an S3 server, the line to it or the SDK complains of, in our words. The one place that translates."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from xml.etree.ElementTree import ParseError

from minio.error import InvalidResponseError, MinioException, S3Error, ServerError
from urllib3.exceptions import HTTPError, MaxRetryError, NameResolutionError, SSLError

from backup.errors import (
    AccessDenied,
    ConfigurationError,
    ObjectMissing,
    PgproofError,
    StoreMissing,
    StoreUnreachable,
)
from backup.stores.addresses import S3Address

_NO_OBJECT = {"NoSuchKey", "NoSuchObject", "NoSuchVersion"}
_WRONG_KEYS = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidSecurity", "AuthFailure"}
_OLD_TOKEN = {"ExpiredToken", "ExpiredTokenException", "InvalidToken", "TokenRefreshRequired"}
_WRONG_CLOCK = {"RequestTimeTooSkewed", "RequestExpired"}
_WRONG_REGION = {"AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraintException"}
_FULL = {"QuotaExceeded", "InsufficientStorage", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded"}
_DENIED_STATUS = {401, 403}
_NOT_FOUND = 404
_SERVER_FAULT = 500
_STATUS = re.compile(r"[Cc]ode:? (\d{3})")
_LONGEST_DETAIL = 300

Foreign = (MinioException, HTTPError, OSError, ValueError, ParseError)
"""What a call of the SDK may raise."""


@contextmanager
def translated(address: S3Address, key: str | None = None) -> Iterator[None]:
    """Run one or more requests about `key`; what they raise comes out as ours."""
    try:
        yield
    except Foreign as error:
        raise translate(error, address, key) from error


def is_transient(error: Exception) -> bool:
    """Whether the same request may go better a moment later: the line broke, or the server is at fault.

    Not every answer is S3's own: a load balancer says 502 in HTML, or cuts an answer short.
    """
    if isinstance(error, S3Error):
        return error.response.status >= _SERVER_FAULT
    if isinstance(error, (InvalidResponseError, ServerError)):
        return _status(error) >= _SERVER_FAULT
    return isinstance(error, (HTTPError, OSError, ParseError, UnicodeDecodeError))


def translate(error: Exception, address: S3Address, key: str | None) -> PgproofError:
    """`error` as ours."""
    if isinstance(error, S3Error):
        return _said(error, address, key)
    if isinstance(error, (InvalidResponseError, ServerError)):
        return _by_status(error, address, key)
    if isinstance(error, (HTTPError, OSError)):
        return _line(error, address)
    if isinstance(error, (ParseError, UnicodeDecodeError)):
        return StoreUnreachable(f"{address.host} does not answer as an S3 server", detail=_short(error))
    return ConfigurationError(f"the settings of {address.url} are not usable", detail=_short(error))


def _said(error: S3Error, address: S3Address, key: str | None) -> PgproofError:
    """An answer with a code."""
    code = error.code or "an unknown error"
    detail = f"{code}: {error.message}" if error.message else code
    if code == "NoSuchBucket":
        return StoreMissing(
            f"there is no bucket {address.bucket} at {address.host}",
            hint="create it, or correct the store's address",
        )
    if code in _NO_OBJECT and key is not None:
        return ObjectMissing(f"{key} is not in {address.url}")
    if code in _WRONG_REGION:
        return ConfigurationError(
            f"{address.host} has the bucket {address.bucket} in another region",
            detail=detail,
            hint="set PGPROOF_S3_REGION to the region of the bucket",
        )
    if code in _FULL:
        return StoreUnreachable(f"{address.url} is full", detail=detail, hint="make room there, or raise the quota")
    hint = _denied_hint(code, address)
    if hint or error.response.status in _DENIED_STATUS:
        return AccessDenied(f"{address.host} refuses us at {address.url}", detail=detail, hint=hint or _rights(address))
    return StoreUnreachable(f"{address.host} could not do what was asked of {address.url}", detail=detail)


def _denied_hint(code: str, address: S3Address) -> str | None:
    if code in _WRONG_KEYS:
        return "check the access key and the secret key"
    if code in _OLD_TOKEN:
        return "the temporary keys have expired or belong elsewhere: get new ones"
    if code in _WRONG_CLOCK:
        return "the clock of this machine or of the server is wrong: they may differ by 15 minutes at most"
    return _rights(address) if code == "AccessDenied" else None


def _rights(address: S3Address) -> str:
    return (
        f"the keys need s3:ListBucket, s3:GetBucketLocation and s3:ListBucketMultipartUploads on {address.bucket}, "
        "and s3:GetObject, s3:PutObject, s3:DeleteObject and s3:AbortMultipartUpload on its objects"
    )


def _by_status(error: Exception, address: S3Address, key: str | None) -> PgproofError:
    """An answer that is not of S3's form: only its status is known."""
    status = _status(error)
    if status in _DENIED_STATUS:
        return AccessDenied(f"{address.host} refuses us at {address.url}", detail=_short(error), hint=_rights(address))
    if status == _NOT_FOUND and key is not None:
        return ObjectMissing(f"{key} is not in {address.url}")
    return StoreUnreachable(
        f"{address.host} answers with an error, and not as an S3 server",
        detail=_short(error),
        hint="if this is lasting, check that the endpoint is the address of S3 itself, not of a console or a proxy",
    )


def _status(error: Exception) -> int:
    """The HTTP status of such an answer, which the SDK has only in words; 0 where it has none."""
    found = _STATUS.search(str(error))
    return int(found[1]) if found else 0


def _line(error: HTTPError | OSError, address: S3Address) -> PgproofError:
    """No answer at all, or half of one."""
    cause = error.reason if isinstance(error, MaxRetryError) and error.reason else error
    if isinstance(cause, SSLError):
        return StoreUnreachable(
            f"the TLS connection to {address.host} is not to be trusted",
            detail=_short(cause),
            hint="if the server's certificate is from an authority of your own, name its file in PGPROOF_S3_CA_FILE",
        )
    hint = "check the endpoint, and that the server behind it is running"
    if isinstance(cause, NameResolutionError):
        hint = "check the host name in the endpoint"
    return StoreUnreachable(f"{address.host} does not answer", detail=_short(cause), hint=hint)


def _short(error: Exception) -> str:
    """What it says, on one line, without the object addresses that urllib3 puts before it."""
    text = re.sub(r"<[^<>]* object at 0x[0-9a-f]+>:? ?|^\w+\([^()]*\): ", "", " ".join(str(error).split()))
    return text[:_LONGEST_DETAIL] or type(error).__name__
