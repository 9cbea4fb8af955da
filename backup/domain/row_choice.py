"""Makes of a choice and a catalogue what will be read, and finds every problem at once. Pure.

Owns the rules: which table a name means, which columns are left out, which foreign key nests one table in another.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase

from backup.domain.patterns import Exclusion, excluded
from backup.domain.rows import (
    Catalogue,
    ChosenTable,
    Column,
    Nested,
    Problem,
    Reference,
    Relation,
    RowsChoice,
    Selection,
    TableChoice,
)
from backup.domain.words import nearest

_WILD = re.compile(r"[*?|+(\[]")
_KINDS = {"v": "a view", "m": "a materialized view", "f": "a foreign table", "S": "a sequence"}
_TIME = re.compile(r"date|timestamp(\(\d\))?( with(out)? time zone)?")


def choose(choice: RowsChoice, catalogue: Catalogue) -> Selection:
    """What a choice means in this database."""
    return _Chooser(choice, catalogue).selection()


def means(pattern: Exclusion, relation: Relation) -> bool:
    """Whether a pattern means a table; one of a schema has no table. Raises re.error where it is no pattern."""
    schema, table = pattern
    if table and not re.fullmatch(table, relation.name, re.DOTALL):
        return False
    return relation.visible if schema is None else re.fullmatch(schema, relation.schema, re.DOTALL) is not None


def all_columns(choice: RowsChoice) -> RowsChoice:
    """The same for a backup: columns that look like secrets are in it, and what others include stands for itself.

    Rows inside of rows could not be restored.
    """
    tables = dict(choice.tables)
    inside = list(choice.tables.values())
    while inside:
        for name, each in inside.pop().include.items():
            tables.setdefault(name, TableChoice(columns=each.columns, exclude=each.exclude))
            inside.append(each)
    return replace(choice, tables={name: replace(each, include={}) for name, each in tables.items()}, secrets=())


class _Pattern:
    """A name or a pattern of tables."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.exact = not _WILD.search(re.sub(r'"(?:[^"]|"")*"', "", text))
        self._meant: Exclusion = excluded((), [text])[0]

    def matches(self, relation: Relation) -> bool:
        """Whether it means this one. Raises re.error where it is no pattern."""
        return means(self._meant, relation)


class _Chooser:
    def __init__(self, choice: RowsChoice, catalogue: Catalogue) -> None:
        self._choice = choice
        self._catalogue = catalogue
        self._problems: list[Problem] = []
        self._unreadable: list[str] = []

    def selection(self) -> Selection:
        chosen = self._tables()
        relations = sorted(chosen, key=lambda each: (each.schema, each.name))
        tables = [self._table(each, chosen[each]) for each in relations]
        problems = tuple(dict.fromkeys(self._problems))
        return Selection(tables=tuple(tables), problems=problems, unreadable=tuple(self._unreadable))

    def _tables(self) -> dict[Relation, TableChoice]:
        """The tables that are meant, each with what is said of it."""
        said = self._said()
        if self._choice.only:
            meant = {each: said.get(each, TableChoice()) for text in self._choice.only for each in self._meant(text)}
        elif self._choice.tables:
            meant = said
        else:
            return {each: TableChoice() for each in self._readable() if not self._without(each)}
        wanted = {each: options for each, options in meant.items() if not self._without(each)}
        return {each: options for each, options in wanted.items() if self._may_read(each, options)}

    def _without(self, relation: Relation) -> bool:
        return any(means(each, relation) for each in self._choice.without)

    def _said(self) -> dict[Relation, TableChoice]:
        """What `tables` says, of patterns first, so that names go before them."""
        quiet = bool(self._choice.only)
        ordered = sorted(self._choice.tables.items(), key=lambda item: _Pattern(item[0]).exact)
        said: dict[Relation, TableChoice] = {}
        for text, options in ordered:
            meant = self._meant(text, quiet=quiet)
            said |= {each: _fitting(options, each, meant) for each in meant}
        return said

    def _meant(self, text: str, *, quiet: bool = False) -> list[Relation]:
        pattern = _Pattern(text)
        try:
            found = [each for each in self._catalogue.relations if pattern.matches(each)]
        except re.error:
            self._refuse(f"{text!r} is no pattern of tables", "write a name, schema.name, or use * and ?")
            return []
        if not pattern.exact:
            found = [each for each in found if each.is_table and not each.partition]
        if not found and not quiet:
            known = [name for each in self._catalogue.relations for name in (each.label, each.quoted)]
            self._refuse(
                f"there is no table {text}{nearest(text, known)}",
                "a name without a schema is looked for on the role's search path; write schema.name for others",
            )
        return found

    def _readable(self) -> Iterator[Relation]:
        """Every table that may be read as a whole; the others are noted."""
        for each in self._catalogue.relations:
            if not each.is_table or each.partition:
                continue
            if not (each.usable and each.readable) or (each.hidden and self._choice.saving):
                self._unreadable.append(each.label)
            elif self._may_read(each, TableChoice()):
                yield each

    def _may_read(self, relation: Relation, choice: TableChoice) -> bool:
        name = relation.quoted
        if not relation.is_table:
            what = _KINDS.get(relation.kind, "no table")
            self._refuse(
                f"{name} is {what}", "choose the tables that have its rows, with columns and where in rows.tables"
            )
            return False
        role = self._catalogue.role
        if not relation.usable:
            self._deny(
                f"{role} may not use the schema of {name}", f"GRANT USAGE ON SCHEMA {relation.quoted_schema} TO {role};"
            )
        elif not relation.readable and not choice.columns:
            self._deny(f"{role} may not read {name}", f"GRANT SELECT ON {name} TO {role};")
        elif relation.hidden:
            self._deny(
                f"row-level security hides rows of {name} from {role}",
                f"ALTER ROLE {role} BYPASSRLS; -- or leave the table out",
            )
        else:
            return True
        return False

    def _table(self, relation: Relation, choice: TableChoice, *, nested: bool = False) -> ChosenTable:
        columns, left_out, asked_for = self._columns(relation, choice)
        if choice.limit is not None and choice.order_by is None and not (nested and relation.key):
            self._refuse(f"{relation.label}: a limit needs order_by, else which rows come is left to chance")
        if choice.since_column is not None:
            self._check_since(relation, choice.since_column)
        return ChosenTable(
            relation=relation,
            choice=choice,
            columns=columns,
            left_out=left_out,
            asked_for=asked_for,
            nested=tuple(self._nested(relation, columns, choice.include)),
        )

    def _columns(
        self, relation: Relation, choice: TableChoice
    ) -> tuple[tuple[Column, ...], tuple[str, ...], tuple[str, ...]]:
        """The columns to read, those left out, and those that look like secrets and come all the same."""
        names = [each.name for each in relation.columns]
        wild = {each for each in choice.exclude if _WILD.search(each)}
        for name in dict.fromkeys((*choice.columns, *(each for each in choice.exclude if each not in wild))):
            if name not in names:
                self._refuse(f"{relation.label} has no column {name}{nearest(name, names)}")
        secret = [name for name in names if _like(name.lower(), map(str.lower, self._choice.secrets))]
        if choice.columns:
            wanted = [name for name in choice.columns if name in names]
            left_out = [name for name in wanted if _excluded(name, choice)]
        else:
            wanted = names
            left_out = [name for name in names if _excluded(name, choice) or name in secret]
        kept = [name for name in dict.fromkeys(wanted) if name not in left_out]
        chosen = [each for name in kept if (each := relation.column(name))]
        denied = [each.name for each in chosen if not each.readable]
        if denied:
            role = self._catalogue.role
            self._deny(
                f"{role} may not read {', '.join(denied)} of {relation.quoted}",
                f"GRANT SELECT ON {relation.quoted} TO {role};",
            )
        if names and not chosen:
            self._refuse(f"{relation.label}: every column is left out", "name in `columns` what is wanted")
        asked_for = [name for name in kept if name in secret] if choice.columns else []
        return tuple(chosen), tuple(left_out), tuple(asked_for)

    def _check_since(self, relation: Relation, name: str) -> None:
        column = relation.column(name)
        if column is None:
            names = [each.name for each in relation.columns]
            self._refuse(f"{relation.label} has no column {name} for since_column{nearest(name, names)}")
        elif not _TIME.fullmatch(column.type):
            self._refuse(f"{relation.label}: since_column {name} is of type {column.type}, it must be a time or a date")

    def _nested(
        self, outer: Relation, columns: Collection[Column], include: Mapping[str, TableChoice]
    ) -> Iterator[Nested]:
        taken = {each.name for each in columns}
        for text, choice in include.items():
            for inner in self._meant(text):
                if not self._may_read(inner, choice):
                    continue
                table = self._table(inner, choice, nested=True)
                found = _ways(outer, inner, choice.by)
                if inner.name in taken:
                    self._refuse(f"{outer.label} has {inner.name} already, so no rows can be included by that name")
                elif len(found) == 1:
                    reference, many = found[0]
                    here, there = reference.columns, reference.to_columns
                    taken.add(inner.name)
                    pairs = zip(there, here, strict=True) if many else zip(here, there, strict=True)
                    yield Nested(name=inner.name, table=table, pairs=tuple(pairs), many=many)
                else:
                    self._refuse_ways(outer, inner, [reference for reference, _ in found])

    def _refuse_ways(self, outer: Relation, inner: Relation, found: list[Reference]) -> None:
        if found:
            ways = " or ".join(f"[{', '.join(each.columns)}]" for each in found)
            self._refuse(
                f"{inner.label} can be included in {outer.label} by several foreign keys", f"say which one, by: {ways}"
            )
        else:
            self._refuse(
                f"{inner.label} cannot be included in {outer.label}: no foreign key of one is on the other",
                "choose it as a table of its own",
            )

    def _refuse(self, text: str, hint: str | None = None) -> None:
        self._problems.append(Problem(text=text, hint=hint))

    def _deny(self, text: str, grant: str) -> None:
        self._problems.append(Problem(text=text, hint=grant, denied=True))


def _fitting(options: TableChoice, relation: Relation, meant: Iterable[Relation]) -> TableChoice:
    """What is said of all tables that a pattern means: to be excluded, a column need be in one of them alone."""
    others = {column.name for each in meant if each is not relation for column in each.columns}
    return replace(
        options, exclude=tuple(name for name in options.exclude if relation.column(name) or name not in others)
    )


def _excluded(name: str, choice: TableChoice) -> bool:
    return name in choice.exclude or _like(name.lower(), map(str.lower, filter(_WILD.search, choice.exclude)))


def _like(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _ways(outer: Relation, inner: Relation, by: tuple[str, ...]) -> list[tuple[Reference, bool]]:
    """The foreign keys between two tables; True where many inner rows may belong to an outer one."""
    found = [(each, True) for each in inner.references if each.to == outer.oid]
    if outer.oid != inner.oid:
        found += [(each, False) for each in outer.references if each.to == inner.oid]
    return [(each, many) for each, many in found if not by or each.columns == by]
