"""Which rows leave a database: what the user chose, what the catalogue says, and what comes of the two. Pure.

Owns the values; `row_choice` makes the last of them from the others. Knows no SQL.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from backup.domain.patterns import Exclusion

SECRETS = ("*password*", "*passwd*", "*secret*", "*token*", "*api_key*", "*session*")
"""Columns that look as if nobody but their application should have them, whatever their case."""

_FIRST_STEP = re.compile(r'"(?:[^"]|"")*"|[^."]+')


@dataclass(frozen=True, slots=True, kw_only=True)
class TableChoice:
    """What of a table is wanted; without anything all of it, but for columns that look like secrets.

    Attributes:
        columns: these alone, by their exact names; one that looks like a secret comes too.
        exclude: all but these: names or patterns with * and ?.
        where, order_by: SQL over the table's columns.
        limit: so many rows at most, the first in that order.
        include: rows of other tables, by a foreign key, inside each row.
        by: columns of the foreign key, where the table is included and several could be meant.
        since_column: when a row changed last; a sync then reads only what is new.
    """

    columns: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    where: str | None = None
    order_by: str | None = None
    limit: int | None = None
    include: Mapping[str, TableChoice] = field(default_factory=lambda: MappingProxyType({}))
    by: tuple[str, ...] = ()
    since_column: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsChoice:
    """What of a database is wanted; without `tables` and `only` every table that the role may read.

    Attributes:
        tables: by names or patterns as pg_dump and psql take them; a name goes before a pattern.
        only: of all tables these alone, by names or patterns; what `tables` says of them holds.
        secrets: patterns of columns that are left out unless `columns` names them.
        without: tables that are not taken, whatever else is said.
        saving: what cannot be read is passed over, as tables whose rows row-level security hides.
    """

    tables: Mapping[str, TableChoice] = field(default_factory=lambda: MappingProxyType({}))
    only: tuple[str, ...] = ()
    secrets: tuple[str, ...] = SECRETS
    without: tuple[Exclusion, ...] = ()
    saving: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column as the catalogue has it.

    Attributes:
        type: as SQL writes it, with its schema where it is not PostgreSQL's own.
        type_oid: of that type.
        readable: the role may read it.
        one_line: its JSON never has a raw line end in it.
        exact: what `row_to_json` writes of any value of it, PostgreSQL reads as that very value again.
        generated: from other columns.
        collation: as SQL writes it, where it is not that of its type.
        filled: by a default or as an identity, where nothing else is said.
        quoted: its name as SQL writes it.
        equality: the schema of the operator that compares two of its type.
        fixed: an identity that is always generated: of a row that is there nothing else can be made.
    """

    name: str
    type: str
    type_oid: int
    readable: bool = True
    one_line: bool = True
    exact: bool = True
    generated: bool = False
    not_null: bool = False
    collation: str | None = None
    filled: bool = False
    quoted: str = ""
    equality: str = "pg_catalog"
    fixed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """Columns that tell rows apart and are never null: a primary key, or a unique index on all rows."""

    columns: tuple[str, ...]
    primary: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A foreign key: its columns, and the table (`to`, an oid) and columns that they point to."""

    name: str
    columns: tuple[str, ...]
    to: int
    to_columns: tuple[str, ...]
    deferrable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """A table, view or the like.

    Attributes:
        quoted: schema and name as SQL writes them.
        kind: pg_class's letter.
        visible: by its name alone, on the role's search path.
        partition: of another table, which has its rows.
        usable: the role may use its schema.
        readable: the role may read the whole table.
        hidden: row-level security applies to the role.
    """

    oid: int
    schema: str
    name: str
    quoted: str
    kind: str = "r"
    visible: bool = True
    partition: bool = False
    usable: bool = True
    readable: bool = True
    hidden: bool = False
    columns: tuple[Column, ...] = ()
    keys: tuple[Key, ...] = ()
    references: tuple[Reference, ...] = ()

    @property
    def label(self) -> str:
        """How it is called in results: by its name where it is in `public`, else with its schema."""
        if "." in self.schema or "." in self.name:
            return self.quoted
        return self.name if self.schema == "public" else f"{self.schema}.{self.name}"

    @property
    def quoted_schema(self) -> str:
        """Its schema as SQL writes it."""
        found = _FIRST_STEP.match(self.quoted)
        return found[0] if found else self.schema

    @property
    def is_table(self) -> bool:
        """Whether it has rows of its own, or its partitions have them."""
        return self.kind in {"r", "p"}

    def column(self, name: str) -> Column | None:
        """The column of this name."""
        return next((each for each in self.columns if each.name == name), None)

    @property
    def key(self) -> Key | None:
        """The primary key, else the unique index with the fewest columns."""
        return min(self.keys, key=lambda key: (not key.primary, len(key.columns), key.columns), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """All relations of a database that are not the server's own, and the role that looks, as SQL writes it."""

    role: str
    relations: tuple[Relation, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Nested:
    """Rows of another table inside each row.

    Attributes:
        name: of the list, or of the one row.
        pairs: columns that must be equal, of the outer and of the inner table.
        many: a list; else one row or null.
    """

    name: str
    table: ChosenTable
    pairs: tuple[tuple[str, str], ...]
    many: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenTable:
    """A table, and what of it will be read.

    Attributes:
        left_out: columns that `exclude` names or that look like secrets.
        asked_for: columns that look like secrets, and were asked for by name.
    """

    relation: Relation
    choice: TableChoice
    columns: tuple[Column, ...]
    left_out: tuple[str, ...] = ()
    asked_for: tuple[str, ...] = ()
    nested: tuple[Nested, ...] = ()

    @property
    def label(self) -> str:
        """How it is called in results."""
        return self.relation.label

    @property
    def whole(self) -> bool:
        """Whether all of its rows are read, with all of their columns."""
        choice = self.choice
        return len(self.columns) == len(self.relation.columns) and choice.where is None and choice.limit is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why a choice cannot be carried out. `denied`: a right is missing, and `hint` is the SQL that grants it."""

    text: str
    hint: str | None = None
    denied: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What will be read, in order, what is wrong with the choice, and tables passed over for want of rights."""

    tables: tuple[ChosenTable, ...]
    problems: tuple[Problem, ...]
    unreadable: tuple[str, ...] = ()
