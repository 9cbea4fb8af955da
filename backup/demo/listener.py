"""The demo's receiver of webhooks: a web server of its own that checks the signature of what comes.

Owns its thread, which ends with the context.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from backup.notify.webhook import verified


@dataclass(slots=True)
class Listener:
    """A running one. `heard`: what came and was signed with its secret."""

    port: int
    heard: list[dict[str, Any]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/hooks/backups"


@contextmanager
def listening(secret: str) -> Iterator[Listener]:
    """One on 127.0.0.1, at a free port; what is not signed with `secret` (`whsec_…`) it refuses."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            message = verified(dict(self.headers.items()), body, secret)
            if message:
                listener.heard.append(message)
            self.send_response(204 if message else 401)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            """To nobody."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        listener = Listener(port=server.server_port)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="listener", daemon=True)
        thread.start()
        try:
            yield listener
        finally:
            server.shutdown()
            thread.join()
