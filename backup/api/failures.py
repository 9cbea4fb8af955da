"""What a failure is over HTTP: its status, and the same document that `--json` prints. Owns that table."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.routing import Route

from backup.api.runs import Busy, KeyReused
from backup.errors import (
    AccessDenied,
    ClusterUnreachable,
    ConfigurationError,
    DatabaseUnreachable,
    DumpFailed,
    LockHeld,
    NotFound,
    ObjectMissing,
    PgproofError,
    RequestRefused,
    StoreUnreachable,
    UsageError,
)
from backup.failures import Bug, describe

_STATUS: Mapping[type[PgproofError], HTTPStatus] = {
    UsageError: HTTPStatus.BAD_REQUEST,
    NotFound: HTTPStatus.NOT_FOUND,
    ObjectMissing: HTTPStatus.NOT_FOUND,
    LockHeld: HTTPStatus.CONFLICT,
    Busy: HTTPStatus.CONFLICT,
    KeyReused: HTTPStatus.UNPROCESSABLE_ENTITY,
    RequestRefused: HTTPStatus.CONFLICT,
    ConfigurationError: HTTPStatus.SERVICE_UNAVAILABLE,
    DatabaseUnreachable: HTTPStatus.SERVICE_UNAVAILABLE,
    StoreUnreachable: HTTPStatus.SERVICE_UNAVAILABLE,
    ClusterUnreachable: HTTPStatus.SERVICE_UNAVAILABLE,
    AccessDenied: HTTPStatus.SERVICE_UNAVAILABLE,
    DumpFailed: HTTPStatus.SERVICE_UNAVAILABLE,
}
"""The nearest class of the tree decides. What is behind the service and does not work is 503, whoever's fault it is."""


class FailureBody(BaseModel):
    """What went wrong."""

    code: str = Field(description="Its stable name.", examples=["not_found"])
    message: str = Field(examples=["no backup 20261122T080000Z of shop"])
    detail: str | None = Field(default=None, description="What a tool or server said.")
    hint: str | None = Field(default=None, description="What to do next.")
    exit_code: int = Field(description="Of a command that fails so; docs/exit-codes.md.", examples=[9])
    retryable: bool = Field(default=False, description="Whether trying again may help.")


class Failure(BaseModel):
    """Every answer that is no success."""

    error: FailureBody


class Refused(PgproofError):
    """The service does not take this request.

    Args:
        status: of the answer.
        headers: of the answer, beside the usual.
        code: its stable name.
    """

    exit_code = 2

    def __init__(
        self,
        status: HTTPStatus,
        message: str,
        *,
        code: str,
        hint: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.http_status = status
        self.headers = dict(headers or {})
        self._code = code

    @property
    def code(self) -> str:
        """Its stable name."""
        return self._code


def status_of(error: PgproofError) -> HTTPStatus:
    """The status that a failure has over HTTP."""
    if isinstance(error, Refused):
        return error.http_status
    for kind in type(error).__mro__:
        if kind in _STATUS:
            return _STATUS[kind]
    return HTTPStatus.INTERNAL_SERVER_ERROR


def answer(error: PgproofError) -> JSONResponse:
    """A failure as an answer."""
    headers = error.headers if isinstance(error, Refused) else {}
    return JSONResponse({"error": describe(error)}, status_code=status_of(error), headers=headers)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The failures of a route, for OpenAPI."""
    return {
        status: {"model": Failure, "description": HTTPStatus(status).phrase} for status in (400, *statuses, 431, 503)
    }


def add_handlers(app: FastAPI) -> None:
    """Let an app answer every failure in this form."""

    @app.exception_handler(PgproofError)
    async def _ours(_request: Request, error: PgproofError) -> JSONResponse:
        return answer(error)

    @app.exception_handler(RequestValidationError)
    async def _invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        places = [f"{'.'.join(str(step) for step in each['loc'])}: {each['msg']}" for each in error.errors()]
        return answer(
            Refused(HTTPStatus.UNPROCESSABLE_ENTITY, "the request does not fit", code="invalid", hint="\n".join(places))
        )

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        status = HTTPStatus(error.status_code)
        text, code = status.phrase.lower(), status.phrase.lower().replace(" ", "_")
        headers = {"Allow": _methods(request)} if status == HTTPStatus.METHOD_NOT_ALLOWED else error.headers
        return answer(Refused(status, text, code=code, headers=headers))

    @app.exception_handler(Exception)
    async def _bug(_request: Request, error: Exception) -> JSONResponse:
        return answer(Bug(f"this is a bug of pgproof: {type(error).__name__}", hint="please report it, with the log"))


def _methods(request: Request) -> str:
    """What an address takes, of all routes that fit it; the framework names those of the first one alone."""
    found: set[str] = set()
    for route in request.app.state.routes:
        if isinstance(route, Route) and route.path_regex.match(request.url.path):
            found |= route.methods or set()
    return ", ".join(sorted(found))
