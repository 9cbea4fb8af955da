"""A web server on 127.0.0.1 that keeps what it is sent and answers as a test says, also as no decent server would.

Owns its threads: all of them end with the context.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.certificates import Certificate

_PACE = 0.05
"""Seconds between two bytes that drip."""

Answer = Callable[[socket.socket, threading.Event], None]
"""Writes an answer into a connection, which is closed behind it; the event is set when the server ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What was sent; names of headers are lower case."""

    line: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 -- JSON
        """The body as JSON."""
        return json.loads(self.body)


def says(status: int, text: str = "", **headers: str) -> Answer:
    """An ordinary answer; `headers` with underscores for dashes."""

    def answer(line: socket.socket, _over: threading.Event) -> None:
        lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(text.encode())}", "Connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        line.sendall("\r\n".join([*lines, "", text]).encode())

    return answer


def closes(_line: socket.socket, _over: threading.Event) -> None:
    """No answer, and the connection is closed."""


def hangs(_line: socket.socket, over: threading.Event) -> None:
    """No answer, and the connection stays open."""
    over.wait()


def drips(head: str) -> Answer:
    """An answer that begins with `head`, and goes on byte by byte for ever."""

    def answer(line: socket.socket, over: threading.Event) -> None:
        line.sendall(head.encode())
        while not over.wait(_PACE):
            line.sendall(b"x")

    return answer


@dataclass(slots=True, kw_only=True)
class Receiver:
    """A running one. `answers` are given in turn, the last of them ever after."""

    port: int
    scheme: str
    answers: list[Answer] = field(default_factory=lambda: [says(204)])
    messages: list[Message] = field(default_factory=list)

    def url(self, path: str = "/hook") -> str:
        """An address of it."""
        return f"{self.scheme}://127.0.0.1:{self.port}{path}"

    def always(self, answer: Answer) -> None:
        """Answer so from now on."""
        self.answers = [answer]

    def next_answer(self) -> Answer:
        """What the next one gets."""
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextmanager
def receiving(certificate: Certificate | None = None, *, port: int = 0) -> Iterator[Receiver]:
    """One as long as the context, at any port if none is given, with TLS where it has a certificate."""
    over = threading.Event()
    with ThreadingHTTPServer(("127.0.0.1", port), BaseHTTPRequestHandler) as server:
        receiver = Receiver(port=server.server_port, scheme="https" if certificate else "http")

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.close_connection = True
                headers = {name.lower(): value for name, value in self.headers.items()}
                body = self.rfile.read(int(headers.get("content-length", 0)))
                receiver.messages.append(Message(line=self.requestline, headers=headers, body=body))
                with contextlib.suppress(OSError):  # whoever asked may be gone
                    receiver.next_answer()(self.connection, over)

            def log_message(self, *_arguments: object) -> None:
                """To nobody."""

        server.RequestHandlerClass = Handler
        server.daemon_threads = False  # so that its end waits for them
        if certificate:
            server.socket = _secure(certificate).wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="receiver")
        thread.start()
        try:
            yield receiver
        finally:
            over.set()
            server.shutdown()
            thread.join()


def _secure(certificate: Certificate) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    with tempfile.NamedTemporaryFile() as file:
        file.write(certificate.chain + certificate.key)
        file.flush()
        context.load_cert_chain(file.name)
    return context
