"""The table of contents of a pg_dump archive, as pg_restore prints it: entries, and the choice of some. Pure.

Two listings are read together: `pg_restore -l -v` has every entry with what it depends on; the script of
`pg_restore -v -f - --section=pre-data --section=post-data` has the exact names and the SQL of all but the data.
pg_restore prints a newline in a name as a space in both; only the SQL has it right.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches

from backup.domain.sql import comment_starts
from backup.errors import DAMAGED, IntegrityFailed, NotFound

_LINE = re.compile(r"(\d+); \d+ (\d+) (.*)")
_DEPENDS = re.compile(r";\s+depends on:((?: \d+)+)")
_HEADER = re.compile(
    r"--\n-- TOC entry (\d+) \(class \d+ OID \d+\)\n(?:-- Dependencies: [\d ]+\n)?"
    r"-- Name: (.*); Type: (.*?); Schema: (.*?); Owner: (.*?)(?:; Tablespace: (.*))?\n(?:-- Data Pos: \d+\n)?--\n",
)
_DATA_KINDS = (
    "TABLE DATA",
    "SEQUENCE SET",
    "BLOB METADATA",
    "BLOB COMMENTS",
    "BLOBS",
    "BLOB",
    "STATISTICS DATA",
)
_LANE = 1 << 31
"""By which the numbers of entries of one archive are apart from those of the next: pg_dump's own are 32 bit."""

_FEW = 10
"""Tables that are all named where none of them was meant; a guess at what can be read at a glance."""

_INDEXES = frozenset({"INDEX", "CONSTRAINT"})
_AFTER_DATA = frozenset(
    {
        "CHECK CONSTRAINT",
        "CONSTRAINT",
        "EVENT TRIGGER",
        "FK CONSTRAINT",
        "INDEX",
        "INDEX ATTACH",
        "MATERIALIZED VIEW DATA",
        "POLICY",
        "PUBLICATION",
        "PUBLICATION TABLE",
        "PUBLICATION TABLES IN SCHEMA",
        "ROW SECURITY",
        "RULE",
        "STATISTICS",
        "SUBSCRIPTION",
        "SUBSCRIPTION TABLE",
        "TRIGGER",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry. `schema` is `-` where there is none, `sql` is empty for data; table and rows have the same `oid`."""

    number: int
    kind: str
    schema: str = "-"
    name: str = ""
    owner: str = ""
    tablespace: str = ""
    depends: tuple[int, ...] = ()
    sql: str = ""
    oid: int = 0

    @property
    def of_database(self) -> bool:
        """Whether it speaks of the database as a whole: left out unless one restores with --create."""
        return self.kind in {"DATABASE", "DATABASE PROPERTIES"} or (
            self.schema == "-"
            and self.name.startswith("DATABASE ")
            and self.kind in {"ACL", "COMMENT", "SECURITY LABEL"}
        )

    @property
    def of_large_objects(self) -> bool:
        """Whether it makes large objects or says whose they are; their content is another entry.

        The data section has these entries, so that a script without data has nothing of them but their kind.
        """
        about = {"ACL", "COMMENT", "SECURITY", "SECURITY LABEL"}
        return self.kind in {"BLOB", "BLOB METADATA"} or (
            self.kind in about and (not self.sql or self.name.startswith("LARGE OBJECT"))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Entries to restore, by number, and the foreign keys left out because their other table is not among them."""

    numbers: frozenset[int]
    cut_keys: tuple[str, ...]


def parse(listing: str, *scripts: str) -> tuple[Entry, ...]:
    """The entries of an archive, in its order, from the listing and the scripts that have their SQL."""
    detailed = {entry.number: entry for script in scripts for entry in _parse_script(script)}
    entries: list[Entry] = []
    for line in listing.splitlines():
        if entries and (depends := _DEPENDS.fullmatch(line)):
            entries[-1] = replace(entries[-1], depends=tuple(map(int, depends[1].split())))
        elif match := _LINE.match(line):
            number, oid, text = int(match[1]), int(match[2]), match[3]
            kind = next((kind for kind in _DATA_KINDS if text.startswith(kind + " ")), "")
            entry = detailed.get(number) or Entry(number=number, kind=kind or text.split(" ", 1)[0])
            entries.append(replace(entry, oid=oid))
    return tuple(entries)


def with_lanes(first: Iterable[Entry], lanes: Iterable[Iterable[Entry]]) -> tuple[Entry, ...]:
    """The entries of a dump of several archives: of those behind the first one, the rows of tables alone.

    An archive without definitions has rows that depend on nothing in it; it is the table's oid by which they are known.

    Raises:
        IntegrityFailed: an archive has rows of a table that the first one does not define.
    """
    everything = list(first)
    tables = {entry.oid: entry.number for entry in everything if entry.kind == "TABLE"}
    behind: list[Entry] = []
    for lane, entries in enumerate(lanes, start=1):
        rows = [entry for entry in entries if entry.kind == "TABLE DATA"]
        if any(entry.oid not in tables for entry in rows):
            raise IntegrityFailed(f"lane {lane} of the dump has rows of a table that is not in it", hint=DAMAGED)
        behind += (replace(entry, number=lane * _LANE + entry.number, depends=(tables[entry.oid],)) for entry in rows)
    places = [position for position, entry in enumerate(everything, start=1) if entry.kind == "TABLE DATA"]
    place = places[-1] if places else len(everything)
    return (*everything[:place], *behind, *everything[place:])


def within(lane: int, entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Of the entries of a dump of several archives those of one, with the numbers that they have in it."""
    return tuple(replace(entry, number=entry.number % _LANE) for entry in entries if entry.number // _LANE == lane)


def _parse_script(script: str) -> Iterable[Entry]:
    found = (_HEADER.match(script, position) for position in comment_starts(script))
    headers = [header for header in found if header]
    ends = [*(header.start() for header in headers[1:]), len(script)]
    for header, end in zip(headers, ends, strict=False):  # no header, and yet an end
        number, name, kind, schema, owner, tablespace = header.groups()
        yield Entry(
            number=int(number),
            kind=kind,
            schema=schema,
            name=name,
            owner=owner,
            tablespace=tablespace or "",
            sql=script[header.end() : end],
        )


def find_tables(entries: Iterable[Entry], wanted: Collection[str]) -> dict[int, str]:
    """The tables that a user names, by number: `table` or `schema.table`, quoted or not.

    Raises:
        NotFound: the archive has no such table, or several; names the nearest.
    """
    tables = {entry.number: entry for entry in entries if entry.kind == "TABLE"}
    found: dict[int, str] = {}
    for text in wanted:
        hits = [entry for entry in tables.values() if re.sub(r"[\r\n]", " ", text) in _spellings(entry)]
        if len(hits) > 1:
            names = ", ".join(f"{entry.schema}.{entry.name}" for entry in hits)
            raise NotFound(f"{text!r} means several tables: {names}", hint="give the schema too: schema.table")
        if not hits:
            raise NotFound(f"the backup has no table {text!r}", hint=_what_there_is(text, tables.values()))
        found[hits[0].number] = f"{hits[0].schema}.{hits[0].name}"
    return found


def _what_there_is(text: str, tables: Collection[Entry]) -> str:
    if near := _nearest(text, tables):
        return f"did you mean {', '.join(near)}?"
    if len(tables) > _FEW:
        return f"it has {len(tables)} tables, none is called alike"
    names = ", ".join(f"{entry.schema}.{entry.name}" for entry in tables)
    return (
        f"it has {len(tables)} tables: {names}"
        if len(tables) > 1
        else f"it has only {names}"
        if names
        else "it has none"
    )


def _nearest(text: str, tables: Collection[Entry]) -> list[str]:
    """The full names of tables that are called nearly so, with their schema or without, in capitals or not."""
    names = [f"{entry.schema}.{entry.name}" for entry in tables]
    known: dict[str, list[str]] = {}
    for entry, name in zip(tables, names, strict=True):
        known.setdefault(name.lower(), []).append(name)
        known.setdefault(entry.name.lower(), []).append(name)
    near = get_close_matches(text.lower(), known, n=3)
    return list(dict.fromkeys(name for spelling in near for name in known[spelling]))[:5]


def _spellings(entry: Entry) -> set[str]:
    quoted = ['"' + part.replace('"', '""') + '"' for part in (entry.schema, entry.name)]
    return {
        entry.name,
        quoted[1],
        f"{entry.schema}.{entry.name}",
        f"{quoted[0]}.{quoted[1]}",
        f"{entry.schema}.{quoted[1]}",
        f"{quoted[0]}.{entry.name}",
    }


def select(entries: Iterable[Entry], tables: Collection[int]) -> Selection:
    """All of pre-data; then of the chosen tables and their partitions: rows, owned sequences, indexes and the rest.

    An entry after the data belongs to the tables that it depends on, itself or through another such entry. One that
    needs a table which is not loaded is left out; where it is a foreign key, it is named.
    """
    everything = {entry.number: entry for entry in entries}
    chosen = _with_partitions(everything.values(), set(tables))
    sequences = {e.number for e in everything.values() if e.kind == "SEQUENCE" and chosen.intersection(e.depends)}
    numbers: set[int] = set()
    cut: list[str] = []
    memory: dict[int, frozenset[int]] = {}
    for entry in everything.values():
        if entry.kind in _DATA_KINDS:
            wanted = entry.kind in {"TABLE DATA", "SEQUENCE SET", "STATISTICS DATA"}
            keep = wanted and bool((chosen | sequences).intersection(entry.depends))
        elif _is_after_data(entry, everything):
            needed = _tables(entry, everything, memory)
            keep = bool(needed) and needed <= chosen
            if entry.kind == "FK CONSTRAINT" and not keep and needed & chosen:
                cut.append(f"{entry.schema}.{entry.name}")
        else:
            keep = not entry.of_large_objects
        if keep:
            numbers.add(entry.number)
    return Selection(numbers=_without_lost(numbers, everything), cut_keys=tuple(cut))


def select_rows(entries: Iterable[Entry], tables: Collection[int]) -> Selection:
    """Everything but the rows of other tables than the chosen ones, large objects, and foreign keys between the two."""
    everything = {entry.number: entry for entry in entries}
    chosen = _with_partitions(everything.values(), set(tables))
    numbers: set[int] = set()
    cut: list[str] = []
    memory: dict[int, frozenset[int]] = {}
    for entry in everything.values():
        if entry.kind in {"TABLE DATA", "STATISTICS DATA"}:
            keep = bool(chosen.intersection(entry.depends))
        elif entry.kind == "FK CONSTRAINT":
            needed = _tables(entry, everything, memory)
            keep = needed <= chosen or not needed & chosen
            cut += [] if keep else [f"{entry.schema}.{entry.name}"]
        else:
            keep = not entry.of_large_objects and entry.kind != "BLOBS"
        if keep:
            numbers.add(entry.number)
    return Selection(numbers=_without_lost(numbers, everything), cut_keys=tuple(cut))


def have_rows(entries: Iterable[Entry], tables: Collection[int]) -> bool:
    """Whether the rows of all of these tables, and of all partitions below them, are among the entries."""
    everything = {entry.number: entry for entry in entries}
    loaded = {number for entry in everything.values() if entry.kind == "TABLE DATA" for number in entry.depends}
    chosen = _with_partitions(everything.values(), set(tables))
    return all(number in loaded or "\nPARTITION BY " in everything[number].sql for number in chosen)


def loaded_tables(entries: Iterable[Entry], chosen: Collection[int] | None) -> frozenset[str] | None:
    """The tables (`schema.table`) whose rows are among chosen entries; None where all entries are."""
    if chosen is None:
        return None
    everything = {entry.number: entry for entry in entries}
    needed = {n for e in everything.values() if e.kind == "TABLE DATA" and e.number in chosen for n in e.depends}
    tables = (everything[number] for number in needed if number in everything)
    return frozenset(f"{table.schema}.{table.name}" for table in tables if table.kind == "TABLE")


def _without_lost(numbers: set[int], everything: Mapping[int, Entry]) -> frozenset[int]:
    """`numbers` without those that need an entry after the data which is not among them, as a table's publication."""
    while True:
        lost = {
            number
            for number in numbers
            for other in _needed(everything[number], everything)
            if other.number not in numbers and _is_after_data(other, everything)
        }
        if not lost:
            return frozenset(numbers)
        numbers = numbers - lost


def _needed(entry: Entry, everything: Mapping[int, Entry]) -> list[Entry]:
    """The entries that one cannot do without. A partition's index follows the one above it, but stands alone too."""
    others = [everything[number] for number in entry.depends if number in everything]
    return [other for other in others if not (entry.kind in _INDEXES and other.kind in _INDEXES)]


def droppable(entries: Collection[Entry]) -> tuple[Entry, ...]:
    """Entries in an order in which they can be made, and in its reverse, in which pg_restore drops them, dropped.

    pg_dump has the primary key of a partitioned table before those of its partitions. These cannot be dropped alone,
    but go with it: so it has to come after them. Making it there does no harm, indexes are attached later.
    """
    constraints = {entry.number: entry for entry in entries if entry.kind == "CONSTRAINT"}
    depths: dict[int, int] = {}
    for entry in constraints.values():  # a parent is always before its children
        above = [depths[number] for number in entry.depends if number in depths]
        depths[entry.number] = max(above, default=-1) + 1
    ordered = iter(sorted(constraints.values(), key=lambda entry: -depths[entry.number]))
    return tuple(next(ordered) if entry.kind == "CONSTRAINT" else entry for entry in entries)


def _with_partitions(entries: Iterable[Entry], chosen: set[int]) -> set[int]:
    """`chosen` and all partitions below them: a TABLE ATTACH depends on the partition and on its parent."""
    attached = [entry for entry in entries if entry.kind == "TABLE ATTACH"]
    tables = {entry.number: entry for entry in entries if entry.kind == "TABLE"}
    grown = True
    while grown:
        below = {
            number
            for entry in attached
            for number in entry.depends
            if chosen.intersection(entry.depends) and number in tables and _is(tables[number], entry)
        }
        grown = not below <= chosen
        chosen = chosen | below
    return chosen


def _is(table: Entry, attach: Entry) -> bool:
    """Whether `attach` hangs this very table below another: it bears the partition's name."""
    return (table.schema, table.name) == (attach.schema, attach.name)


def _is_after_data(entry: Entry, everything: Mapping[int, Entry]) -> bool:
    if entry.kind in {"COMMENT", "ACL", "SECURITY LABEL"}:
        return any(number in everything and _is_after_data(everything[number], everything) for number in entry.depends)
    return entry.kind in _AFTER_DATA


def _tables(entry: Entry, everything: Mapping[int, Entry], memory: dict[int, frozenset[int]]) -> frozenset[int]:
    """The tables that an entry cannot do without."""
    if entry.number not in memory:
        memory[entry.number] = frozenset()  # ends a circle; pg_dump broke it already
        found: set[int] = set()
        for other in _needed(entry, everything):
            if other.kind in {"TABLE", "MATERIALIZED VIEW", "VIEW", "FOREIGN TABLE"}:
                found.add(other.number)
            elif other.kind == "SEQUENCE" or _is_after_data(other, everything):
                found |= _tables(other, everything, memory)
        memory[entry.number] = frozenset(found)
    return memory[entry.number]
