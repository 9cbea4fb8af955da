"""What becomes of puts and reads when the S3 server, the keys or the line are not as they should be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from pydantic import SecretStr
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from backup.demo.s3_server import S3Server
from backup.errors import (
    AccessDenied,
    ConfigurationError,
    ObjectMissing,
    PgproofError,
    StoreMissing,
    StoreUnreachable,
)
from backup.stores.addresses import LEAST_PART_SIZE, KeySource, S3Address
from backup.stores.credentials import find_keys
from backup.stores.s3 import S3Store
from backup.stream.readers import ByteReader
from tests.fixtures.proxy import Proxy, proxied
from tests.fixtures.s3 import IMPATIENT, s3_store, unfinished_uploads
from tests.support.certificates import make_certificate
from tests.support.streams import DumpBroke, Stream, digest, expected

PART = LEAST_PART_SIZE


@pytest.fixture
def proxy(s3_server: S3Server) -> Iterator[Proxy]:
    with proxied("127.0.0.1", s3_server.port) as proxy:
        yield proxy


class Meanwhile:
    """A stream in which something happens when so many bytes were read."""

    def __init__(self, source: ByteReader, size: int, happen: Callable[[], object]) -> None:
        self._source = source
        self._left = size
        self._happen = happen

    def read(self, size: int, /) -> bytes:
        data = self._source.read(size)
        if 0 < self._left <= len(data):
            self._happen()
        self._left -= len(data)
        return data


def every_call(store: S3Store) -> list[Callable[[], object]]:
    return [
        lambda: store.put("a", BytesIO(b"x")),
        lambda: store.put("a", Stream(2 * PART)),
        lambda: store.open("a").__enter__(),
        lambda: store.stat("a"),
        lambda: list(store.list("")),
        lambda: store.delete("a"),
    ]


@pytest.mark.parametrize(
    ("access_key", "secret_key"), [("somebody", "pgproof-secret"), ("pgproof-access", "guessed")], ids=["key", "secret"]
)
def test_wrong_keys_are_refused(s3_server: S3Server, bucket: str, access_key: str, secret_key: str) -> None:
    source = KeySource(mode="keys", access_key=SecretStr(access_key), secret_key=SecretStr(secret_key))
    store = S3Store(s3_server.address(bucket), find_keys(source, {}), patience=IMPATIENT)
    for call in every_call(store):
        with pytest.raises(AccessDenied, match="refuses us") as caught:
            call()
        assert caught.value.status == 14
        assert "key" in (caught.value.hint or "")
        assert secret_key not in f"{caught.value.detail} {caught.value.hint}"


def test_a_missing_bucket_is_named(s3_server: S3Server) -> None:
    store = s3_store(s3_server, "not-there", "prefix")
    for call in every_call(store):
        with pytest.raises(StoreMissing, match="no bucket not-there") as caught:
            call()
        assert caught.value.status == 6
        assert not caught.value.retryable


def test_a_server_that_is_down_is_unreachable(s3_server: S3Server, bucket: str, proxy: Proxy) -> None:
    proxy.refuse()
    for call in every_call(s3_store(s3_server, bucket, port=proxy.port, patience=IMPATIENT)):
        with pytest.raises(StoreUnreachable, match=r"127\.0\.0\.1:[0-9]+ does not answer") as caught:
            call()
        assert caught.value.status == 6
        assert caught.value.retryable


def test_a_server_that_dies_during_an_upload_fails_it() -> None:
    with S3Server() as server:
        store = s3_store(server, "doomed", patience=IMPATIENT)
        store.create_bucket()
        with pytest.raises(StoreUnreachable) as caught:
            store.put("a", Meanwhile(Stream(8 * PART), 4 * PART, server.stop))
    assert "may be left" in (caught.value.hint or "")


def test_a_line_that_is_cut_during_an_upload_is_taken_up_again(s3_server: S3Server, bucket: str, proxy: Proxy) -> None:
    store = s3_store(s3_server, bucket, port=proxy.port)
    store.put("a", Meanwhile(Stream(6 * PART), 3 * PART, lambda: proxy.cut_after(PART // 2)))
    with store.open("a") as reader:
        assert digest(reader) == expected(6 * PART)
    assert unfinished_uploads(store) == []


def test_a_store_that_is_gone_during_an_upload_fails_it(s3_server: S3Server, bucket: str, proxy: Proxy) -> None:
    store = s3_store(s3_server, bucket, port=proxy.port, patience=IMPATIENT)
    with pytest.raises(StoreUnreachable):
        store.put("a", Meanwhile(Stream(8 * PART), 4 * PART, proxy.refuse))
    assert list(s3_store(s3_server, bucket).list("")) == []


@pytest.mark.parametrize("request_line", [b"POST /{bucket}/a?uploads=", b"POST /{bucket}/a?uploadId=", b"PUT "])
@pytest.mark.parametrize("size", [10, 3 * PART])
def test_an_answer_that_is_lost_is_asked_for_again(
    s3_server: S3Server, bucket: str, proxy: Proxy, request_line: bytes, size: int
) -> None:
    proxy.lose_answer_to(request_line.replace(b"{bucket}", bucket.encode()))
    store = s3_store(s3_server, bucket, port=proxy.port)
    store.put("a", Stream(size))
    with store.open("a") as reader:
        assert digest(reader) == expected(size)
    assert unfinished_uploads(store) == []


@pytest.mark.parametrize("size", [10, 3 * PART + 10])
def test_an_object_that_cannot_be_asked_about_is_removed(
    s3_server: S3Server, bucket: str, proxy: Proxy, size: int
) -> None:
    """The upload is through when the line breaks: nobody will hear of this object, so it must not stay."""
    store = s3_store(s3_server, bucket, port=proxy.port, patience=replace(IMPATIENT, retries=0))
    proxy.lose_answer_to(b"HEAD ")
    with pytest.raises(StoreUnreachable):
        store.put("a", Stream(size))
    assert list(store.list("")) == []
    assert unfinished_uploads(store) == []


def test_uploads_of_other_keys_are_left_alone(s3_server: S3Server, bucket: str) -> None:
    store = s3_store(s3_server, bucket)

    def fail_another() -> None:
        with pytest.raises(DumpBroke):
            store.put("a", Stream(3 * PART, failure=DumpBroke("the dump broke")))

    store.put("a2", Meanwhile(Stream(6 * PART), 4 * PART, fail_another))
    assert [found.key for found in store.list("")] == ["a2"]


def test_tls_with_an_authority_of_ones_own(tmp_path: Path) -> None:
    certificate, other = make_certificate("127.0.0.1"), make_certificate("127.0.0.1")
    trusted, foreign = tmp_path / "trusted.pem", tmp_path / "foreign.pem"
    trusted.write_bytes(certificate.authority)
    foreign.write_bytes(other.authority)
    with S3Server(certificate=certificate.chain, key=certificate.key) as server:
        address, keys = server.address("secure"), find_keys(server.keys, {})
        store = S3Store(replace(address, ca_file=trusted), keys, part_size=PART)
        store.create_bucket()
        store.put("a", Stream(2 * PART + 1))
        with store.open("a") as reader:
            assert digest(reader) == expected(2 * PART + 1)
        for ca_file in (foreign, None):
            with pytest.raises(StoreUnreachable, match="not to be trusted") as caught:
                S3Store(replace(address, ca_file=ca_file), keys, patience=IMPATIENT).stat("a")
            assert "PGPROOF_S3_CA_FILE" in (caught.value.hint or "")


def test_a_file_of_certificates_that_is_none_is_refused(s3_server: S3Server, tmp_path: Path) -> None:
    (tmp_path / "text.pem").write_text("not a certificate")
    for ca_file in (tmp_path / "text.pem", tmp_path / "missing.pem"):
        with pytest.raises(ConfigurationError, match="cannot be read"):
            S3Store(replace(s3_server.address("bucket"), ca_file=ca_file), find_keys(s3_server.keys, {}))


def spoken_to(httpserver: HTTPServer) -> S3Store:
    address = S3Address(bucket="bucket", endpoint=httpserver.url_for("/").rstrip("/"), region="us-east-1")
    source = KeySource(mode="keys", access_key=SecretStr("key"), secret_key=SecretStr("secret"))
    return S3Store(address, find_keys(source, {}), patience=replace(IMPATIENT, retries=1))


@pytest.mark.parametrize(
    ("code", "status", "kind", "hint"),
    [
        ("NoSuchBucket", 404, StoreMissing, "create it"),
        ("AccessDenied", 403, AccessDenied, "s3:PutObject"),
        ("InvalidAccessKeyId", 403, AccessDenied, "access key"),
        ("SignatureDoesNotMatch", 403, AccessDenied, "secret key"),
        ("ExpiredToken", 400, AccessDenied, "expired"),
        ("RequestTimeTooSkewed", 403, AccessDenied, "clock"),
        ("SomethingNew", 403, AccessDenied, "s3:PutObject"),
        ("AuthorizationHeaderMalformed", 400, ConfigurationError, "PGPROOF_S3_REGION"),
        ("PermanentRedirect", 301, ConfigurationError, "PGPROOF_S3_REGION"),
        ("QuotaExceeded", 403, StoreUnreachable, "room"),
        ("SlowDown", 503, StoreUnreachable, None),
        ("InternalError", 500, StoreUnreachable, None),
    ],
)
def test_what_a_server_says_becomes_one_of_ours(
    httpserver: HTTPServer, code: str, status: int, kind: type[PgproofError], hint: str | None
) -> None:
    body = f"<Error><Code>{code}</Code><Message>so it is</Message></Error>"
    httpserver.expect_request("/bucket").respond_with_data(body, status=status, content_type="application/xml")
    with pytest.raises(kind) as caught:
        list(spoken_to(httpserver).list(""))
    assert type(caught.value) is kind
    assert (caught.value.hint is None) if hint is None else (hint in (caught.value.hint or ""))


@pytest.mark.parametrize(("status", "kind"), [(200, StoreUnreachable), (403, AccessDenied), (502, StoreUnreachable)])
def test_a_server_that_is_not_s3_is_told(httpserver: HTTPServer, status: int, kind: type[PgproofError]) -> None:
    httpserver.expect_request("/bucket").respond_with_data("<html>hello<p></html>", status=status)
    with pytest.raises(kind, match=httpserver.host):
        list(spoken_to(httpserver).list(""))


def test_an_overloaded_server_is_asked_again(httpserver: HTTPServer) -> None:
    httpserver.expect_ordered_request("/bucket/a", method="HEAD").respond_with_data("", status=503)
    httpserver.expect_ordered_request("/bucket/a", method="HEAD").respond_with_data(
        "abc", headers={"ETag": '"e"', "Last-Modified": "Sun, 22 Nov 2026 08:00:00 GMT"}
    )
    assert spoken_to(httpserver).stat("a").etag == "e"


def test_a_server_that_wants_to_be_left_alone_for_hours_is_not_waited_for(httpserver: HTTPServer) -> None:
    busy = {"Retry-After": "21600"}
    httpserver.expect_request("/bucket/a", method="HEAD").respond_with_data("", status=503, headers=busy)
    with pytest.raises(StoreUnreachable):
        spoken_to(httpserver).stat("a")
    assert len(httpserver.log) == 2


HTML = b"<html><h1>503 Dienst nicht verf\xfcgbar<p></html>"
"""What a load balancer says for a server that is down: no XML, and not even UTF-8."""


def test_an_upload_goes_on_where_a_load_balancer_answered_for_the_server(httpserver: HTTPServer) -> None:
    """Neither of the two POSTs of an upload is repeated by urllib3."""
    answers = {
        "uploads": "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>",
        "uploadId": "<CompleteMultipartUploadResult><ETag>e-2</ETag></CompleteMultipartUploadResult>",
    }
    asked: list[str] = []

    def answer(request: Request) -> Response:
        (call,) = answers.keys() & request.args.keys()
        asked.append(call)
        if asked.count(call) == 1:
            return Response(HTML, status=503, content_type="text/html")
        return Response(answers[call], content_type="application/xml")

    httpserver.expect_request("/bucket/a", method="POST").respond_with_handler(answer)
    httpserver.expect_request("/bucket/a", method="PUT").respond_with_data("", headers={"ETag": '"p"'})
    httpserver.expect_request("/bucket/a", method="HEAD").respond_with_data(
        bytes(2 * PART), headers={"ETag": '"e-2"', "Last-Modified": "Sun, 22 Nov 2026 08:00:00 GMT"}
    )
    httpserver.expect_request("/bucket", method="GET").respond_with_data(
        "<ListMultipartUploadsResult></ListMultipartUploadsResult>", content_type="application/xml"
    )
    assert spoken_to(httpserver).put("a", Stream(2 * PART)).bytes == 2 * PART
    assert asked == ["uploads", "uploads", "uploadId", "uploadId"]


def test_a_store_that_has_something_else_than_was_sent_is_found_out(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/bucket/a", method="PUT").respond_with_data("", headers={"ETag": '"sent"'})
    httpserver.expect_request("/bucket/a", method="HEAD").respond_with_data("", headers={"ETag": '"other"'})
    with pytest.raises(PgproofError) as caught:
        spoken_to(httpserver).put("a", BytesIO(b""))
    assert caught.value.status == 7


def test_a_missing_object_is_told_where_the_bucket_may_not_be_asked_for(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/bucket/a", method="HEAD").respond_with_data("", status=404)
    httpserver.expect_request("/bucket", method="HEAD").respond_with_data("", status=403)
    with pytest.raises(ObjectMissing):
        spoken_to(httpserver).stat("a")
