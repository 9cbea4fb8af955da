"""Where an S3 store is, and whose keys open it, as values. Owns what `s3://…` means; no I/O, and no import of minio."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import SecretStr

from backup.errors import ConfigurationError, UsageError
from backup.stores.keys import check_key

KeyMode = Literal["auto", "keys", "environment", "file", "web-identity", "instance", "anonymous"]

LEAST_PART_SIZE = 5 << 20
"""Bytes of a part of an upload: S3 takes no smaller one but the last."""

MOST_PARTS = 1000
"""Parts of one upload that every S3 server takes; Amazon's takes 10,000, some only these."""

_AMAZON = "https://s3.amazonaws.com"
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{2,62}")


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Address:
    """A bucket, and where its server is.

    Attributes:
        prefix: what all keys begin with, without a slash at either end; may be empty.
        endpoint: address of the server, `http://` for a line without TLS; None for Amazon's.
        region: of the bucket; None to ask the server.
        path_style: name the bucket in the path, not in the host; None for what is usual at that server.
        ca_file: certificates (PEM) to trust instead of the public ones.
    """

    bucket: str
    prefix: str = ""
    endpoint: str | None = None
    region: str | None = None
    path_style: bool | None = None
    ca_file: Path | None = None

    def __post_init__(self) -> None:
        if not _BUCKET.fullmatch(self.bucket):
            raise ConfigurationError("the store's address names no bucket", hint="it is s3://bucket/prefix")
        try:
            if self.prefix:
                check_key(self.prefix)
        except UsageError as error:
            raise ConfigurationError(f"{self.prefix!r} cannot be the prefix of a store") from error
        _check_endpoint(self.server)

    @property
    def url(self) -> str:
        """For people."""
        return f"s3://{self.bucket}/{self.prefix}" if self.prefix else f"s3://{self.bucket}"

    @property
    def server(self) -> str:
        """Address of the server."""
        return self.endpoint or _AMAZON

    @property
    def host(self) -> str:
        """Name, and where it is not the usual one the port, of the server."""
        return urlsplit(self.server).netloc

    @property
    def is_secure(self) -> bool:
        """Whether the line has TLS."""
        return urlsplit(self.server).scheme == "https"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySource:
    """Whose keys open a bucket.

    Attributes:
        mode: where the keys come from; `auto` takes the first place that has some.
        access_key, secret_key, session_token: the keys themselves.
        sts_endpoint: where a web identity token is changed for keys; None for Amazon's.
        ca_file: certificates (PEM) to trust instead of the public ones in servers that hand out keys.
    """

    mode: KeyMode = "auto"
    access_key: SecretStr | None = None
    secret_key: SecretStr | None = None
    session_token: SecretStr | None = None
    sts_endpoint: str | None = None
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait for a server, and how often to try again; guesses that suit the internet.

    Attributes:
        connect, read: for a connection, and for the next bytes on it.
        retries: of a request that a broken line or an overloaded server spoilt.
        backoff: pause before the second of them, doubled before each further one.
    """

    connect: timedelta = timedelta(seconds=10)
    read: timedelta = timedelta(seconds=60)
    retries: int = 3
    backoff: timedelta = timedelta(milliseconds=200)


def _check_endpoint(endpoint: str) -> None:
    """Refuse what is not `http(s)://host[:port]`; the text may hold a secret and is not repeated."""
    try:
        parts = urlsplit(endpoint)
        usable = parts.scheme in {"http", "https"} and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or parts.username or parts.password or parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ConfigurationError(
            "the S3 endpoint is not an address such as https://minio.example.com:9000",
            hint="it is a scheme, a host and a port, without keys, path or bucket (PGPROOF_S3_ENDPOINT)",
        )
