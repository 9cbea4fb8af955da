"""Which addresses of S3 stores are understood."""

from __future__ import annotations

import pytest

from backup.errors import ConfigurationError
from backup.stores.addresses import S3Address


@pytest.mark.parametrize(("prefix", "url"), [("", "s3://backups"), ("shop/eu-1", "s3://backups/shop/eu-1")])
def test_an_address_is_shown_as_it_is_written(prefix: str, url: str) -> None:
    assert S3Address(bucket="backups", prefix=prefix).url == url


@pytest.mark.parametrize("bucket", ["", "a", "key:secret@host"])
def test_what_names_no_bucket_is_refused(bucket: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        S3Address(bucket=bucket)
    assert "secret" not in f"{caught.value.message}{caught.value.hint}{caught.value.detail}"


@pytest.mark.parametrize("prefix", ["a//b", "../b", "a/./b"])
def test_a_prefix_that_leads_elsewhere_is_refused(prefix: str) -> None:
    with pytest.raises(ConfigurationError, match="prefix"):
        S3Address(bucket="backups", prefix=prefix)


@pytest.mark.parametrize(
    ("endpoint", "host", "is_secure"),
    [
        (None, "s3.amazonaws.com", True),
        ("http://minio:9000", "minio:9000", False),
        ("https://minio.example.com/", "minio.example.com", True),
        ("http://[::1]:9000", "[::1]:9000", False),
    ],
)
def test_an_endpoint_says_host_and_line(endpoint: str | None, host: str, is_secure: bool) -> None:  # noqa: FBT001 - a parameter of the table
    address = S3Address(bucket="backups", endpoint=endpoint)
    assert (address.host, address.is_secure) == (host, is_secure)


@pytest.mark.parametrize(
    "endpoint",
    ["minio:9000", "http://", "ftp://minio", "http://minio:9000/bucket", "http://key:secret@minio", "http://minio:x"],
)
def test_an_endpoint_that_is_none_is_refused(endpoint: str) -> None:
    with pytest.raises(ConfigurationError, match="endpoint") as caught:
        S3Address(bucket="backups", endpoint=endpoint)
    assert "secret" not in f"{caught.value.message}{caught.value.hint}{caught.value.detail}"
