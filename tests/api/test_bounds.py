"""What no caller may do to the service: too much, too slowly, or in a way that fools somebody."""

from __future__ import annotations

import signal
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.monitoring.conftest import Shelf
from tests.support.certificates import make_certificate
from tests.support.monitoring import free_port
from tests.support.serving import TOKENS, USUAL, Service


@contextmanager
def line_to(service: Service) -> Iterator[socket.socket]:
    host, port = service.address.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as line:
        yield line


def until_closed(line: socket.socket) -> bytes:
    found = b""
    while data := line.recv(1 << 16):
        found += data
    return found


def test_a_head_that_is_too_large_is_refused(service: Service) -> None:
    for size in (17 << 10, 300 << 10):
        answer = service.get("/healthz", token=None, headers={"X-Long": "a" * size})
        assert (answer.status_code, answer.json()["error"]["code"]) == (431, "too_large")
    assert service.get("/healthz", token=None, headers={"X-Long": "a" * 8000}).status_code == 200


def test_a_head_without_an_end_is_cut_off(service: Service) -> None:
    with line_to(service) as line:
        line.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: ")
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            line.sendall(b"a" * (64 << 20))
    assert service.get("/healthz", token=None).status_code == 200


def test_a_caller_that_says_nothing_is_hung_up_on(service: Service) -> None:
    with line_to(service) as line:
        line.sendall(b"GET /healthz HTTP/1.1\r\n")
        assert until_closed(line) == b""  # after ten seconds


def test_a_body_that_is_too_large_is_refused_before_it_is_sent(service: Service) -> None:
    head = f"POST /api/backups HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {USUAL}\r\n".encode()
    with line_to(service) as line:
        line.sendall(head + b"Content-Length: 1000000000\r\n\r\n")
        assert line.recv(100).startswith(b"HTTP/1.1 413")
    with line_to(service) as line:
        line.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n" + b"4000\r\n" + b"a" * 0x4000 + b"\r\n")
        line.sendall((b"4000\r\n" + b"a" * 0x4000 + b"\r\n") * 4)
        assert line.recv(100).startswith(b"HTTP/1.1 413")


def test_a_body_that_never_comes_is_given_up(service: Service) -> None:
    with line_to(service) as line:
        line.sendall(b"POST /api/backups HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        assert until_closed(line).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("junk", [b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"\x00" * 100, b"GET / HTTP/9.9\r\n\r\n"])
def test_what_is_no_http_ends_the_line_and_nothing_else(service: Service, junk: bytes) -> None:
    with line_to(service) as line:
        line.sendall(junk)
        line.shutdown(socket.SHUT_WR)
        assert b" 200 " not in until_closed(line)
    assert service.get("/healthz", token=None).status_code == 200


def test_every_answer_keeps_a_browser_from_being_fooled(service: Service) -> None:
    for path in ("/healthz", "/api/backups", "/nothing"):
        headers = service.get(path).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers


def test_a_method_that_a_route_does_not_know_is_405(service: Service) -> None:
    assert service.get("/healthz").status_code == 200
    with service.caller() as caller:
        assert caller.delete("/api/backups").status_code == 405


def test_nobody_is_sent_elsewhere_with_his_token(service: Service) -> None:
    for path in ("/api/backups/", "/api/backup/", "/healthz/", "/sign-in/"):
        answer = service.get(path, headers={"Host": "evil.example.com"})
        assert (answer.status_code, "location" in answer.headers) == (404, False)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_well_when_it_is_stopped_also_with_an_idle_caller(own_service: Service, signum: signal.Signals) -> None:
    with own_service.caller() as idle:
        idle.get("/healthz")
        own_service.running.signal(signum)
        ended = own_service.running.finish(limit=10)
    assert (ended.code, ended.left) == (0, ())
    assert "Traceback" not in ended.stderr


def test_a_port_that_is_taken_is_a_mistake_of_the_settings(service: Service, shelf: Shelf) -> None:
    ended = shelf.pgproof("serve", "--port", service.address.split(":")[1], PGPROOF_API_TOKENS=TOKENS)
    assert (ended.code, ended.complaint) == (3, f"cannot listen at {service.address}")


def test_it_speaks_tls_with_the_files_that_it_is_given(shelf: Shelf, tmp_path: Path) -> None:
    made = make_certificate("127.0.0.1", "localhost")
    (tmp_path / "cert.pem").write_bytes(made.chain)
    (tmp_path / "key.pem").write_bytes(made.key)
    files = {
        "PGPROOF_SERVE_TLS_CERT": str(tmp_path / "cert.pem"),
        "PGPROOF_SERVE_TLS_KEY": str(tmp_path / "key.pem"),
        "PGPROOF_API_TOKENS": TOKENS,
    }
    context = ssl.create_default_context(cadata=made.authority.decode())
    port = free_port()
    with shelf.pgproof.start("serve", "--port", str(port), **files) as running:
        client = httpx.Client(verify=context, trust_env=False)

        def answers() -> bool:
            try:
                return client.get(f"https://127.0.0.1:{port}/readyz").status_code == 200
            except httpx.TransportError:
                return False

        running.wait_for(answers)
        answer = client.get(f"https://127.0.0.1:{port}/healthz")
        client.close()
    assert "strict-transport-security" in answer.headers


def test_half_of_tls_and_a_wrong_key_are_mistakes_of_the_settings(shelf: Shelf, tmp_path: Path) -> None:
    one, other = make_certificate("localhost"), make_certificate("localhost")
    (tmp_path / "cert.pem").write_bytes(one.chain)
    (tmp_path / "key.pem").write_bytes(other.key)
    files = {"PGPROOF_SERVE_TLS_CERT": str(tmp_path / "cert.pem"), "PGPROOF_API_TOKENS": TOKENS}
    assert shelf.pgproof("serve", **files).complaint == "serve: tls_cert and tls_key go together; set both or none"
    ended = shelf.pgproof("serve", PGPROOF_SERVE_TLS_KEY=str(tmp_path / "key.pem"), **files)
    assert (ended.code, ended.complaint) == (3, "the certificate or its key cannot be used")
    assert "PRIVATE KEY" not in ended.stderr
