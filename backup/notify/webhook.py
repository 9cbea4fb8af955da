"""A webhook by the Standard Webhooks convention: one POST of JSON for each run, signed, tried again in a small time.

Owns the payload and what counts as heard; `docs/notifications.md` publishes both.
Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import json
import ssl
import time
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import stamina
from stamina.instrumentation import set_on_retry_hooks
from standardwebhooks import Webhook as Signer

from backup import __version__
from backup.domain.events import RunEvent
from backup.errors import ConfigurationError, NotificationFailed
from backup.logs import redact, tell_retry

_AGAIN = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
"""Refusals of the 4xx kind that say "later"."""
_SHOWN = 200
"""Characters of an answer that are worth showing."""


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
        try:
            self._host = httpx.URL(url).host
        except httpx.InvalidURL as error:
            raise ConfigurationError("notify.webhook.url is no web address", detail=str(error)) from None
        self._url = url
        self._signers = [Signer(key) for key in keys]
        self._timeout = timeout
        self._trusted = _trusted(ca_file) if ca_file else None

    @property
    def name(self) -> str:
        """The host alone: the path is often a password."""
        return f"webhook at {self._host}"

    def tell(self, event: RunEvent, /, *, within: float) -> None:
        """POST it. Heard is what is answered with 2xx; nobody is followed to another address."""
        message, body = f"msg_{uuid4().hex}", json.dumps(payload(event), ensure_ascii=False, default=str).encode()
        end = time.monotonic() + within
        set_on_retry_hooks([tell_retry])
        try:
            with httpx.Client(verify=self._trusted or True, headers={"user-agent": f"pgproof/{__version__}"}) as client:
                for attempt in stamina.retry_context(on=_Later, attempts=None, timeout=within, wait_max=within / 4):
                    with attempt:
                        self._post(client, message, body, seconds=min(self._timeout, max(end - time.monotonic(), 0.1)))
        except _Later as error:
            raise NotificationFailed(f"{self.name}: {error}", hint=_HINT) from error

    def _post(self, client: httpx.Client, message: str, body: bytes, *, seconds: float) -> None:
        headers = {"content-type": "application/json", **self._signed(message, body)}
        try:
            with client.stream("POST", self._url, content=body, headers=headers, timeout=seconds) as answer:
                said = _beginning(answer, until=time.monotonic() + seconds)
        except httpx.TimeoutException as error:
            raise _Later(f"no answer in {seconds:.0f} s") from error
        except httpx.RequestError as error:
            raise _Later(redact(str(error)) or type(error).__name__) from error
        if answer.is_success:
            return
        refused = f"answered {answer.status_code} {answer.reason_phrase}{f': {said}' if said else ''}"
        if answer.is_server_error or answer.status_code in _AGAIN:
            raise _Later(refused)
        raise NotificationFailed(f"{self.name}: {refused}", hint=_HINT)

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


def _trusted(ca_file: Path) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(ca_file))
    except OSError as error:  # also of ssl: there is no certificate in it
        raise ConfigurationError(
            f"notify.webhook.ca_file: no certificates can be read from {ca_file}", detail=str(error)
        ) from error


def _beginning(answer: httpx.Response, *, until: float) -> str:
    """The first words of a refusal, without secrets. An answer that is heard need not be read."""
    if answer.is_success:
        return ""
    data = b""
    for piece in answer.iter_bytes():
        data += piece
        if len(data) > _SHOWN or time.monotonic() > until:
            break
    text = " ".join(redact(data[: 4 * _SHOWN].decode(errors="replace")).split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} …"
