"""Who is let in: a bearer token with the scope that a route asks for, in its time.

Owns what is answered to a token that is missing, wrong, over or not enough, and how often a caller may be wrong. A
token is never logged: people are told its place in the list.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from http import HTTPStatus

from fastapi import Request
from fastapi.security import HTTPBearer

from backup.api.failures import Refused
from backup.bootstrap import now
from backup.domain.access import Scope, Token, find_token
from backup.logs import log

MOST_FAILURES = 10
"""Wrong tokens from one address within a minute; what comes then is answered with 429."""
_WINDOW = 60.0
_MOST_CALLERS = 10_000
"""Addresses that are remembered."""

BEARER = HTTPBearer(auto_error=False, scheme_name="token", description="One of PGPROOF_API_TOKENS.")


class Failures:
    """Counts wrong tokens by address.

    One that is right is let in whatever others at its address did: else anybody behind the same proxy could lock it
    out, and a token of 16 characters is not found by trying.
    """

    def __init__(self) -> None:
        self._seen: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def add(self, address: str) -> int:
        """Count one more, and say how many there were within the minute."""
        moment = time.monotonic()
        begun, count = self._seen.pop(address, (moment, 0))
        if moment - begun > _WINDOW:
            begun, count = moment, 0
        self._seen[address] = (begun, count + 1)
        while len(self._seen) > _MOST_CALLERS:
            self._seen.popitem(last=False)
        return count + 1

    def wait(self, address: str) -> int:
        """Seconds until the minute of an address is over."""
        begun, _ = self._seen.get(address, (0.0, 0))
        return max(1, int(_WINDOW - (time.monotonic() - begun)) + 1)


class Guard:
    """The tokens of a service, and what has been tried.

    Args:
        tokens: that are let in.
    """

    def __init__(self, tokens: tuple[Token, ...]) -> None:
        self.tokens = tokens
        self.failures = Failures()

    def identify(self, presented: str, address: str) -> Token:
        """The token that was presented.

        Raises:
            Refused: 401 where it is none of ours, or its time is over; 429 after too many that are none of ours.
        """
        found = find_token(self.tokens, presented)
        if found and found.end and found.has_ended(now()):
            ended = f"{found.end:%Y-%m-%dT%H:%M:%SZ}"
            log.warning("a token whose time is over", token=found.name, ended=ended, address=address)
            raise _unauthorized(
                "the time of this token is over",
                "ask for a new one: PGPROOF_API_TOKENS of the service says until when each is good",
                error="invalid_token",
            )
        if found:
            return found
        count = self.failures.add(address)
        if count > MOST_FAILURES:
            raise Refused(
                HTTPStatus.TOO_MANY_REQUESTS,
                "too many wrong tokens from this address",
                code="too_many_requests",
                headers={"Retry-After": str(self.failures.wait(address))},
            )
        log.warning("a wrong token", address=address, count=count)
        raise _unauthorized(
            "this token is not known",
            "it may have been withdrawn: PGPROOF_API_TOKENS of the service has those that count",
            error="invalid_token",
        )

    def require(self, token: Token, scope: Scope) -> None:
        """See to it that a token may do something. Raises Refused: 403 where it may not."""
        if scope not in token.scopes:
            log.warning("a token without the scope", token=token.name, scope=scope.value)
            raise Refused(
                HTTPStatus.FORBIDDEN,
                f"this token has no scope {scope.value}",
                code="forbidden",
                headers={
                    "WWW-Authenticate": f'Bearer realm="pgproof", error="insufficient_scope", scope="{scope.value}"'
                },
            )


class Allowed:
    """A dependency of routes: lets in who presents a token with a scope, and says which token that was."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def __call__(self, request: Request) -> Token:
        """The token. Raises Refused."""
        guard: Guard = request.app.state.guard
        kind, _, presented = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not presented.strip():
            raise _unauthorized("a token is needed", "send the header Authorization: Bearer TOKEN")
        token = guard.identify(presented.strip(), address_of(request))
        guard.require(token, self._scope)
        return token


def _unauthorized(message: str, hint: str, *, error: str | None = None) -> Refused:
    """A 401; `error` as RFC 6750 names it, where a token was presented."""
    challenge = 'Bearer realm="pgproof"' + (f', error="{error}"' if error else "")
    return Refused(
        HTTPStatus.UNAUTHORIZED, message, code="unauthorized", hint=hint, headers={"WWW-Authenticate": challenge}
    )


def address_of(request: Request) -> str:
    """Of the caller; behind a proxy that is believed, of whom it names."""
    return request.client.host if request.client else "unknown"
