"""Sessions of the status page: a signed cookie in place of a token, and forms that only its pages can send.

Owns that cookie. Nothing of a session is kept by the service.
"""

from __future__ import annotations

import secrets
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from fastapi import Request, Response

from backup.api.failures import Refused
from backup.api.guard import Guard
from backup.bootstrap import now
from backup.domain.access import Scope, Token, find_session, form_key, is_form_key, make_session

COOKIE = "pgproof_session"
LIFETIME = 12 * 3600
"""Seconds: a working day."""
_MOST_FIELDS = 20
"""Of a form; ours have two."""


class SignedOut(Refused):
    """Nobody is signed in."""

    def __init__(self) -> None:
        super().__init__(HTTPStatus.UNAUTHORIZED, "sign in first", code="unauthorized")


def sign_in(request: Request, response: Response, token: Token) -> None:
    """Begin a session; where its token ends before it, it ends with that."""
    session = make_session(token, expires=int(now().timestamp()) + LIFETIME, nonce=secrets.token_hex(16))
    response.set_cookie(
        COOKIE,
        session,
        max_age=LIFETIME,
        path="/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )


def sign_out(response: Response) -> None:
    """End the browser's session."""
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")


def signed_in(request: Request) -> Token:
    """Whose session a request belongs to. Raises SignedOut, or Refused where the token may not read."""
    guard: Guard = request.app.state.guard
    token = find_session(guard.tokens, request.cookies.get(COOKIE, ""), now=now())
    if token is None:
        raise SignedOut
    guard.require(token, Scope.READ)
    return token


def key_of_forms(request: Request, token: Token) -> str:
    """What the forms of a page hold."""
    return form_key(token, request.cookies.get(COOKIE, ""))


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form, the last of each name. Raises Refused where the form came from elsewhere."""
    site = request.headers.get("sec-fetch-site", "same-origin")
    if not _is_ours(request.headers.get("origin"), request.headers.get("host")) or site not in {"same-origin", "none"}:
        raise Refused(
            HTTPStatus.FORBIDDEN,
            "this form came from another site",
            code="forbidden",
            hint="a proxy in between must pass on the header Host as it came",
        )
    body = (await request.body()).decode("utf-8", "replace")
    try:
        found = parse_qs(body, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError as error:
        raise Refused(HTTPStatus.BAD_REQUEST, "this is none of our forms", code="bad_request") from error
    return {name: values[-1] for name, values in found.items()}


def _is_ours(origin: str | None, host: str | None) -> bool:
    """Whether an Origin, where there is one, is that of the page that was asked for."""
    try:
        return origin is None or urlsplit(origin).netloc == host
    except ValueError:  # it is no address at all
        return False


def require_own(request: Request, token: Token, form: dict[str, str]) -> None:
    """See to it that a form came from a page of this session. Raises Refused."""
    if not is_form_key(token, request.cookies.get(COOKIE, ""), form.get("key", "")):
        raise Refused(
            HTTPStatus.FORBIDDEN, "this form is of another session", code="forbidden", hint="load the page again"
        )
