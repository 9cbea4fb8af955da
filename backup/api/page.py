"""The status page and what belongs to it: sign-in, runs, forms that start something. Reads without any script.

Owns its routes. A session is a cookie; no route of the API takes one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import wraps
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from starlette.responses import HTMLResponse, RedirectResponse

from backup.api.failures import status_of
from backup.api.following import RunId, stream_log
from backup.api.guard import Guard, address_of
from backup.api.orders import BackupOrder, DrillOrder
from backup.api.plans import Plans
from backup.api.runs import Busy, Run, Runner
from backup.api.session import SignedOut, key_of_forms, read_form, require_own, sign_in, sign_out, signed_in
from backup.api.starting import begin
from backup.api.templates import asset, render
from backup.api.view import store_lines, target_lines, target_view
from backup.bootstrap import now
from backup.domain.access import Scope
from backup.errors import NotFound, PgproofError

router = APIRouter(include_in_schema=False)
Route = Callable[..., Awaitable[Response]]
_SEE_OTHER = HTTPStatus.SEE_OTHER


def _as_page(route: Route) -> Route:
    """Let a route answer failures as pages, and send who is not signed in to the door."""

    @wraps(route)
    async def answered(*args: object, **kwargs: object) -> Response:
        try:
            return await route(*args, **kwargs)
        except SignedOut:
            return RedirectResponse("/sign-in", _SEE_OTHER)
        except PgproofError as error:
            return HTMLResponse(render("failure.html", error=error), status_of(error))

    return answered


@router.get("/static/{name}")
async def static(name: str) -> Response:
    """The page's own style and script; nothing is loaded from elsewhere."""
    found = asset(name)
    if found is None:
        raise NotFound("no such file")
    return Response(found.content, media_type=found.kind, headers={"Cache-Control": "public, max-age=3600"})


@router.get("/")
@_as_page
async def status(request: Request, target: Annotated[str | None, Query(max_length=100)] = None) -> Response:
    """What is protected, and how well."""
    token = signed_in(request)
    state = request.app.state
    moment = now()
    sightings = state.library.sightings()
    lines = target_lines(sightings, moment)
    names = [each.name for each in lines]
    if target is not None and target not in names:
        raise NotFound("no such target", hint="go back to the overview")
    chosen = target or (state.target if state.target in names else names[0] if names else None)
    view = None
    if chosen:
        plans: Plans = state.plans
        read = {each.store: each.read for each in sightings if each.up}
        made = await asyncio.to_thread(plans.of, chosen, read)
        view = target_view(sightings, chosen, made, moment)
    return HTMLResponse(
        render(
            "status.html",
            now=moment,
            stores=store_lines(sightings, moment),
            targets=lines,
            view=view,
            runs=await _runs(state.runner),
            may_trigger=Scope.TRIGGER in token.scopes,
            backs_up=chosen is None or state.settings.serve.release is not None or chosen == state.target,
            key=key_of_forms(request, token),
        )
    )


async def _runs(runner: Runner) -> list[Run]:
    """The last runs that were started here, where they can be had."""
    try:
        return list(await asyncio.to_thread(runner.all))[:5]
    except PgproofError:
        return []


@router.get("/sign-in")
async def door(request: Request) -> Response:
    """Where a token is asked for."""
    try:
        signed_in(request)
    except PgproofError:
        return HTMLResponse(render("sign_in.html", problem=""))
    return RedirectResponse("/", _SEE_OTHER)


@router.post("/sign-in")
async def enter(request: Request) -> Response:
    """Begin a session by a token."""
    guard: Guard = request.app.state.guard
    try:
        form = await read_form(request)
        token = guard.identify(form.get("token", "").strip(), address_of(request))
        guard.require(token, Scope.READ)
    except PgproofError as error:
        return HTMLResponse(render("sign_in.html", problem=error.message), status_of(error))
    response = RedirectResponse("/", _SEE_OTHER)
    sign_in(request, response, token)
    return response


@router.post("/sign-out")
@_as_page
async def leave(request: Request) -> Response:
    """End the session."""
    token = signed_in(request)
    require_own(request, token, await read_form(request))
    response = RedirectResponse("/sign-in", _SEE_OTHER)
    sign_out(response)
    return response


@router.post("/start/{kind}")
@_as_page
async def start(request: Request, kind: str) -> Response:
    """Start a backup or a drill, and go to it; where one is under way, to that one."""
    token = signed_in(request)
    form = await read_form(request)
    require_own(request, token, form)
    request.app.state.guard.require(token, Scope.TRIGGER)
    runner: Runner = request.app.state.runner
    by, target = f"{token.name}, on the page", form.get("target")
    if target is not None and target not in request.app.state.library.targets():
        raise NotFound("no such target", hint="go back to the overview")
    try:
        if kind == "backup":
            run = await begin(runner, "backup", BackupOrder(), by=by, target=target)
        elif kind == "drill":
            run = await begin(runner, "drill", _drill_of(form), by=by, target=target)
        else:
            raise NotFound("nothing of that kind is started here")
    except Busy as error:
        if error.run is None:
            raise
        return RedirectResponse(f"/runs/{error.run}", _SEE_OTHER)
    return RedirectResponse(f"/runs/{run.id}", _SEE_OTHER)


def _drill_of(form: dict[str, str]) -> DrillOrder:
    try:
        return DrillOrder(backup=form.get("backup", "latest"))
    except ValueError as error:
        raise NotFound("no such backup") from error


@router.get("/runs/{run}")
@_as_page
async def show(request: Request, run: RunId) -> Response:
    """How a run goes."""
    token = signed_in(request)
    runner: Runner = request.app.state.runner
    found = await asyncio.to_thread(runner.find, run)
    told = (await asyncio.to_thread(runner.log_of, run)).since(0)
    return HTMLResponse(
        render(
            "run.html",
            run=found,
            lines=[line for _, line in told],
            last=told[-1][0] if told else 0,
            key=key_of_forms(request, token),
        )
    )


@router.get("/runs/{run}/log")
async def follow(
    request: Request,
    run: RunId,
    after: Annotated[str | None, Query(max_length=9)] = None,
    last: Annotated[str | None, Header(alias="Last-Event-ID")] = None,
) -> Response:
    """Its log, live, for the page's script."""
    signed_in(request)
    return await stream_log(request, run, last or after)
