"""`pgproof serve`: answer over HTTP: see backups, start them, fetch rows."""

from __future__ import annotations

import threading

from backup.cli.options import Invocation, command, setting_option
from backup.errors import ConfigurationError, Interrupted
from backup.logs import log


@command("serve")
@setting_option("serve.host", "--host")
@setting_option("serve.port", "--port")
@setting_option("serve.every", "--every")
@setting_option("serve.tls_cert", "--tls-cert")
@setting_option("serve.tls_key", "--tls-key")
@setting_option("serve.proxies", "--proxy")
@setting_option("serve.release", "--release")
def serve(invocation: Invocation) -> None:
    """Answer over HTTP until it is stopped: list backups, start runs and follow them, hand out rows as JSON.

    Every route but /healthz and /readyz wants one of PGPROOF_API_TOKENS as a bearer token; docs/serve.md has them all.
    Without --target all targets of the stores are seen.
    """
    try:
        from backup.api.server import serving  # noqa: PLC0415 -- an extra that need not be there
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "what serves HTTP is not installed", detail=str(error), hint="pip install 'pgproof[serve]'"
        ) from error
    settings = invocation.settings
    try:
        with serving(settings, invocation.stores, invocation.words) as url:
            log.info("serving", at=url, tokens=len(settings.serve.parsed_tokens))
            threading.Event().wait()
    except Interrupted as stopped:
        log.info("stopped", by=stopped.message)
