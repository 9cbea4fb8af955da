"""What becomes of a line whose caller takes nothing, or asks without waiting; times are shorter than the service's."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import uvicorn

from backup.api.edge import Edge, Receive, Scope, Send
from backup.api.protocol import BoundedProtocol
from tests.support.command import wait_until

PATIENCE = 0.5
LARGE = 32 << 20
"""Bytes of an answer: more than the system keeps for a reader."""


class Hasty(BoundedProtocol):
    patience = PATIENCE


class App:
    """Answers /large in one piece, /stream in endless ones, /slow after a moment; counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.left: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        self.asked.append(path)
        await receive()
        if path == "/slow":
            await asyncio.sleep(0.2)
        if path == "/until-left":
            await receive()
            self.left.append(path)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while path == "/stream":
            await send({"type": "http.response.body", "body": b"x" * (1 << 20), "more_body": True})
        body = b"x" * (LARGE if path == "/large" else 10)
        await send({"type": "http.response.body", "body": body, "more_body": False})


@contextmanager
def served(app: App, *, limit: int = 100) -> Iterator[tuple[uvicorn.Server, int]]:
    config = uvicorn.Config(
        Edge(app, (), send_seconds=PATIENCE),
        http=Hasty,
        ws="none",
        lifespan="off",
        log_config=None,
        timeout_keep_alive=1,
        limit_concurrency=limit,
    )
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    try:
        yield server, listening.getsockname()[1]
    finally:
        server.should_exit = server.force_exit = True
        thread.join(10)
        listening.close()


def ask(port: int, data: bytes) -> socket.socket:
    line = socket.create_connection(("127.0.0.1", port), timeout=10)
    line.sendall(data)
    return line


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


def until(line: socket.socket, end: bytes | None = None) -> bytes:
    """What comes until it ends so, or until the line is closed."""
    found = b""
    while not (end and found.endswith(end)) and (data := line.recv(1 << 16)):
        found += data
    return found


@pytest.mark.parametrize("path", ["/large", "/stream"])
def test_a_reader_that_takes_nothing_is_cut_off_and_nothing_of_it_is_kept(path: str) -> None:
    with served(App()) as (server, port), ask(port, get(path)):
        wait_until(lambda: len(server.server_state.connections) == 1)
        wait_until(lambda: not server.server_state.connections, limit=10)


def test_a_reader_that_is_slow_but_reads_gets_all_of_it() -> None:
    with served(App()) as (_, port), ask(port, get("/large")) as line:
        found = 0
        while found < LARGE and (data := line.recv(4 << 20, socket.MSG_WAITALL)):
            found += len(data)
            threading.Event().wait(0.3)
        assert found >= LARGE


def test_requests_that_do_not_wait_for_an_answer_are_not_heard_and_cost_nothing() -> None:
    app = App()
    with served(app) as (_, port), ask(port, get("/slow") + get("/more") * 200) as line:
        line.sendall(get("/more") * 200)
        assert until(line).count(b"HTTP/1.1 200") == 1
    assert app.asked == ["/slow"]


def test_with_too_many_callers_the_service_still_shows_that_it_lives() -> None:
    with served(App(), limit=2) as (_, port), ask(port, b""), ask(port, b""):
        with ask(port, get("/anything")) as line:
            said = until(line)
            assert said.startswith(b"HTTP/1.1 503")
            assert json.loads(said.partition(b"\r\n\r\n")[2])["error"]["message"] == "there are too many callers"
        with ask(port, get("/healthz")) as line:
            assert until(line, b"0\r\n\r\n").startswith(b"HTTP/1.1 200")


def test_one_request_after_the_other_is_answered_on_the_same_line() -> None:
    app = App()
    with served(app) as (_, port), ask(port, get("/one")) as line:
        assert until(line, b"0\r\n\r\n").startswith(b"HTTP/1.1 200")
        line.sendall(get("/two"))
        assert until(line, b"0\r\n\r\n").startswith(b"HTTP/1.1 200")
    assert app.asked == ["/one", "/two"]


def test_who_leaves_with_another_request_under_way_is_known_to_have_left() -> None:
    app = App()
    with served(app) as (_, port):
        with ask(port, get("/until-left") + get("/more")):
            wait_until(lambda: bool(app.asked))
        wait_until(lambda: app.left == ["/until-left"])
