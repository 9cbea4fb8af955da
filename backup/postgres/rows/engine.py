"""The rows engine: chosen tables as lines of JSON, a part each, and the schema that the catalogue lets us keep.

For when a few tables matter, or when pg_dump cannot run. It asks for no program: rows come by psql where there is one.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial

from backup import __version__
from backup.domain.kept_schema import SCHEMA_NAME, KeptTable
from backup.domain.manifest import Database, Role, Tool
from backup.domain.patterns import Exclusion, exactly
from backup.domain.proof import PROOF_NAME
from backup.domain.row_choice import means
from backup.domain.rows import ChosenTable, Relation, RowsChoice
from backup.errors import DumpFailed, PartUnavailable, TablesRewritten
from backup.logs import log
from backup.ports import PartSource
from backup.postgres.clients import Client
from backup.postgres.prover import ProofOptions, Prover
from backup.postgres.rows.reading import RowsReading, read_rows
from backup.postgres.rows.schema import partitions_of, read_schema
from backup.postgres.snapshot import HeldSnapshot
from backup.stream.readers import ByteReader, BytesReader


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsEngine:
    """Saves the tables of a choice.

    Attributes:
        choice: which tables, and what of them.
        filtered: a setting leaves parts of the database out.
        without_rows: tables that are kept empty.
        proof: how much is found out of the snapshot afterwards; None for nothing.
    """

    clients: tuple[Client, ...]
    choice: RowsChoice
    filtered: bool
    environ: Mapping[str, str]
    connect_timeout: int
    lock_wait_timeout: int
    without_rows: tuple[Exclusion, ...] = ()
    proof: ProofOptions | None = None

    def tool(self, database: Database) -> Tool:  # noqa: ARG002 -- any server will do
        """What writes these backups: pgproof itself."""
        return Tool(engine="rows", name="pgproof", version=__version__)

    def parts(self, snapshot: HeldSnapshot) -> Generator[PartSource, None, None]:
        """The rows, a part for each table, then the schema, and the proof where it is wanted."""
        with self._reading(snapshot) as rows:
            tables = [each for each in rows.chosen if not self._stays_empty(each.relation)]
            kept: list[KeptTable] = []
            lost: list[ChosenTable] = []
            for number, table in enumerate(tables, start=1):
                name = f"data.{number:05d}.ndjson"
                opened = partial(self._lines, rows, table, lost)
                yield PartSource(name=name, role=Role.DATA, open=opened, optional=self.choice.saving)
                if table not in lost:
                    kept.append(_kept(table, name))
            tables = [each for each in tables if each not in lost]
            rows = replace(rows, unreadable=(*rows.unreadable, *(each.label for each in lost)))  # noqa: PLW2901
            prover = Prover(snapshot, self._provable(rows, tables)) if self.proof else None
            try:
                if prover:
                    prover.start()
                yield PartSource(name=SCHEMA_NAME, role=Role.SCHEMA, open=partial(self._schema, rows, tuple(kept)))
                if prover:
                    yield PartSource(
                        name=PROOF_NAME, role=Role.PROOF, open=prover.open, optional=True, proof=lambda: prover.proof
                    )
            finally:
                if prover:
                    prover.close()

    def _reading(self, snapshot: HeldSnapshot) -> AbstractContextManager[RowsReading]:
        return read_rows(
            snapshot.address,
            self.choice,
            clients=self.clients,
            environ=self.environ,
            connect_timeout=self.connect_timeout,
            lock_wait_timeout=self.lock_wait_timeout,
            within=snapshot.name,
        )

    @contextmanager
    def _lines(self, rows: RowsReading, table: ChosenTable, lost: list[ChosenTable]) -> Iterator[ByteReader]:
        """The rows of a table. Where what can be read shall be saved, one that cannot is put into `lost`.

        Raises:
            PartUnavailable: then; its words are for the manifest, which names no table.
            DumpFailed: it is not for the table, or all are wanted.
        """
        try:
            with rows.open_lines(table) as reader:
                yield reader
        except DumpFailed as error:
            if not self.choice.saving or isinstance(error, TablesRewritten):
                raise
            rows.ask("SELECT 1")  # raises where it is the line or the server, which the other tables need too
            lost.append(table)
            log.warning("a table cannot be read, and is left out", table=table.label, reason=error.message)
            raise PartUnavailable("a table could not be read", detail=error.detail) from error

    @contextmanager
    def _schema(self, rows: RowsReading, kept: tuple[KeptTable, ...]) -> Iterator[ByteReader]:
        everything = not (self.choice.tables or self.choice.only)
        yield BytesReader(read_schema(rows, kept, everything=everything).to_json())

    def _stays_empty(self, relation: Relation) -> bool:
        return any(means(each, relation) for each in self.without_rows)

    def _provable(self, rows: RowsReading, tables: list[ChosenTable]) -> ProofOptions:
        """The proof's options, so that it says nothing of what is not here, or not all of it."""
        there = {
            oid: whole
            for whole in (True, False)
            for oid in partitions_of(rows, [each.relation.oid for each in tables if each.whole is whole])
        }
        excluded: dict[str, list[str]] = {}
        cut: dict[str, list[str]] = {}
        for relation in rows.catalogue.relations:
            if relation.is_table and not there.get(relation.oid, False):
                group = cut if relation.oid in there else excluded
                group.setdefault(relation.schema, []).append(relation.name)
        if self.proof is None:
            raise AssertionError("asked only where a proof is wanted")
        return replace(
            self.proof,
            excluded=(*self.proof.excluded, *(exactly(*each) for each in excluded.items())),
            without_rows=(*self.proof.without_rows, *(exactly(*each) for each in cut.items())),
        )


def _kept(table: ChosenTable, part: str) -> KeptTable:
    relation = table.relation
    return KeptTable(
        schema=relation.schema,
        name=relation.name,
        quoted=relation.quoted,
        part=part,
        columns=tuple(each.name for each in table.columns),
        as_text=tuple(each.name for each in table.columns if not each.exact),
        whole=table.whole,
    )
