"""The routes that start something: backups, drills, restores, syncs. Owns which scope each one takes."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import BaseModel

from backup.api.failures import documented
from backup.api.guard import BEARER, Allowed
from backup.api.orders import DATABASE, Asked, BackupOrder, DrillOrder, RestoreOrder, SyncOrder
from backup.api.runs import Busy, Kind, Order, Run, Runner
from backup.domain.access import Scope, Token
from backup.errors import NotFound, PgproofError
from backup.logs import log

router = APIRouter(dependencies=[Depends(BEARER)])

Trigger = Annotated[Token, Depends(Allowed(Scope.TRIGGER))]
Restorer = Annotated[Token, Depends(Allowed(Scope.RESTORE))]
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="The same order with the same key starts one run only, however often it is sent.",
    ),
]
Database = Annotated[
    str | None, Query(pattern=DATABASE, description="In a cluster: which of the release's several; nowhere else.")
]
_ANSWERS = {
    202: {
        "description": "It has begun. Ask at `url`, which stands in `Location` too.",
        "headers": {"Location": {"schema": {"type": "string"}}},
    },
    **documented(401, 403, 404, 408, 409, 413, 422, 429),
}


async def begin(
    runner: Runner,
    kind: Kind,
    order: Asked,
    *,
    by: str,
    key: str | None = None,
    target: str | None = None,
) -> Run:
    """Start what a body asks for; `target` is what the page was looking at. Raises what Runner.start does."""
    made = Order(kind=kind, words=order.words, database=order.database, target=target, key=key and f"{by} {key}", by=by)
    return await asyncio.to_thread(runner.start, made)


async def _answer(
    request: Request, response: Response, kind: Kind, order: Asked, *, token: Token, key: str | None
) -> Run:
    """Begin it, and say where it is."""
    run = await begin(request.app.state.runner, kind, order, by=token.name, key=key)
    response.headers["Location"] = run.url
    return run


@router.post("/api/backups", status_code=202, responses=_ANSWERS, summary="Back up now")
async def back_up(
    request: Request, response: Response, token: Trigger, order: BackupOrder | None = None, key: Key = None
) -> Run:
    """409 while one is under way, of whomever."""
    return await _answer(request, response, "backup", order or BackupOrder(), token=token, key=key)


@router.post("/api/drills", status_code=202, responses=_ANSWERS, summary="Prove a backup")
async def drill(
    request: Request, response: Response, token: Trigger, order: DrillOrder | None = None, key: Key = None
) -> Run:
    """Restores it into a throwaway server and compares; the result is kept beside the backup."""
    return await _answer(request, response, "drill", order or DrillOrder(), token=token, key=key)


@router.post("/api/restores", status_code=202, responses=_ANSWERS, summary="Restore a backup")
async def restore(request: Request, response: Response, token: Restorer, order: RestoreOrder, key: Key = None) -> Run:
    """Into a new database, unless the one that is overwritten is confirmed by its name."""
    return await _answer(request, response, "restore", order, token=token, key=key)


@router.post("/api/sync", status_code=202, responses=_ANSWERS, summary="Bring rows into the second database")
async def sync(
    request: Request, response: Response, token: Trigger, order: SyncOrder | None = None, key: Key = None
) -> Run:
    """As the settings choose them: docs/rows.md."""
    return await _answer(request, response, "sync", order or SyncOrder(), token=token, key=key)


class Begun(BaseModel):
    """What a scheduler has started."""

    runs: list[Run]


@router.get(
    "/api/cron/backup",
    status_code=202,
    response_model=Begun,
    responses={202: {"description": "They have begun."}, **documented(401, 403, 404, 409, 422, 429)},
    summary="For schedulers that can only GET: back up, and sync where that is set up",
)
async def cron(request: Request, token: Trigger, key: Key = None, database: Database = None) -> Begun:
    """By a bearer token alone, never by a cookie. 409 where a backup is under way; then nothing was started.

    A sync that cannot begin is only told in the log: the backup has begun.
    """
    state = request.app.state

    async def start(kind: Kind, order: Asked) -> Run:
        return await begin(state.runner, kind, order, by=token.name, key=key and f"{key} {kind}")

    runs = [await start("backup", BackupOrder(database=database))]
    if state.has_sync:
        try:
            runs.append(await start("sync", SyncOrder(database=database)))
        except (Busy, NotFound) as error:  # one is under way, or the release has none
            log.info("no sync was started", reason=error.message)
        except PgproofError as error:
            log.warning("no sync was started", reason=error.message, hint=error.hint)
    return Begun(runs=runs)
