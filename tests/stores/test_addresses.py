"""Which addresses of S3 stores are understood."""

from __future__ import annotations

import pytest

from backup.errors import ConfigurationError
from backup.stores.addresses import S3Address, parse_s3_address


@pytest.mark.parametrize(
    ("url", "bucket", "prefix"),
    [
        ("s3://backups", "backups", ""),
        ("s3://backups/", "backups", ""),
        ("s3://backups/shop", "backups", "shop"),
        ("s3://backups/shop/eu-1/", "backups", "shop/eu-1"),
        ("s3://my.old_Bucket/a b/100%", "my.old_Bucket", "a b/100%"),
    ],
)
def test_a_bucket_and_a_prefix_are_read(url: str, bucket: str, prefix: str) -> None:
    address = parse_s3_address(url)
    assert (address.bucket, address.prefix) == (bucket, prefix)
    assert parse_s3_address(address.url) == address


@pytest.mark.parametrize(
    "url", ["s3://", "s3:///a", "backups", "https://backups/a", "s3://a/b", "s3://key:secret@host/b"]
)
def test_what_names_no_bucket_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_s3_address(url)
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
