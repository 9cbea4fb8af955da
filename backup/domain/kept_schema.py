"""What the rows engine keeps of a schema: statements that make the tables again, and which part has whose rows. Pure.

Owns its form as a part of a backup. It has names of tables, so it is encrypted when the rows are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from backup.domain.documents import read_document
from backup.domain.manifest import ObjectName

FORMAT = 1
SCHEMA_NAME = "schema.json"
SCHEMA_LIMIT = 1 << 30
"""Bytes that a reader takes; a table needs about a kilobyte."""

Stage = Literal["before", "after"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """SQL that makes one object.

    Attributes:
        stage: whether it comes before the rows or after them.
        kind: of the object, as `table`.
        name: of it, as SQL writes it.
        sql: with all names qualified.
        otherwise: what makes something like it where that fails; empty for nothing.
    """

    stage: Stage
    kind: str
    name: str
    sql: str
    otherwise: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptTable:
    """A table of which there are rows.

    Attributes:
        quoted: schema and name as SQL writes them.
        part: that has its rows.
        columns: of the rows, in order.
        as_text: those of them whose values are strings, as their types write them; of the others they are JSON.
        whole: all of its rows are there, with all columns.
    """

    schema: str
    name: str
    quoted: str
    part: ObjectName
    columns: tuple[str, ...]
    as_text: tuple[str, ...] = ()
    whole: bool = True

    @property
    def plain(self) -> str:
        """Schema and name without quotes."""
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptPosition:
    """Where a sequence stood once all rows were read."""

    quoted: str
    value: int
    called: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptSchema:
    """All that is kept beside the rows.

    Attributes:
        creation: the CREATE DATABASE that makes it as the source was.
        statements: in the order in which they can be run.
        missing: tables that could not be read.
    """

    format: Annotated[int, Field(ge=1)] = FORMAT
    creation: str
    statements: tuple[Statement, ...]
    tables: tuple[KeptTable, ...]
    positions: tuple[KeptPosition, ...] = ()
    missing: tuple[str, ...] = ()

    def to_json(self) -> bytes:
        """As it is stored."""
        return _ADAPTER.dump_json(self, indent=1) + b"\n"

    @classmethod
    def from_json(cls, data: bytes, *, where: str) -> KeptSchema:
        """Read what `to_json` wrote. `where` it was, for the message.

        Raises:
            IntegrityFailed: it is damaged, or of a newer format.
        """
        return read_document(data, _ADAPTER, newest=FORMAT, what=f"the schema of {where}")


_ADAPTER = TypeAdapter(KeptSchema)
