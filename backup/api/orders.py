"""What is asked of a run over HTTP: bodies, checked, and turned into words of a command line.

Owns which options of a command may be said over the network: none that names a file or holds a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from backup.domain.ids import parse_reference
from backup.errors import UsageError

_NAME = r"^[^\x00-\x1f\x7f]{1,63}$"
_TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9:.]+(Z|[+-][0-9:]+)?)?"
_BACKUP = rf"^(latest|latest-proven|[0-9]{{8}}T[0-9]{{6}}Z(-[1-9][0-9]*)?|{_TIME})$"
"""For programs that read the description; what a time is, is judged by `parse_reference`."""
DATABASE = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
"""Of a release."""
_TABLE = r"^[^\x00-\x1f\x7f]{1,200}$"


def _reference(text: str) -> str:
    try:
        parse_reference(text)
    except UsageError as error:
        raise ValueError(f"{error.message}; {error.hint}") from None
    return text


Name = Annotated[str, StringConstraints(pattern=_NAME)]
"""Of a database."""
TableName = Annotated[str, StringConstraints(pattern=_TABLE)]
Reference = Annotated[str, StringConstraints(max_length=100, pattern=_BACKUP), AfterValidator(_reference)]
"""An id, `latest`, `latest-proven`, or a time."""
LabelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$")]
LabelValue = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{0,200}$")]


class Asked(BaseModel):
    """A body that asks for a run."""

    model_config = ConfigDict(extra="forbid")

    database: Annotated[str, StringConstraints(pattern=DATABASE)] | None = Field(
        default=None, description="In a cluster: which of the release's several; nowhere else."
    )

    @property
    def words(self) -> tuple[str, ...]:
        """Of the command line, behind the command's name."""
        return ()


class BackupOrder(Asked):
    """A backup, as the settings have it."""

    model_config = ConfigDict(json_schema_extra={"example": {"labels": {"commit": "d22021c"}}})

    labels: dict[LabelName, LabelValue] = Field(
        default_factory=dict, max_length=20, description="Kept in the backup, in place of those of the settings."
    )

    @property
    def words(self) -> tuple[str, ...]:
        """Of the command line."""
        return words(label=self.labels)


class DrillOrder(Asked):
    """A drill."""

    model_config = ConfigDict(json_schema_extra={"example": {"backup": "latest"}})

    backup: Reference = "latest"
    sample: int | None = Field(default=None, ge=1, le=100, description="Percent of the tables, chosen by chance.")

    @property
    def words(self) -> tuple[str, ...]:
        """Of the command line."""
        return words(backup=self.backup, sample=self.sample)


class RestoreOrder(Asked):
    """A restore: into a new database, unless the one that is overwritten is confirmed by its name."""

    model_config = ConfigDict(json_schema_extra={"example": {"backup": "latest", "into": "shop_back"}})

    backup: Reference
    into: Name | None = Field(default=None, description="Name of the new database.")
    tables: list[TableName] = Field(default_factory=list, max_length=100, description="Only rows of these.")
    replace: bool = Field(default=False, description="Restore beside it, compare, then swap the names.")
    in_place: bool = Field(default=False, description="Overwrite what is in the database, in one transaction.")
    disconnect: bool = Field(default=False, description="With `replace`: end the sessions of others.")
    confirm: Name | None = Field(default=None, description="Name of the database that is replaced or overwritten.")
    dry_run: bool = Field(default=False, description="Only check, and say what would be done.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        overwrites = self.replace or self.in_place
        if overwrites and not self.confirm and not self.dry_run:
            raise ValueError("what overwrites a database is confirmed by its name: give `confirm`")
        if self.confirm and not overwrites:
            raise ValueError("`confirm` says nothing without `replace` or `in_place`")
        if self.replace and self.in_place:
            raise ValueError("`replace` and `in_place` exclude each other")
        return self

    @property
    def words(self) -> tuple[str, ...]:
        """Of the command line."""
        return words(
            backup=self.backup,
            into=self.into,
            table=self.tables,
            replace=self.replace,
            in_place=self.in_place,
            disconnect=self.disconnect,
            confirm=self.confirm,
            dry_run=self.dry_run,
        )


class SyncOrder(Asked):
    """A sync, as the settings have it."""

    model_config = ConfigDict(json_schema_extra={"example": {}})


def words(**said: Any) -> tuple[str, ...]:  # noqa: ANN401 -- of a checked body
    """The options of a command as they are written: `into="x"` is `--into=x`, True a flag, a list one word each.

    `backup` is the argument, which comes first.
    """
    found = [str(said.pop("backup"))] if "backup" in said else []
    for name, value in said.items():
        flag = f"--{name.replace('_', '-')}"
        if value is True:
            found.append(flag)
        elif isinstance(value, Mapping):
            found += [f"{flag}={key}={text}" for key, text in value.items()]
        elif isinstance(value, list | tuple):
            found += [f"{flag}={each}" for each in value]
        elif value not in (None, False):
            found.append(f"{flag}={value}")
    return tuple(found)
