"""The branch of the settings that says who is told what.

Owns its leaves; must not read anything.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from backup.domain.events import EventType
from backup.settings.branches import Section
from backup.settings.kinds import Addresses, Env, Events, WebhookSecrets, WebhookUrl, addresses, webhook_secrets


class WebhookSettings(Section):
    """A web address that is told how each backup, drill and restore ended."""

    url: Annotated[WebhookUrl | None, Env("PGPROOF_WEBHOOK_URL")] = Field(
        default=None, description="Where to send it, by POST; a secret, for many services put a token in it."
    )
    secret: Annotated[WebhookSecrets | None, Env("PGPROOF_WEBHOOK_SECRET")] = Field(
        default=None,
        description="Secret that signs it by the Standard Webhooks convention: whsec_ and base64. While one is "
        "changed for another, both, separated by a comma.",
    )
    events: Annotated[Events, Env("PGPROOF_WEBHOOK_EVENTS")] = Field(
        default=("success", "failure"),
        description="What it is told: success, failure, or kinds of events such as backup.started.",
    )
    timeout: Annotated[int, Env("PGPROOF_WEBHOOK_TIMEOUT")] = Field(
        default=10, ge=1, le=60, description="Seconds to wait for an answer, each time it is tried."
    )
    ca_file: Annotated[Path | None, Env("PGPROOF_WEBHOOK_CA_FILE")] = Field(
        default=None, description="Certificates (PEM) to trust instead of the public ones."
    )

    @property
    def keys(self) -> tuple[str, ...]:
        """The secrets, each by itself."""
        return webhook_secrets(self.secret) if self.secret else ()


class PingSettings(Section):
    """A dead-man switch, such as healthchecks.io: it raises the alarm when it hears nothing."""

    url: Annotated[WebhookUrl | None, Env("PGPROOF_PING_URL")] = Field(
        default=None, description="Address of the check, which is told that a backup starts, succeeded or failed."
    )
    timeout: Annotated[int, Env("PGPROOF_PING_TIMEOUT")] = Field(
        default=10, ge=1, le=60, description="Seconds to wait for an answer, each time it is tried."
    )


class NotifySettings(Section):
    """Who is told how a run ended."""

    to: Annotated[Addresses | None, Env("PGPROOF_NOTIFY")] = Field(
        default=None,
        description="Addresses of chat and mail as apprise writes them, one a line: mailto://…, slack://…. They "
        "are told of failures; with words before it, success=discord://… or drill.failed=slack://…, of these.",
    )
    webhook: WebhookSettings = Field(default_factory=WebhookSettings)
    ping: PingSettings = Field(default_factory=PingSettings)

    @property
    def addresses(self) -> tuple[tuple[frozenset[EventType], str], ...]:
        """Of chat and mail, each with what it is told."""
        return addresses(self.to) if self.to else ()

    @property
    def secrets(self) -> tuple[str, ...]:
        """Everything here that must never be printed."""
        urls = [url.get_secret_value() for url in (self.webhook.url, self.ping.url) if url]
        return (*urls, *self.webhook.keys, *(address for _, address in self.addresses))
