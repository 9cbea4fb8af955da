"""`pgproof watch`: answer Prometheus with the age and state of the backups."""

from __future__ import annotations

import threading

from backup.bootstrap.telling import make_endpoint, make_watch
from backup.cli.options import Invocation, command, setting_option
from backup.errors import Interrupted
from backup.logs import log

_FIRST_LOOK = 5.0
"""Seconds that the first look at each store has before anybody is answered; a store that is slower is not up so far."""


@command("watch")
@setting_option("watch.host", "--host")
@setting_option("watch.port", "--port")
@setting_option("watch.every", "--every")
def watch(invocation: Invocation) -> None:
    """Answer at /metrics with figures of all backups in the stores, and at /healthz, until it is stopped.

    It reads the stores alone, and needs no database: the figures are true even where no job ever ran. While a store
    cannot be read, what was seen last is told, and ages go on. Without --target all targets of the stores are seen.
    """
    settings = invocation.settings
    watching = make_watch(settings, invocation.stores)
    with make_endpoint(settings, watching) as endpoint:
        try:
            watching.start(patience=_FIRST_LOOK)
            log.info("watching", metrics=f"{endpoint.url}/metrics", every=f"{settings.watch.every} s")
            # On a thread: a signal that came while the server took a request would be lost in it as that one's error.
            threading.Thread(target=endpoint.serve_forever, name="endpoint", daemon=True).start()
            threading.Event().wait()
        except Interrupted as stopped:
            log.info("stopped", by=stopped.message)
        finally:
            watching.stop()
