"""HTTP clients of S3 servers, and of those that hand out keys: whom they trust, and how they retry."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path

import certifi
import urllib3

from backup.errors import ConfigurationError
from backup.stores.addresses import Patience

_RETRY_STATUS = (500, 502, 503, 504)


def make_client(
    patience: Patience, *, ca_file: Path | None, environ: Mapping[str, str], connections: int = 1
) -> urllib3.PoolManager:
    """A client that keeps so many connections to a server. What it retries are requests that may be repeated.

    A server's wish to be left alone for hours (Retry-After) is not granted: whoever waits for a backup is told sooner.

    Raises:
        ConfigurationError: the certificates cannot be read.
    """
    return urllib3.PoolManager(
        maxsize=connections,
        timeout=urllib3.Timeout(connect=patience.connect.total_seconds(), read=patience.read.total_seconds()),
        retries=urllib3.Retry(
            total=patience.retries,
            backoff_factor=patience.backoff.total_seconds(),
            status_forcelist=_RETRY_STATUS,
            raise_on_status=False,
            respect_retry_after_header=False,
        ),
        cert_reqs="CERT_REQUIRED",
        ca_certs=_authorities(ca_file, environ),
    )


def _authorities(ca_file: Path | None, environ: Mapping[str, str]) -> str:
    """The file of certificates to trust, read once so that a wrong one is said here and now.

    Without one that is asked for, it is certifi's and not the machine's: a container often has none.
    """
    path = str(ca_file or environ.get("SSL_CERT_FILE") or certifi.where())
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:
        raise ConfigurationError(
            f"the certificates in {path} cannot be read",
            detail=str(error),
            hint="PGPROOF_S3_CA_FILE names a file with one or more certificates in PEM form",
        ) from error
    return path
