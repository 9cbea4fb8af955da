"""Chat and mail: Slack, Discord, Teams, e-mail and all else that apprise knows, each as an address of its own.

Owns how a message is cut to what a service takes, and what is masked of what it says. The only importer of apprise.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
from typing import TYPE_CHECKING

from backup.domain.events import ENDS, EventType, RunEvent
from backup.domain.message import body, subject
from backup.errors import ConfigurationError, NotificationFailed
from backup.limits import in_time
from backup.notify.post import masked, secrets_of

if TYPE_CHECKING:
    from apprise import NotifyBase

_HINT = "try it with pgproof notify --test; the run itself is as it was told"
_LOUD = {"WARNING", "ERROR", "CRITICAL"}
_CAUSE = "Exception:"
"""What stands before the cause in apprise's own notes of a failure."""
_LEAST = 0.1
"""Seconds that it has in any case; enough for a service nearby."""


class Chat:
    """Tells one address, as apprise writes it (https://appriseit.com/services/).

    Args:
        address: of a service; a secret.
        number: which one it is in the setting, for people.
        events: that it is told.

    Raises:
        ConfigurationError: apprise is not installed, or does not know such an address.
    """

    def __init__(self, address: str, *, number: int = 1, events: frozenset[EventType] = ENDS) -> None:
        if importlib.util.find_spec("apprise") is None:
            raise ConfigurationError(
                "PGPROOF_NOTIFY needs apprise, which is not installed", hint="pip install 'pgproof[chat]'"
            )
        from apprise import Apprise, AppriseAsset  # noqa: PLC0415 -- heavy, and only who tells needs it

        logging.getLogger("apprise").propagate = False  # what it says is the reason of our own failure
        asset = AppriseAsset(app_id="pgproof", secure_logging=True, http_redirects=False)
        service: NotifyBase | None = Apprise.instantiate(address, asset=asset)
        if service is None:
            raise ConfigurationError(
                f"address {number} of PGPROOF_NOTIFY, {address.partition('://')[0]}://, is none that apprise knows",
                hint="https://appriseit.com/services/ says how it is written; a special letter in a password is %XX",
            )
        service.request_rate_per_sec = 0  # its wait before a second message would be taken for no answer
        self._service = service
        self._events = events
        self._secrets = secrets_of(address, host=True)
        self.name = f"{service.service_name} (address {number} of PGPROOF_NOTIFY)"
        self.key = _key_of(str(service.url(privacy=True)))  # type: ignore[no-untyped-call]

    def wants(self, event: EventType, /) -> bool:
        """Whether it is told of these; a test reaches everybody."""
        return event in self._events or event == "notify.test"

    def tell(self, event: RunEvent, /, *, within: float) -> None:
        """Send it once: apprise does not say whether another try is of use, and the next run tries again."""
        seconds = max(within, _LEAST)
        try:
            in_time(lambda: self._send(event), seconds)
        except TimeoutError as error:
            raise NotificationFailed(f"{self.name}: {error}", hint=_HINT) from error

    def _send(self, event: RunEvent) -> None:
        from apprise import LogCapture, NotifyFormat, NotifyType  # noqa: PLC0415 -- as above

        kind = NotifyType.FAILURE if event.failed else NotifyType.SUCCESS
        title = subject(event)
        text = body(event, most=self._service.body_maxlen - len(title) - 10)
        with LogCapture(level=logging.DEBUG, fmt="%(levelname)s %(message)s") as said:  # type: ignore[no-untyped-call]
            heard = self._service.notify(body=text, title=title, notify_type=kind, body_format=NotifyFormat.TEXT)
        if heard:
            return
        lines = [line.partition(" ") for line in said.getvalue().splitlines()]
        reasons = [text for level, _, text in lines if level in _LOUD or _CAUSE in text]
        reason = masked("; ".join(dict.fromkeys(reasons)).rstrip(". "), self._secrets) or "apprise does not say why"
        raise NotificationFailed(f"{self.name}: not sent: {reason}", hint=_HINT)


def _key_of(shown: str) -> str:
    """By what an address is known again by a later run: of its form without passwords, so that it tells none."""
    return f"chat-{hashlib.sha256(shown.encode()).hexdigest()[:16]}"
