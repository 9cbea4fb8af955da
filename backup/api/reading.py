"""The routes that read: backups, figures, and whether the service is there. Owns no state."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from starlette.responses import PlainTextResponse

from backup.api.failures import documented
from backup.api.guard import BEARER, Allowed
from backup.api.library import LIST, Library
from backup.api.schemas import BackupInFull, BackupPage
from backup.domain.access import Scope, Token
from backup.domain.ids import check_target, parse_reference
from backup.notify.exposition import CONTENT_TYPE, render

router = APIRouter(dependencies=[Depends(BEARER)])
probes = APIRouter()

Reader = Annotated[Token, Depends(Allowed(Scope.READ))]
TargetName = Annotated[str | None, Query(description="Of this target alone.", max_length=100, examples=["shop"])]
_JSON = "application/json"


def library_of(request: Request) -> Library:
    """What the app has to read from."""
    library: Library = request.app.state.library
    return library


@router.get(
    LIST,
    response_model=BackupPage,
    responses=documented(401, 403, 422, 429),
    summary="The backups, the newest first",
)
async def list_backups(
    request: Request,
    _: Reader,
    target: TargetName = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Of a page, at least.")] = 100,
    before: Annotated[str | None, Query(max_length=100, description="The `next` of the page before.")] = None,
) -> Response:
    """As the stores were seen last; `stores` says when that was, and whether each can be read now."""
    name = check_target(target) if target is not None else None
    question: bytes = request.scope["query_string"]
    found = library_of(request).page(question, target=name, limit=limit, before=before)
    return Response(found, media_type=_JSON)


@router.get(
    "/api/backups/{backup}",
    response_model=BackupInFull,
    responses=documented(401, 403, 404, 422, 429),
    summary="One backup in full",
)
async def show_backup(
    request: Request,
    _: Reader,
    backup: Annotated[
        str,
        Path(
            max_length=100,
            description="An id, `latest`, `latest-proven`, or a time: the newest at or before it.",
            examples=["20261122T080000Z"],
        ),
    ],
    target: TargetName = None,
) -> Response:
    """With its manifest, its drills, and the command that restores it."""
    name = check_target(target) if target is not None else None
    found = library_of(request).find(parse_reference(backup), name)
    return Response(found.model_dump_json().encode(), media_type=_JSON)


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **documented(401, 403, 429)},
    summary="Figures for Prometheus",
)
async def metrics(request: Request, _: Reader) -> Response:
    """The same as those of `pgproof watch`: docs/monitoring.md."""
    return Response(render(request.app.state.watch.measure()), headers={"Content-Type": CONTENT_TYPE})


@probes.get("/healthz", response_class=PlainTextResponse, summary="Whether the service answers")
async def healthz() -> Response:
    """Always, while it runs; without a token."""
    return PlainTextResponse("ok\n")


@probes.get(
    "/readyz",
    response_class=PlainTextResponse,
    responses={503: {"description": "It has not begun yet, or is about to end.", "content": {"text/plain": {}}}},
    summary="Whether the service wants callers",
)
async def readyz(request: Request) -> Response:
    """Also where a store cannot be read: what is known of it is worth an answer. Without a token."""
    if request.app.state.ready:
        return PlainTextResponse("ok\n")
    return PlainTextResponse("not ready\n", status_code=503)
