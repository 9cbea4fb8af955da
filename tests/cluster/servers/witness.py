"""Sees what pgproof tells the world: receives webhooks, stands in for a token service, and holds a database's line.

    POST /hooks/NAME       a webhook, kept as it came      GET /hooks/NAME    those that came, in order
    POST /                 AssumeRoleWithWebIdentity       GET /tokens        the tokens that were shown
    GET  /line/hold|free   whether the line stops after _LINE_BYTES of an answer; port 5432 leads to LINE_TO

It stands in for Amazon's STS and is none: it looks at no signature. The test shows the token to the cluster itself.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

_LINE_BYTES = 36 << 20
"""Of a server's answer, before the line is held: compressed still two parts of an upload, so that one is under way."""

_hooks: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
_tokens: list[dict[str, str]] = []
_free = threading.Event()
_free.set()

_ANSWER = """<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{access}</AccessKeyId>
<SecretAccessKey>{secret}</SecretAccessKey><SessionToken></SessionToken><Expiration>{expiration}</Expiration>
</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"""
"""Without a session token: the keys are those of the S3 server's one account, which knows no sessions."""


class Web(BaseHTTPRequestHandler):
    """Webhooks, tokens and the line's lever."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """A webhook or a token."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        path = urlsplit(self.path)
        if path.path.startswith("/hooks/"):
            headers = {name.lower(): value for name, value in self.headers.items()}
            _hooks[path.path].append({"headers": headers, "body": body})
            self._answer(204, b"")
            return
        shown = {name: values[0] for name, values in parse_qs(path.query or body).items()}
        if shown.get("Action") != "AssumeRoleWithWebIdentity" or not shown.get("WebIdentityToken"):
            self._answer(400, b"<ErrorResponse/>", "text/xml")
            return
        _tokens.append(shown)
        expiration = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        text = _ANSWER.format(access=os.environ["ACCESS_KEY"], secret=os.environ["SECRET_KEY"], expiration=expiration)
        self._answer(200, text.encode(), "text/xml")

    def do_GET(self) -> None:
        """What was seen."""
        match self.path:
            case "/tokens":
                seen: object = _tokens
            case "/line/hold":
                _free.clear()
                seen = "held"
            case "/line/free":
                _free.set()
                seen = "free"
            case path:
                seen = _hooks[path]
        self._answer(200, json.dumps(seen).encode())

    def _answer(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Line(BaseRequestHandler):
    """A line to the database that can be held in the middle of an answer."""

    def handle(self) -> None:
        """Carry bytes both ways until one side ends."""
        host, port = os.environ["LINE_TO"].split(":")
        with socket.create_connection((host, int(port))) as server:
            asking = threading.Thread(target=_carry, args=(self.request, server), daemon=True)
            asking.start()
            _carry(server, self.request, hold=True)


def _carry(source: socket.socket, target: socket.socket, *, hold: bool = False) -> None:
    passed = 0
    try:
        while data := source.recv(1 << 16):
            passed += len(data)
            if hold and passed > _LINE_BYTES:
                _free.wait()
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        for side in (source, target):
            side.close()


class _Lines(ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def main() -> None:
    """Serve until the pod ends."""
    lines = _Lines(("0.0.0.0", 5432), Line)  # noqa: S104 - the pod's own network
    threading.Thread(target=lines.serve_forever, daemon=True).start()
    ThreadingHTTPServer(("0.0.0.0", 8080), Web).serve_forever()  # noqa: S104


if __name__ == "__main__":
    main()
