"""Answers the list again that was answered a moment ago, past the framework: its part of a small answer is the largest.

Owns no rule: only a question that the route has answered since the last look is answered here, to who may read.
"""

from __future__ import annotations

from backup.api.edge import App, Receive, Scope, Send
from backup.api.guard import Guard
from backup.api.library import LIST, Library
from backup.bootstrap import now
from backup.domain.access import Scope as TokenScope
from backup.domain.access import find_token

_BEARER = b"bearer "


class Front:
    """An app, and in front of it what is still known of its list.

    Args:
        app: that answers everything else.
        guard: knows the tokens.
        library: has what was answered.
    """

    def __init__(self, app: App, guard: Guard, library: Library) -> None:
        self._app = app
        self._guard = guard
        self._library = library

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        data = self._known(scope) if scope["type"] == "http" and scope["path"] == LIST else None
        if data is None:
            await self._app(scope, receive, send)
            return
        headers = [(b"content-length", str(len(data)).encode()), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": data, "more_body": False})

    def _known(self, scope: Scope) -> bytes | None:
        """The answer, where this question had one and the asker may have it."""
        if scope["method"] != "GET":
            return None
        said = [value for name, value in scope["headers"] if name == b"authorization"]
        if len(said) != 1 or said[0][: len(_BEARER)].lower() != _BEARER:
            return None
        token = find_token(self._guard.tokens, said[0][len(_BEARER) :].decode("latin-1").strip())
        if token is None or token.has_ended(now()) or TokenScope.READ not in token.scopes:
            return None
        return self._library.answered(scope["query_string"])
