"""A webhook by the Standard Webhooks convention: one POST of JSON for each run, signed, tried again in a small time.

Owns the payload and what counts as heard; `docs/notifications.md` publishes both.
Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any
from urllib.parse import unquote
from uuid import uuid4

import httpx
import stamina
from stamina.instrumentation import set_on_retry_hooks
from standardwebhooks import Webhook as Signer

from backup import __version__
from backup.domain.events import RunEvent
from backup.errors import ConfigurationError, NotificationFailed
from backup.logs import MASK, redact, tell_retry

_AGAIN = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
"""Refusals of the 4xx kind that say "later"."""
_SHOWN = 200
"""Characters of an answer that are worth showing."""
_LEAST = 0.1
"""Seconds that an attempt has in any case; enough for a receiver nearby."""
_SHORTEST_SECRET = 8
"""Characters from which on a piece of the address is masked where a receiver repeats it (a guess): not every word."""
_PORTS = range(1, 1 << 16)


class Webhook:
    """Tells one web address of each run.

    Args:
        url: where to; a secret.
        keys: that sign, each as `whsec_…`; without any nothing is signed.
        timeout: seconds for one attempt.
        ca_file: certificates (PEM) to trust instead of the public ones.

    Raises:
        ConfigurationError: the address cannot be one, or the certificates cannot be read.
    """

    def __init__(
        self, url: str, *, keys: tuple[str, ...] = (), timeout: float = 10, ca_file: Path | None = None
    ) -> None:
        self._host = _host(url)
        self._url = url
        self._secrets = _secrets(url)
        self._signers = [Signer(key) for key in keys]
        self._timeout = timeout
        self._trusted = _trusted(ca_file) if ca_file else None

    @property
    def name(self) -> str:
        """The host alone: the path is often a password."""
        return f"webhook at {self._host}"

    def tell(self, event: RunEvent, /, *, within: float) -> None:
        """POST it. Heard is what is answered with 2xx; nobody is followed to another address."""
        message = f"msg_{uuid4().hex}"
        body = json.dumps(payload(event), ensure_ascii=False, default=str).encode(errors="replace")
        within = max(within, _LEAST)
        end = time.monotonic() + within
        trusted = self._trusted or httpx.create_ssl_context()
        set_on_retry_hooks([tell_retry])
        longest = within / 4  # of a wait, after which there is time for a last attempt
        try:
            for attempt in stamina.retry_context(on=_Later, attempts=None, timeout=within - longest, wait_max=longest):
                with attempt:
                    seconds = min(self._timeout, max(end - time.monotonic(), _LEAST))
                    headers = {"content-type": "application/json", **self._signed(message, body)}
                    _in_time(lambda: self._post(trusted, body, headers, seconds=seconds), seconds)  # noqa: B023 -- called now
        except _Later as error:
            raise NotificationFailed(f"{self.name}: {error}", hint=_HINT) from error

    def _post(self, trusted: ssl.SSLContext, body: bytes, headers: dict[str, str], *, seconds: float) -> None:
        # As it is, for little of it is read: what is packed small may be as large as the memory.
        agent = {"user-agent": f"pgproof/{__version__}", "accept-encoding": "identity"}
        try:
            with (
                httpx.Client(verify=trusted, headers=agent, timeout=seconds) as client,
                client.stream("POST", self._url, content=body, headers=headers) as answer,
            ):
                said = _beginning(answer)
        except httpx.TimeoutException as error:
            raise _Later(_late(seconds)) from error
        except httpx.RequestError as error:
            raise _Later(self._masked(str(error)) or type(error).__name__) from error
        if answer.is_success:
            return
        refused = self._masked(f"answered {answer.status_code} {answer.reason_phrase}{f': {said}' if said else ''}")
        if answer.is_server_error or answer.status_code in _AGAIN:
            raise _Later(refused)
        raise NotificationFailed(f"{self.name}: {refused}", hint=_HINT)

    def _masked(self, text: str) -> str:
        """`text` without what is secret in the address, which many a receiver repeats where it refuses."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return redact(text)

    def _signed(self, message: str, body: bytes) -> dict[str, str]:
        """The convention's three headers. The time is that of the attempt: receivers refuse what is old."""
        now = datetime.now(UTC)
        headers = {"webhook-id": message, "webhook-timestamp": str(int(now.timestamp()))}
        if self._signers:
            headers["webhook-signature"] = " ".join(
                signer.sign(msg_id=message, timestamp=now, data=body.decode()) for signer in self._signers
            )
        return headers


def payload(event: RunEvent) -> dict[str, Any]:
    """What is sent: type, time, and the data of this type."""
    data: dict[str, Any] = {"run": str(event.run), "target": event.target, "text": event.text, **event.facts}
    if event.error is not None:
        data["error"] = dict(event.error)
    return {"type": event.type, "timestamp": event.time.isoformat().replace("+00:00", "Z"), "data": data}


_HINT = "check PGPROOF_WEBHOOK_URL and the service behind it; the run itself is as it was told"


class _Later(Exception):
    """An attempt that is worth another one."""


def _host(url: str) -> str:
    """The host of an address that can be one.

    Raises:
        ConfigurationError: it cannot; the address is not shown, not even a piece of it.
    """
    try:
        address = httpx.URL(url)
        address.raw_host.decode().encode("idna")  # as it will be to look it up
        host, port = address.host, address.port
    except (httpx.InvalidURL, UnicodeError):
        host, port = "", None
    if not host or (port is not None and port not in _PORTS):
        hint = "https://host/path; in a password or token, %2F stands for /, %3F for ?, %40 for @"
        raise ConfigurationError("notify.webhook.url is no web address", hint=hint)
    return host


def _secrets(url: str) -> list[str]:
    """What must not be shown of an address, as written and as it is read: all of it but the host, the longest first."""
    before, _, query = url.partition("://")[2].partition("?")
    authority, _, path = before.partition("/")
    account = authority.rpartition("@")[0]
    values = [value or name for name, _, value in (pair.partition("=") for pair in query.split("&"))]
    pieces = [account, *account.split(":", 1), f"{path}?{query}", path, *path.split("/"), query, *values]
    forms = {form for piece in pieces for form in (piece, unquote(piece)) if len(form) >= _SHORTEST_SECRET}
    return sorted(forms, key=len, reverse=True)


def _in_time(post: Callable[[], None], seconds: float) -> None:
    """Do it on a thread that is left alone when the time is over.

    The time limits of a connection count from byte to byte, and names are looked up without any.
    """
    ended: SimpleQueue[Exception | None] = SimpleQueue()

    def run() -> None:
        try:
            post()
        except Exception as error:  # noqa: BLE001 -- raised again where somebody waits
            ended.put(error)
        else:
            ended.put(None)

    threading.Thread(target=run, name="webhook", daemon=True).start()
    try:
        failure = ended.get(timeout=seconds)
    except Empty:
        raise _Later(_late(seconds)) from None
    if failure:
        raise failure


def _late(seconds: float) -> str:
    return f"no answer in {seconds:.3g} s"


def _trusted(ca_file: Path) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(ca_file))
    except OSError as error:  # also of ssl: there is no certificate in it
        raise ConfigurationError(
            f"notify.webhook.ca_file: no certificates can be read from {ca_file}", detail=str(error)
        ) from error


def _beginning(answer: httpx.Response) -> str:
    """The first words of a refusal. An answer that is heard need not be read."""
    if answer.is_success:
        return ""
    data = b""
    for piece in answer.iter_raw():
        data += piece
        if len(data) > _SHOWN:
            break
    text = " ".join(data[: 4 * _SHOWN].decode(errors="replace").split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} …"
