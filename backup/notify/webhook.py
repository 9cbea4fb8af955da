"""A webhook by the Standard Webhooks convention: one POST of JSON for each event, signed.

Owns the payload, which `docs/notifications.md` publishes.
Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from standardwebhooks import Webhook as Signer
from standardwebhooks.webhooks import WebhookVerificationError

from backup.domain.events import ENDS, EventType, RunEvent
from backup.notify.post import Post


class Webhook:
    """Tells one web address of each event that it wants.

    Args:
        url: where to; a secret.
        keys: that sign, each as `whsec_…`; without any nothing is signed.
        events: that it wants.
        timeout: seconds for one attempt.
        ca_file: certificates (PEM) to trust instead of the public ones.

    Raises:
        ConfigurationError: the address cannot be one, or the certificates cannot be read.
    """

    def __init__(
        self,
        url: str,
        *,
        keys: tuple[str, ...] = (),
        events: frozenset[EventType] = ENDS,
        timeout: float = 10,
        ca_file: Path | None = None,
    ) -> None:
        self._post = Post(
            url, setting="notify.webhook.url", what="webhook", hint=_HINT, timeout=timeout, ca_file=ca_file
        )
        self._signers = [Signer(key) for key in keys]
        self._events = events

    @property
    def name(self) -> str:
        """The host alone: the path is often a password."""
        return self._post.name

    @property
    def key(self) -> str:
        """There is one; a message that waits is for whatever address it has by then."""
        return "webhook"

    def wants(self, event: EventType, /) -> bool:
        """Whether it is told of these; a test reaches everybody."""
        return event in self._events or event == "notify.test"

    def tell(self, event: RunEvent, /, *, within: float) -> None:
        """POST it. Heard is what is answered with 2xx; nobody is followed to another address."""
        body = json.dumps(payload(event), ensure_ascii=False, default=str).encode(errors="replace")
        self._post.send(body, lambda: self._headers(event.id, body), within=within)

    def _headers(self, message: str, body: bytes) -> dict[str, str]:
        """With the convention's three. The time is that of the attempt: receivers refuse what is old."""
        now = datetime.now(UTC)
        headers = {
            "content-type": "application/json",
            "webhook-id": message,
            "webhook-timestamp": str(int(now.timestamp())),
        }
        if self._signers:
            headers["webhook-signature"] = " ".join(
                signer.sign(msg_id=message, timestamp=now, data=body.decode()) for signer in self._signers
            )
        return headers


def payload(event: RunEvent) -> dict[str, Any]:
    """What is sent: type, time, and the data of this type."""
    data: dict[str, Any] = {"run": str(event.run), "target": event.target, "text": event.text, **event.facts}
    if event.error is not None:
        data |= {"error": dict(event.error), "log": list(event.log)}
    return {"type": event.type, "timestamp": event.time.isoformat().replace("+00:00", "Z"), "data": data}


def verified(headers: Mapping[str, str], body: bytes, key: str) -> dict[str, Any] | None:
    """What came, if it was signed with `key` in the last five minutes; None for anything else."""
    try:
        message: dict[str, Any] = Signer(key).verify(body, dict(headers))
    except WebhookVerificationError:
        return None
    return message


_HINT = "check PGPROOF_WEBHOOK_URL and the service behind it; the run itself is as it was told"
