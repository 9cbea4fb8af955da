"""Serves the app at an address until it is stopped, on a thread of its own. Owns the socket and the way to its end."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import uvicorn

from backup.api.app import make_app
from backup.api.children import Children
from backup.api.protocol import BoundedProtocol
from backup.api.runs import Runner
from backup.bootstrap import named_target
from backup.bootstrap.telling import make_watch
from backup.errors import ConfigurationError
from backup.logs import log
from backup.settings import Settings, StoreSettings
from backup.settings.serving import ServeSettings
from backup.workflow.watch import Watch

_BACKLOG = 1024
_MOST_CALLERS = 1000
"""Connections at a time; those beyond are answered with 503. A guess."""
_IDLE = 15
"""Seconds that a connection stays open between two requests."""
_GRACE = 20
"""Seconds that answers on their way have when the service is stopped; Kubernetes kills after 30."""
_CANCEL = 3.0
"""Seconds that the database then has to end the queries of exports. A guess."""
_FIRST_LOOK = 5.0
"""Seconds that the first look at each store has before callers are wanted."""


@contextmanager
def serving(settings: Settings, stores: Sequence[StoreSettings], words: Sequence[str] = ()) -> Iterator[str]:
    """The service, as long as the context lasts; its address.

    Args:
        settings: of it.
        stores: that it works on.
        words: of the command line that say which settings these are, for processes that are to have the same.

    Raises:
        ConfigurationError: it cannot listen there, a file of TLS is of no use, there is no token, or no cluster.
    """
    watch = make_watch(settings, stores, every=settings.serve.every)
    runner = _runner(settings, stores, words, watch)
    app, bounded = make_app(settings, stores, watch, runner)
    said = settings.serve
    config = uvicorn.Config(
        bounded,
        http=BoundedProtocol,
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=bool(said.proxies),
        forwarded_allow_ips=list(said.proxies) or None,
        limit_concurrency=_MOST_CALLERS,
        backlog=_BACKLOG,
        timeout_keep_alive=_IDLE,
        timeout_graceful_shutdown=_GRACE,
    )
    config.load()
    config.ssl = _tls(said)
    listening = _listen(said)
    server = uvicorn.Server(config)
    with _quiet():
        thread = threading.Thread(target=server.run, args=([listening],), name="serve", daemon=True)
        try:
            thread.start()
            watch.start(patience=_FIRST_LOOK)
            app.state.ready = True
            yield _url(listening, secure=config.is_ssl)
        finally:
            app.state.ready = False
            server.should_exit = True
            runner.stop()
            thread.join(_GRACE + 5)
            app.state.exports.finish(_CANCEL)
            watch.stop()
            listening.close()


def _runner(settings: Settings, stores: Sequence[StoreSettings], words: Sequence[str], watch: Watch) -> Runner:
    """Jobs of the release that is named, else child processes."""
    if settings.serve.release is None:
        return Children(settings, stores, words, watch=watch)
    from backup.api.jobs import Jobs  # noqa: PLC0415 -- the client of Kubernetes is large
    from backup.kube.connection import from_kubeconfig  # noqa: PLC0415 -- the same

    return Jobs(from_kubeconfig(), settings.serve.release, own=named_target(settings))


def _listen(said: ServeSettings) -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(said.host, said.port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen at {said.host}:{said.port}",
            detail=error.strerror,
            hint="choose another: PGPROOF_SERVE_HOST, PGPROOF_SERVE_PORT",
        ) from error
    return listening


def _tls(said: ServeSettings) -> ssl.SSLContext | None:
    """The server's side of TLS, 1.2 or newer, where that is wanted."""
    if said.tls_cert is None or said.tls_key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(said.tls_cert, said.tls_key, password=_no_passphrase)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "reason", None) or str(error)
        raise ConfigurationError(
            "the certificate or its key cannot be used",
            detail=f"{said.tls_cert}, {said.tls_key}: {reason}",
            hint="both are PEM, the key has no passphrase and belongs to the first certificate of the file",
        ) from error
    return context


def _no_passphrase() -> str:
    raise ValueError("the key has a passphrase")


def _url(listening: socket.socket, *, secure: bool) -> str:
    host, port = listening.getsockname()[:2]
    scheme = "https" if secure else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


class _AlreadyTold(logging.Filter):
    """Passes over what uvicorn says of failures that we have told, of callers that speak no HTTP, and of its own life.

    Requests that it cannot read are told with -v.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno >= logging.ERROR and "ASGI application" not in record.getMessage():
            return True
        log.debug("the server says", what=record.getMessage().partition("\n")[0])
        return False


@contextmanager
def _quiet() -> Iterator[None]:
    logger = logging.getLogger("uvicorn.error")
    only_ours = _AlreadyTold()
    logger.addFilter(only_ours)
    try:
        yield
    finally:
        logger.removeFilter(only_ours)
