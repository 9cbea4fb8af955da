"""The branch of the settings that is about `pgproof serve`, the HTTP service.

Owns its leaves; must not read anything.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, model_validator
from pydantic.functional_validators import AfterValidator

from backup.domain.access import Token, parse_tokens, secrets_of
from backup.errors import ConfigurationError
from backup.settings.branches import Section
from backup.settings.kinds import Env, Names


def _check_tokens(secret: SecretStr) -> SecretStr:
    parse_tokens(secret.get_secret_value())
    return secret


Tokens = Annotated[SecretStr, AfterValidator(_check_tokens)]


class ServeSettings(Section):
    """The HTTP service of `pgproof serve`: triggers, figures, backups and rows over HTTP."""

    tokens: Annotated[Tokens | None, Env("PGPROOF_API_TOKENS")] = Field(
        default=None,
        description="Bearer tokens, separated by commas or lines, each 16 characters or more: token, which may read, "
        "data and trigger, or token=scope+scope of read, data, trigger, restore; with @2026-12-31 behind it, it ends "
        "with that day (UTC). Two while one is changed for another.",
    )
    host: Annotated[str, Env("PGPROOF_SERVE_HOST")] = Field(
        default="127.0.0.1", description="Address to listen at; 0.0.0.0 or :: for all of this machine."
    )
    port: Annotated[int, Env("PGPROOF_SERVE_PORT")] = Field(
        default=8433, ge=0, le=65535, description="Port to listen at; 0 for any that is free."
    )
    every: Annotated[int, Env("PGPROOF_SERVE_EVERY")] = Field(
        default=15, ge=1, le=86_400, description="Seconds from one look at the stores to the next."
    )
    tls_cert: Annotated[Path | None, Env("PGPROOF_SERVE_TLS_CERT")] = Field(
        default=None, description="Certificate (PEM, with those between it and the root): https instead of http."
    )
    tls_key: Annotated[Path | None, Env("PGPROOF_SERVE_TLS_KEY")] = Field(
        default=None, description="Its private key (PEM, without a passphrase)."
    )
    proxies: Annotated[Names, Env("PGPROOF_SERVE_PROXIES")] = Field(
        default=(),
        description="Addresses or networks of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed.",
    )
    release: Annotated[str | None, Env("PGPROOF_SERVE_RELEASE")] = Field(
        default=None,
        description="In a cluster: the release of the chart whose CronJobs are the templates of what is started; "
        "without it, runs are processes beside the service.",
    )

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key go together; set both or none")
        return self

    @property
    def parsed_tokens(self) -> tuple[Token, ...]:
        """The tokens.

        Raises:
            ConfigurationError: there is none: nobody could ask for anything.
        """
        if self.tokens is None:
            raise ConfigurationError(
                "no token is set, so nobody could be let in", hint="PGPROOF_API_TOKENS=$(openssl rand -hex 32)"
            )
        return parse_tokens(self.tokens.get_secret_value())

    @property
    def secrets(self) -> tuple[str, ...]:
        """Everything here that must never be printed."""
        return secrets_of(self.tokens.get_secret_value()) if self.tokens else ()
