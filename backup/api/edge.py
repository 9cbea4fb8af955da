"""What every request passes first and every answer last: bounds, and headers that keep a browser safe.

Owns how large a body may be, how long it may take, how long a reader may leave an answer lying, and that no token
stands in an address. It knows no route.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from backup.api.failures import Refused, answer
from backup.domain.access import Token, find_token
from backup.logs import log, redact

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

BODY_LIMIT = 64 << 10
"""Bytes; what we are asked has a few hundred."""
BODY_SECONDS = 10.0
"""Until a body is there. A guess."""
SEND_SECONDS = 60.0
"""That a reader may take no byte of an answer, before the line is cut. A guess."""

_TELLTALE = frozenset({"token", "access_token", "api_token", "api_key", "apikey", "authorization", "bearer"})
"""Names of parameters by which people put tokens into addresses."""

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),  # no-referrer would make the Origin of our own forms null
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_KEPT = (b"cache-control", b"no-store")
_LONGER = (b"strict-transport-security", b"max-age=31536000")


class Cut(Exception):
    """The line is cut in the middle of an answer, so that nobody takes it for whole."""


class Edge:
    """An app behind these bounds.

    Args:
        app: what answers.
        tokens: that must not stand in an address.
        send_seconds: that a reader may take no byte of an answer.
    """

    def __init__(self, app: App, tokens: tuple[Token, ...], *, send_seconds: float = SEND_SECONDS) -> None:
        self._app = app
        self._tokens = tokens
        self._send_seconds = send_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        safe = _safe(send, seconds=self._send_seconds, secure=scope["scheme"] == "https")
        try:
            self._refuse_tokens(scope)
            body = await _whole_body(scope, receive)
        except Refused as error:
            log.info("refused", path=scope["path"], reason=error.message)
            await answer(error)(scope, receive, safe)
            return
        if body is None:
            return
        try:
            await self._app(scope, _replayed(body, receive), safe)
        except Cut as error:
            log.info("an answer was cut", path=scope["path"], reason=str(error))
            raise
        except Exception:
            log.error("a bug", path=scope["path"], exception=redact(traceback.format_exc()))
            raise

    def _refuse_tokens(self, scope: Scope) -> None:
        query = scope["query_string"]
        if not query:
            return
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
        words = (word for name, value in pairs for word in (name, *value.split()))
        if any(name.lower() in _TELLTALE for name, _ in pairs) or any(find_token(self._tokens, word) for word in words):
            raise Refused(
                HTTPStatus.BAD_REQUEST,
                "a token does not belong into an address",
                code="token_in_address",
                hint="send the header Authorization: Bearer TOKEN; addresses end in logs, so change that token",
            )


async def _whole_body(scope: Scope, receive: Receive) -> bytes | None:
    """The body, where there is one; None where the caller has gone. Raises Refused."""
    headers = dict(scope["headers"])
    length = headers.get(b"content-length")
    if length is None and b"transfer-encoding" not in headers:
        return b""
    if length is not None and int(length) > BODY_LIMIT:
        raise _too_large()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            data: bytes = b""
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                data += message.get("body", b"")
                if len(data) > BODY_LIMIT:
                    raise _too_large()
                if not message.get("more_body"):
                    return data
    except TimeoutError:
        raise Refused(
            HTTPStatus.REQUEST_TIMEOUT,
            "the body took too long",
            code="request_timeout",
            headers={"Connection": "close"},
        ) from None


def _too_large() -> Refused:
    return Refused(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"the body has more than {BODY_LIMIT} bytes",
        code="too_large",
        headers={"Connection": "close"},
    )


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body once more."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _safe(send: Send, *, seconds: float, secure: bool) -> Send:
    """A `send` that adds our headers, and waits for no reader for ever."""
    added = (*HEADERS, _LONGER) if secure else HEADERS

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            there = {name for name, _ in message.setdefault("headers", [])}
            message["headers"] = [*message["headers"], *added, *([_KEPT] if _KEPT[0] not in there else [])]
        try:
            async with asyncio.timeout(seconds):
                await send(message)
        except TimeoutError:
            raise Cut(f"its reader took nothing for {seconds:.0f} s") from None

    return sent
