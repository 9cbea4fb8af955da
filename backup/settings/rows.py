"""The branches of the settings that choose rows: for exports and for the second database.

Owns their leaves and how a table is written; must not read anything, and knows no catalogue.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, SecretStr
from pydantic.functional_validators import AfterValidator

from backup.domain.rows import SECRETS, RowsChoice, TableChoice
from backup.errors import ConfigurationError
from backup.settings.branches import Section
from backup.settings.kinds import Conninfo, Env, Names, Patterns


def _or_nothing(value: object) -> object:
    """A table of which nothing is said: `wallets:` in YAML is `wallets: {}`."""
    if not isinstance(value, dict):
        return value
    return {str(name): {} if said is None else said for name, said in value.items()}


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


Sql = Annotated[str, AfterValidator(_not_blank)]


class TableSettings(Section):
    """What of a table is wanted."""

    columns: Names = ()
    exclude: Names = ()
    where: Sql | None = None
    order_by: Sql | None = None
    limit: int | None = Field(default=None, ge=1)
    include: Annotated[dict[str, TableSettings], BeforeValidator(_or_nothing)] = Field(default_factory=dict)
    by: Names = ()
    since_column: str | None = None

    @property
    def choice(self) -> TableChoice:
        """The same as a value."""
        return TableChoice(
            columns=self.columns,
            exclude=self.exclude,
            where=self.where,
            order_by=self.order_by,
            limit=self.limit,
            include={name: each.choice for name, each in self.include.items()},
            by=self.by,
            since_column=self.since_column,
        )


class RowsSettings(Section):
    """Which rows `export` and `sync` take; without `tables` and `only` all of every table that the role may read."""

    tables: Annotated[dict[str, TableSettings], BeforeValidator(_or_nothing), Env(None)] = Field(
        default_factory=dict,
        description="Tables by name or pattern, each with what of it is wanted: columns, exclude, where, order_by, "
        "limit, include, since_column; {} for all of it. docs/rows.md explains them.",
    )
    only: Annotated[Patterns, Env("PGPROOF_ROWS_TABLES")] = Field(
        default=(),
        description="Only these tables, by names or patterns; what `tables` says of one of them holds.",
    )
    secrets: Annotated[Names, Env("PGPROOF_ROWS_SECRETS")] = Field(
        default=SECRETS,
        description="Columns that are left out unless a table's `columns` names them: names, or patterns with * and ?.",
    )

    @property
    def choice(self) -> RowsChoice:
        """The same as a value."""
        tables = {name: each.choice for name, each in self.tables.items()}
        return RowsChoice(tables=tables, only=self.only, secrets=self.secrets)


class SyncSettings(Section):
    """The second database, into which `sync` brings the chosen rows."""

    url: Annotated[Conninfo | None, Env("PGPROOF_SYNC_URL")] = Field(
        default=None, description="Its address, as that of the database: postgresql://user:password@host/dbname."
    )
    delete: Annotated[bool, Env("PGPROOF_SYNC_DELETE")] = Field(
        default=False,
        description="Delete rows there that are not among those chosen here, of no table more than half.",
    )
    overlap: Annotated[int, Env("PGPROOF_SYNC_OVERLAP")] = Field(
        default=3600,
        ge=0,
        description="Seconds before the newest since_column there from which on rows are read again: a transaction "
        "that took longer than that between its change and its end would be missed.",
    )

    @property
    def conninfo(self) -> SecretStr:
        """The address for libpq.

        Raises:
            ConfigurationError: nothing says which database.
        """
        if self.url is None:
            raise ConfigurationError("no second database is set", hint="set PGPROOF_SYNC_URL, or sync.url_file")
        return self.url
