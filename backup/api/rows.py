"""`GET /api/backup`: the chosen rows as one JSON document, streamed. Owns how many may be made at a time."""

from __future__ import annotations

import asyncio
import time
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from backup.api.edge import Cut
from backup.api.export import Export
from backup.api.failures import Refused, documented
from backup.api.guard import BEARER, Allowed
from backup.domain.access import Scope as TokenScope
from backup.domain.access import Token
from backup.errors import PgproofError
from backup.logs import log
from backup.settings import Settings

MOST_EXPORTS = 4
"""At a time: each holds two sessions and a snapshot of the database. A guess."""

router = APIRouter(dependencies=[Depends(BEARER)])


class Document(BaseModel):
    """What `pgproof export` writes. `stats` and `success` stand last: a document that was cut is no JSON."""

    timestamp: str = Field(description="When the snapshot was taken.", examples=["2026-11-22T08:00:01.123456Z"])
    left_out: dict[str, list[str]] = Field(
        description="Columns that look like secrets, by table.", examples=[{"users": ["password_hash"]}]
    )
    asked_for: dict[str, list[str]] | None = Field(default=None, description="Such that were asked for by name.")
    data: dict[str, list[dict[str, object]]] = Field(examples=[{"users": [{"id": 1, "name": "Ada"}]}])
    stats: dict[str, int] = Field(description="Rows by table.", examples=[{"users": 1}])
    success: bool


class Streamed(Response):
    """An export on its way to one reader; where that one goes, its query is cancelled."""

    media_type = "application/json"

    def __init__(self, export: Export, first: bytes) -> None:
        super().__init__(headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._export = export
        self._first = first

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send all of it. Raises Cut where it fails half-way: the reader must not take it for whole."""
        del scope
        sending = asyncio.ensure_future(self._send(send))
        leaving = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            sending.cancel()
            leaving.cancel()
            self._export.leave()

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        piece = self._first
        while piece:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            try:
                piece = await self._export.next()
            except PgproofError as error:
                raise Cut("the export failed half-way") from error
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        done = self._export.done
        log.info("exported", tables=len(done.stats), rows=sum(done.stats.values()), bytes=done.bytes)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class Exports:
    """Those that are under way: also one that was left, until its sessions have ended."""

    def __init__(self) -> None:
        self._begun: list[Export] = []

    def begin(self, settings: Settings) -> Export:
        """One more. Raises Refused where there are too many."""
        self._begun = [each for each in self._begun if not each.ended.is_set()]
        if len(self._begun) >= MOST_EXPORTS:
            raise Refused(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"{len(self._begun)} exports are under way already",
                code="busy",
                headers={"Retry-After": "30"},
            )
        export = Export(settings)
        self._begun.append(export)
        return export

    def finish(self, seconds: float) -> None:
        """Wait for the end of those that were left, at most so long: a query must not outlive the service."""
        end = time.monotonic() + seconds
        for each in self._begun:
            each.ended.wait(max(0.0, end - time.monotonic()))


@router.get(
    "/api/backup",
    response_model=Document,
    responses=documented(401, 403, 429),
    summary="The chosen rows as one JSON document",
)
async def export_rows(request: Request, token: Annotated[Token, Depends(Allowed(TokenScope.DATA))]) -> Response:
    """Which rows: `rows` in the settings of the service, all as they were in one moment.

    An answer that does not come to its end has failed; it is no JSON then.
    """
    state = request.app.state
    exports: Exports = state.exports
    export = exports.begin(state.settings)
    log.info("an export is asked for", by=token.name)
    try:
        return Streamed(export, await export.start())
    except BaseException:
        export.leave()
        raise
