"""The routes that tell how runs go: each one, all of them, and a log line by line as server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Request, Response
from pydantic import BaseModel
from starlette.responses import StreamingResponse

from backup.api.failures import documented
from backup.api.guard import BEARER
from backup.api.reading import Reader
from backup.api.runs import Run, Runner
from backup.errors import PgproofError

router = APIRouter(dependencies=[Depends(BEARER)])

_PAUSE = 0.2
"""Seconds between two looks at a log."""
_QUIET = 15.0
"""Seconds after which a word is sent all the same, so that no proxy takes the line for dead."""

RunId = Annotated[str, Path(max_length=253, examples=["backup-20261122t080000z-1f2e3d"])]


class Runs(BaseModel):
    """Runs, the newest first."""

    runs: list[Run]


@router.get("/api/runs", responses=documented(401, 403, 404, 429), summary="The runs that are known")
async def list_runs(request: Request, _: Reader) -> Runs:
    """In a cluster the Jobs of the release; elsewhere what this service has started since it began."""
    return Runs(runs=list(await asyncio.to_thread(request.app.state.runner.all)))


@router.get("/api/runs/{run}", responses=documented(401, 403, 404, 422, 429), summary="How a run goes")
async def show_run(request: Request, _: Reader, run: RunId) -> Run:
    """`state` is running, succeeded or failed."""
    runner: Runner = request.app.state.runner
    return await asyncio.to_thread(runner.find, run)


@router.get(
    "/api/runs/{run}/log",
    responses={
        200: {
            "description": "Events: `log` is a line, `end` the run once it has ended.",
            "content": {"text/event-stream": {}},
        },
        **documented(401, 403, 404, 422, 429),
    },
    response_class=Response,
    summary="The log of a run, live",
)
async def follow_run(
    request: Request, _: Reader, run: RunId, last: Annotated[str | None, Header(alias="Last-Event-ID")] = None
) -> Response:
    """Server-sent events; a reader whose line broke goes on behind the `Last-Event-ID` that it sends."""
    return await stream_log(request, run, last)


async def stream_log(request: Request, run: str, last: str | None) -> Response:
    """A log as an answer. Raises NotFound."""
    state = request.app.state
    runner: Runner = state.runner
    lines = await asyncio.to_thread(runner.log_of, run)
    begin = int(last) if last and last.isascii() and last.isdigit() and len(last) < 10 else 0  # noqa: PLR2004 -- digits

    async def events() -> AsyncIterator[bytes]:
        number, quiet = begin, 0.0
        yield b"retry: 2000\n\n"
        while state.ready:
            closed = lines.closed  # before what is there is read: then nothing comes behind that
            news = lines.since(number)
            for number, line in news:
                yield _event("log", line, number)
            if closed:
                yield await _end(runner, run)
                return
            await asyncio.sleep(_PAUSE)
            quiet = 0.0 if news else quiet + _PAUSE
            if quiet >= _QUIET:
                quiet = 0.0
                yield b": still there\n\n"

    return StreamingResponse(events(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


async def _end(runner: Runner, run: str) -> bytes:
    """The last event: how the run stands now that its log has ended."""
    try:
        found = await asyncio.to_thread(runner.find, run)
    except PgproofError as error:
        return _event("end", json.dumps({"id": run, "state": "unknown", "outcome": error.message}))
    return _event("end", found.model_dump_json(exclude={"result"}))


def _event(name: str, text: str, number: int | None = None) -> bytes:
    """One event; a line has no line end in it, but a carriage return would be one."""
    head = f"id: {number}\n" if number is not None else ""
    clean = text.replace("\r", " ").replace("\n", " ")
    return f"{head}event: {name}\ndata: {clean}\n\n".encode("utf-8", "replace")
