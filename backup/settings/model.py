"""The settings: one frozen tree. Every leaf has its description, its default and its environment name here.

Owns what can be set and which values are possible; must not read anything (see `loading`).
"""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import unquote

from pydantic import Field, model_validator

from backup.domain.rules import Rules, parse_rules
from backup.errors import ConfigurationError, UsageError
from backup.settings.branches import (
    DatabaseSettings,
    DrillSettings,
    DumpSettings,
    EncryptionSettings,
    GuardSettings,
    ProofSettings,
    RestoreSettings,
    Section,
    StoreSettings,
)
from backup.settings.kinds import (
    Env,
    Names,
    OrAll,
    Retention,
    Target,
    exact_size,
)
from backup.settings.monitoring import MetricsSettings, WatchSettings
from backup.settings.notifying import NotifySettings
from backup.settings.rows import RowsSettings, SyncSettings
from backup.settings.serving import ServeSettings
from backup.stores.addresses import MOST_PARTS

_SECRET_KEYWORDS = ("password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key")
_PASSWORDS_IN_URL = (
    re.compile(r"^[a-z]+://[^/@:]*:([^/@]*)@"),  # as libpq reads it
    re.compile(r"^[a-z]+://[^/:]*:([^/?#]*)@"),  # as it was meant, where an @ in it should have been %40
)
_SECRET_KEYWORD = re.compile(
    rf"(?:^|\s)(?:{'|'.join(_SECRET_KEYWORDS)})\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s\\]|\\.)*))", re.DOTALL
)


class KubernetesSettings(Section):
    """The cluster that pgproof runs in."""

    cronjob: Annotated[str | None, Env("PGPROOF_KUBERNETES_CRONJOB")] = Field(
        default=None,
        description="CronJob in the pod's own namespace that gets an Event for each run; the chart sets it.",
    )


class PostgresSettings(Section):
    """The programs of PostgreSQL on this machine."""

    bin_dirs: Annotated[Names, Env("PGPROOF_PG_BIN")] = Field(
        default=(),
        description="Folders with pg_dump and pg_restore, before /usr/lib/postgresql/*/bin and the PATH.",
    )


class LogSettings(Section):
    """Events on standard error."""

    format: Annotated[Literal["text", "json"], Env("PGPROOF_LOG_FORMAT")] = Field(
        default="text", description="For people, or one JSON object a line."
    )
    verbose: Annotated[bool, Env("PGPROOF_VERBOSE")] = Field(
        default=False, description="Tell every step, and what libraries have to say."
    )


class Settings(Section):
    """All of them."""

    target: Annotated[Target | None, Env("PGPROOF_TARGET", (), "the database's name")] = Field(
        default=None, description="Name of what is backed up; backups of a target stand together in the store."
    )
    database: DatabaseSettings = Field(default_factory=DatabaseSettings)
    stores: dict[str, StoreSettings] = Field(default_factory=dict)
    stores_required: Annotated[int | None, OrAll, Env("PGPROOF_STORES_REQUIRED", (), "all")] = Field(
        default=None, ge=1, description="How many of several stores must hold a backup for it to count as a success."
    )
    retention: Annotated[Retention, Env("PGPROOF_RETENTION")] = Field(
        default={"keep-within": "24h", "min-proven": "1"},
        description="What is kept, as rules by name: keep-within, keep-last, hourly, daily, weekly, monthly, yearly, "
        "min-proven, timezone; or off, which deletes nothing. The newest complete backup is kept in any case.",
    )
    guard: GuardSettings = Field(default_factory=GuardSettings)
    dump: DumpSettings = Field(default_factory=DumpSettings)
    encryption: EncryptionSettings = Field(default_factory=EncryptionSettings)
    proof: ProofSettings = Field(default_factory=ProofSettings)
    drill: DrillSettings = Field(default_factory=DrillSettings)
    restore: RestoreSettings = Field(default_factory=RestoreSettings)
    rows: RowsSettings = Field(default_factory=RowsSettings)
    sync: SyncSettings = Field(default_factory=SyncSettings)
    notify: NotifySettings = Field(default_factory=NotifySettings)
    metrics: MetricsSettings = Field(default_factory=MetricsSettings)
    watch: WatchSettings = Field(default_factory=WatchSettings)
    serve: ServeSettings = Field(default_factory=ServeSettings)
    kubernetes: KubernetesSettings = Field(default_factory=KubernetesSettings)
    postgres: PostgresSettings = Field(default_factory=PostgresSettings)
    log: LogSettings = Field(default_factory=LogSettings)

    @model_validator(mode="after")
    def _volumes_fit(self) -> Settings:
        for name, store in self.stores.items():
            volume = self.volume_size(store)
            if store.is_s3 and volume > store.part_size * MOST_PARTS:
                raise ValueError(
                    f"stores.{name}: a volume of {exact_size(volume)} needs more than {MOST_PARTS} parts of "
                    f"{exact_size(store.part_size)}; set a larger part_size or a smaller volume_size"
                )
        return self

    @model_validator(mode="after")
    def _stores_fit(self) -> Settings:
        seen: dict[tuple[object, ...], str] = {}
        for name, store in self.stores.items():
            if store.place in seen:
                raise ValueError(f"stores.{name} is the same place as stores.{seen[store.place]}")
            seen[store.place] = name
            if store.lock != "off" and not self.rules(store).keep_within:
                raise ValueError(f"stores.{name}: a lock lasts as long as keep-within says, and no rule says it")
        return self

    def rules(self, store: StoreSettings) -> Rules:
        """What is kept in `store`."""
        return parse_rules(self.retention if store.retention is None else store.retention)

    def without_filters(self) -> Settings:
        """The same, but nothing of the database is left out: pg_dump dumps all of it."""
        everything = {"engine": "pgdump", "exclude_schemas": (), "exclude_tables": (), "exclude_table_data": ()}
        return self.model_copy(update={"dump": self.dump.model_copy(update=everything)})

    def volume_size(self, store: StoreSettings) -> int:
        """Bytes of the largest object that is written to `store`."""
        return store.volume_size or self.dump.volume_size

    def chosen_stores(self, choice: str | None = None) -> tuple[StoreSettings, ...]:
        """The store that `choice` means, or all of them. Raises what `store` raises."""
        several = choice is None and len(self.stores) > 1
        return tuple(self.stores.values()) if several else (self.store(choice),)

    def store(self, choice: str | None = None) -> StoreSettings:
        """The store that `choice` (a name or an address) means, or the only one.

        Raises:
            ConfigurationError: there is none.
            UsageError: there is no such store, or there are several to choose from.
        """
        known = ", ".join(f"{name} ({store.url})" for name, store in self.stores.items())
        if not self.stores:
            raise ConfigurationError("no store is set", hint="set PGPROOF_STORE, for example to s3://bucket/prefix")
        if choice is None and len(self.stores) > 1:
            raise UsageError("there are several stores", hint=f"choose one with --store: {known}")
        for name, store in self.stores.items():
            if choice is None or choice in {name, store.url}:
                return store
        raise UsageError(f"there is no store {choice!r}", hint=f"the stores are: {known}")

    def secrets(self) -> tuple[str, ...]:
        """Everything that must never be printed."""
        found = [
            password
            for url in [self.database.url, self.sync.url]
            if url
            for password in passwords(url.get_secret_value())
        ]
        for store in self.stores.values():
            keys = (store.access_key, store.secret_key, store.session_token)
            found += [key.get_secret_value() for key in keys if key]
        for kept in (self.encryption.identity, self.encryption.identity_passphrase):
            found += _secret_lines(kept.get_secret_value()) if kept else []
        found += self.notify.secrets
        found += self.serve.secrets
        if self.metrics.pushgateway:
            gateway = self.metrics.pushgateway.get_secret_value()
            found += [gateway, *passwords(gateway)]
        return tuple(secret for secret in found if secret)


def _secret_lines(text: str) -> list[str]:
    """The lines of an identity file, but for its comments and the public words around what is armored."""
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith(("#", "-----"))]


def passwords(conninfo: str) -> tuple[str, ...]:
    """The passwords, keys and other secrets in an address of a database, as written and as libpq reads them.

    For masking only, and so without libpq, which takes long to load and tells nothing of an address with a mistake.
    """
    if "://" in conninfo:
        found = [match[1] for match in (pattern.match(conninfo) for pattern in _PASSWORDS_IN_URL) if match]
        pairs = (pair.partition("=") for pair in conninfo.partition("?")[2].split("&"))
        found += [value for name, _, value in pairs if unquote(name) in _SECRET_KEYWORDS]
        forms = [form for text in found for form in (text, unquote(text))]
    else:
        written = [quoted or bare for quoted, bare in _SECRET_KEYWORD.findall(conninfo)]
        forms = [form for text in written for form in (text, re.sub(r"\\(.)", r"\1", text))]
    return tuple(form for form in dict.fromkeys(forms) if form)
