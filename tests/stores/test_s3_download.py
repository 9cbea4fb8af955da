"""Reading from a bucket over a line that breaks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from io import BytesIO

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from backup.demo.s3_server import S3Server
from backup.errors import IntegrityFailed, StoreUnreachable
from backup.stores.addresses import KeySource, S3Address
from backup.stores.credentials import find_keys
from backup.stores.s3 import S3Store
from backup.stream.readers import read_exactly
from tests.fixtures.proxy import Proxy, proxied
from tests.fixtures.s3 import IMPATIENT, s3_store
from tests.support.streams import Stream, content, digest, expected

SIZE = 20_000_003


@pytest.fixture
def proxy(s3_server: S3Server) -> Iterator[Proxy]:
    with proxied("127.0.0.1", s3_server.port) as proxy:
        yield proxy


@pytest.fixture
def store(s3_server: S3Server, bucket: str, proxy: Proxy) -> S3Store:
    s3_store(s3_server, bucket).put("a", Stream(SIZE))
    return s3_store(s3_server, bucket, port=proxy.port, patience=IMPATIENT)


def test_a_download_goes_on_where_its_line_was_cut(store: S3Store, proxy: Proxy) -> None:
    with store.open("a") as reader:
        read, connections = b"", 0
        while len(read) < SIZE:
            if proxy.connections > connections:  # each line once, or they might be read too slowly for a cut
                connections = proxy.connections
                proxy.cut_after(1_000_000)
            read += reader.read(2_000_000)
        assert reader.read(1) == b""
    assert read == content(SIZE)
    assert proxy.connections > 2


@pytest.mark.usefixtures("store")
def test_a_download_goes_on_after_a_silence(proxy: Proxy, s3_server: S3Server, bucket: str) -> None:
    hasty = replace(IMPATIENT, read=timedelta(milliseconds=300))
    with s3_store(s3_server, bucket, port=proxy.port, patience=hasty).open("a") as reader:
        assert reader.read(1000) == content(1000)
        proxy.stall()
        threading.Timer(0.6, proxy.resume).start()
        size, _ = digest(reader)
    assert size == SIZE - 1000
    assert proxy.connections > 1


def test_a_line_that_never_comes_back_ends_a_download(store: S3Store, proxy: Proxy) -> None:
    with store.open("a") as reader:
        reader.read(1000)
        proxy.refuse()
        with pytest.raises(StoreUnreachable, match="does not answer") as caught:
            digest(reader)
    assert caught.value.status == 6
    assert caught.value.retryable


def test_an_object_that_was_replaced_is_not_mixed_with_the_new_one(
    store: S3Store, proxy: Proxy, s3_server: S3Server, bucket: str
) -> None:
    with store.open("a") as reader:
        reader.read(1000)
        s3_store(s3_server, bucket).put("a", BytesIO(b"-" * SIZE))
        proxy.cut()
        with pytest.raises(IntegrityFailed, match="a was changed while it was read"):
            digest(reader)


def test_an_object_that_was_deleted_is_missed(store: S3Store, proxy: Proxy, s3_server: S3Server, bucket: str) -> None:
    with store.open("a") as reader:
        reader.read(1000)
        s3_store(s3_server, bucket).delete("a")
        proxy.cut()
        with pytest.raises(IntegrityFailed, match="a was deleted while it was read"):
            digest(reader)


def test_what_was_read_before_a_cut_is_right(store: S3Store) -> None:
    with store.open("a") as reader:
        assert digest(reader) == expected(SIZE)


@pytest.mark.parametrize("failures", [3, 100])
def test_a_load_balancer_that_answers_for_the_server_is_asked_again(httpserver: HTTPServer, failures: int) -> None:
    """With a 502 in HTML, not in UTF-8 either, where a download is taken up again; urllib3 itself asks thrice."""
    asked: list[str | None] = []

    def answer(request: Request) -> Response:
        asked.append(request.headers.get("Range"))
        if len(asked) == 1:
            return Response(iter([b"x" * 1000]), headers={"ETag": '"e"', "Content-Length": "2000"})
        if len(asked) <= 1 + failures:
            return Response(b"<html>502 Fehler f\xfcr alle<p></html>", status=502, content_type="text/html")
        return Response(b"y" * 1000, status=206, headers={"ETag": '"e"'})

    httpserver.expect_request("/bucket/a").respond_with_handler(answer)
    address = S3Address(bucket="bucket", endpoint=httpserver.url_for("/").rstrip("/"), region="us-east-1")
    store = S3Store(address, find_keys(KeySource(mode="anonymous"), {}), patience=IMPATIENT)
    with store.open("a") as reader:
        if failures == 3:
            assert read_exactly(reader, 3000) == b"x" * 1000 + b"y" * 1000
            assert asked[1:] == 4 * ["bytes=1000-"]
            return
        assert read_exactly(reader, 1000) == b"x" * 1000
        with pytest.raises(StoreUnreachable, match=r"answers with an error|does not answer as an S3 server") as caught:
            reader.read(1)
    assert caught.value.status == 6
    assert caught.value.retryable
