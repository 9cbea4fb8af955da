"""The web address that Prometheus asks: /metrics and /healthz, and nothing else.

Owns the server: it answers GET and HEAD, reads no body, and gives a caller a few seconds. What it answers is handed in.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from backup import __version__
from backup.domain.metrics import Sample
from backup.errors import ConfigurationError
from backup.logs import log
from backup.notify.exposition import CONTENT_TYPE, render

_TEXT = "text/plain; charset=utf-8"
_PATIENCE = 10
"""Seconds that a caller may take to say what it wants."""
_MOST_CALLERS = 16
"""At a time; more are turned away. Prometheus is one, a probe another."""


class Endpoint(ThreadingHTTPServer):
    """Serves figures at an address until `shutdown` is called.

    Args:
        host: name or address to listen at.
        port: to listen at; 0 for any that is free.
        figures: those of now.

    Raises:
        ConfigurationError: it cannot listen there.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, host: str, port: int, figures: Callable[[], Sequence[Sample]]) -> None:
        self.figures = figures
        self._places = threading.BoundedSemaphore(_MOST_CALLERS)
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            self.address_family = found[0]
            super().__init__((str(found[4][0]), port), _Answer)
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen at {host}:{port}",
                detail=error.strerror,
                hint="choose another: PGPROOF_WATCH_HOST, PGPROOF_WATCH_PORT",
            ) from error

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port = self.server_address[:2]
        shown = host.decode() if isinstance(host, bytes | bytearray) else str(host)
        return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"

    def server_bind(self) -> None:
        """Bind, without asking DNS for our own name."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 -- the library's signature
        """Answer on a thread, or hang up where there are too many already."""
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 -- the same
        """Answer, and make room for the next."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401, ARG002 -- the same
        """A caller that hangs up is nobody's trouble."""
        log.debug("a caller was not answered to the end", exc_info=True)


class _Answer(BaseHTTPRequestHandler):
    server: Endpoint
    timeout = _PATIENCE
    server_version = f"pgproof/{__version__}"

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._answer(HTTPStatus.OK, render(self.server.figures()), CONTENT_TYPE)
        elif path == "/healthz":
            self._answer(HTTPStatus.OK, b"ok\n")
        else:
            self._answer(HTTPStatus.NOT_FOUND, b"there are /metrics and /healthz\n")

    def do_HEAD(self) -> None:
        self.do_GET()

    def version_string(self) -> str:
        return self.server_version

    def _refuse(self) -> None:
        self._answer(HTTPStatus.METHOD_NOT_ALLOWED, b"GET or HEAD\n")

    do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = _refuse  # noqa: N815 -- the same

    def _answer(self, status: HTTPStatus, body: bytes, kind: str = _TEXT) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET, HEAD")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the library's signature
        log.debug("asked", what=format % args)
