"""Puts the service together: routes, bounds and what they share. Owns nothing of what is answered."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import FastAPI

from backup import __version__
from backup.api import following, page, reading, rows, starting
from backup.api.edge import App, Edge
from backup.api.failures import add_handlers
from backup.api.front import Front
from backup.api.guard import Guard
from backup.api.library import Library
from backup.api.plans import Plans
from backup.api.runs import Runner
from backup.bootstrap import named_target
from backup.settings import Settings, StoreSettings
from backup.workflow.watch import Watch

OPENAPI = "/api/openapi.json"
_ABOUT = """Backups of PostgreSQL that prove they restore: see what there is, start runs, fetch rows.

Every route but the probes wants the header `Authorization: Bearer TOKEN`. Failures have one form, that of `--json`."""


def make_app(settings: Settings, stores: Sequence[StoreSettings], watch: Watch, runner: Runner) -> tuple[FastAPI, App]:
    """The app, and the same behind its bounds, which is what is to be served.

    Raises:
        ConfigurationError: there is no token.
    """
    tokens = settings.serve.parsed_tokens
    app = FastAPI(
        title="pgproof",
        version=__version__,
        description=_ABOUT,
        openapi_url=OPENAPI,
        docs_url=None,  # these pages load their programs from elsewhere
        redoc_url=None,
        redirect_slashes=False,  # to where the caller's Host says, and by http behind a proxy that ends TLS
    )
    app.state.settings = settings
    app.state.watch = watch
    app.state.guard = Guard(tokens)
    app.state.library = Library(watch)
    app.state.runner = runner
    app.state.has_sync = settings.sync.url is not None or settings.serve.release is not None
    app.state.plans = Plans(settings, stores)
    app.state.target = named_target(settings)
    app.state.exports = rows.Exports()
    app.state.ready = False
    add_handlers(app)
    routers = (reading.probes, reading.router, rows.router, starting.router, following.router, page.router)
    for router in routers:
        app.include_router(router)
    app.state.routes = [route for router in routers for route in router.routes]
    return app, Edge(Front(app, app.state.guard, app.state.library), tokens)
