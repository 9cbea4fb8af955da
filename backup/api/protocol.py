"""HTTP on one connection, with bounds: on the head of a request, and on callers that take nothing or do not wait.

Owns what uvicorn leaves open: with its fast parser a head has no end; a caller that says nothing stays for ever, and so
does one that reads nothing; requests that are sent without waiting for answers pile up, each a hundred times its size.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from backup.api.edge import SEND_SECONDS
from backup.api.failures import Refused, answer

HEAD_LIMIT = 16 << 10
"""Bytes of the request line and all headers."""
HEAD_SECONDS = 10.0
"""From a connection, or the end of the answer before, until the whole head is there. A guess."""

_TOO_LARGE = Refused(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the head of this request is too large", code="too_large"
)
_FULL = Refused(HTTPStatus.SERVICE_UNAVAILABLE, "there are too many callers", code="busy", headers={"Retry-After": "5"})
_PULSE = b"/healthz"
"""Is answered however many callers there are: where a liveness probe is not, the service is killed with its runs."""


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's own, with these bounds.

    A request that comes before the one before it was answered is not heard: the line is closed behind that answer, and
    its caller asks again, as HTTP has it (RFC 9112, 9.3.2).
    """

    patience = SEND_SECONDS
    """Seconds that a caller may take no byte of what is left of the last answer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 -- uvicorn's signature
        super().__init__(*args, **kwargs)
        self._head = 0
        self._in_body = False
        self._deaf = False
        self._left = 0
        self._deadline: asyncio.TimerHandle | None = None
        self._next_look: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait for a head."""
        super().connection_made(transport)
        self._deadline = self.loop.call_later(HEAD_SECONDS, self._give_up)
        self._next_look = self.loop.call_later(self.patience, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._wait_no_more()
        if self._next_look is not None:
            self._next_look.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came, unless it is more head than anybody needs."""
        if self._deaf:
            return
        if not self._in_body:
            self._head += len(data)
            if self._deadline is None:
                self._deadline = self.loop.call_later(HEAD_SECONDS, self._give_up)
        super().data_received(data)
        if self._head > HEAD_LIMIT and not self._in_body and not self.transport.is_closing():
            self._refuse(_TOO_LARGE)

    def on_message_begin(self) -> None:
        """A new head; one that did not wait for its turn is the last."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._deaf = True
            self.cycle.keep_alive = False
            self._wait_no_more()
        if self._deaf:
            return
        super().on_message_begin()
        self._in_body = False

    def on_url(self, url: bytes) -> None:
        """A piece of the address."""
        if not self._deaf:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        if not self._deaf:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole; where it is small enough it is answered."""
        if self._deaf:
            return
        self._wait_no_more()
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        self._in_body = True
        self._head = 0
        if size > HEAD_LIMIT:
            self._refuse(_TOO_LARGE)
            return
        most, self.limit_concurrency = self.config.limit_concurrency, None
        if most is not None and len(self.connections) >= most and self.url != _PULSE:
            self._refuse(_FULL)
            return
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of the body; of a request that was refused nobody wants it."""
        if not self._deaf and not self.transport.is_closing():
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole; what comes next is a head."""
        if self._deaf:
            return
        self._in_body = False
        if not self.transport.is_closing():
            super().on_message_complete()

    def _refuse(self, why: Refused) -> None:
        """Say so as any other failure is said, and close the line."""
        said = answer(why)
        head = b"".join(b"%s: %s\r\n" % header for header in (*said.raw_headers, (b"connection", b"close")))
        self.transport.write(STATUS_LINE[said.status_code] + head + b"\r\n" + bytes(said.body))
        self.transport.close()

    def _give_up(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.close()

    def _look(self) -> None:
        """Cut a line that is closed but for the rest of an answer, of which nothing was taken since the last look."""
        left = self.transport.get_write_buffer_size()
        if self.transport.is_closing() and left and left == self._left:
            self.transport.abort()
            return
        self._left = left
        self._next_look = self.loop.call_later(self.patience, self._look)

    def _wait_no_more(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
