"""The branches of the settings that are about monitoring: figures after each run, and the watch.

Owns their leaves, as `model` owns those of the rest; must not read anything.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from backup.settings.branches import Section
from backup.settings.kinds import Env, Names, Textfile, WebhookUrl


class MetricsSettings(Section):
    """Figures for Prometheus, left after each run."""

    pushgateway: Annotated[WebhookUrl | None, Env("PGPROOF_PUSHGATEWAY")] = Field(
        default=None,
        description="Address of a Pushgateway, such as https://user:password@host:9091; a secret, for the password.",
    )
    file: Annotated[Textfile | None, Env("PGPROOF_METRICS_FILE")] = Field(
        default=None,
        description="File in the folder of the node exporter's textfile collector; its name ends in .prom.",
    )
    timeout: Annotated[int, Env("PGPROOF_METRICS_TIMEOUT")] = Field(
        default=10, ge=1, le=60, description="Seconds for each push."
    )


class WatchSettings(Section):
    """The server of `pgproof watch`, which Prometheus asks."""

    host: Annotated[str, Env("PGPROOF_WATCH_HOST")] = Field(
        default="127.0.0.1", description="Address to listen at; 0.0.0.0 or :: for all of this machine."
    )
    port: Annotated[int, Env("PGPROOF_WATCH_PORT")] = Field(
        default=8432, ge=0, le=65535, description="Port to listen at; 0 for any that is free."
    )
    every: Annotated[int, Env("PGPROOF_WATCH_EVERY")] = Field(
        default=60, ge=1, le=86_400, description="Seconds from one look at the stores to the next."
    )
    targets: Annotated[Names, Env("PGPROOF_WATCH_TARGETS")] = Field(
        default=(), description="Targets that are told of even where the stores have no backup of them."
    )
