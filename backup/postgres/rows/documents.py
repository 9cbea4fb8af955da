"""Brings the rows of a document into tables that are there, in one transaction.

Owns which of its tables is which of the database. Whatever happens before the commit, the database is as it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from backup.domain.row_return import PlannedReturn, ReturnChoice, ReturnedTable, find_table
from backup.domain.rows import Catalogue, Problem, Relation
from backup.domain.words import nearest
from backup.errors import NotFound
from backup.logs import log
from backup.postgres.address import Address
from backup.postgres.connection import Connection, connect
from backup.postgres.rows.catalogue import read_catalogue, search_path
from backup.postgres.rows.returning import ReturnPlan, RowStream, carry_out, plan_return
from backup.postgres.session import keep_alive, settle, wait_for_locks
from backup.postgres.snapshot import read_database
from backup.stream.document import Document, DocumentTable


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsReturn:
    """A database into which rows come back.

    Attributes:
        lock_wait_timeout: seconds to wait for the lock of a table there.
    """

    address: Address
    connect_timeout: int
    lock_wait_timeout: int

    def plan(self, document: Document, choice: ReturnChoice) -> PlannedReturn:
        """Find out everything that can be known before anything is changed, and change nothing.

        Raises what `run` raises, but for what the rows themselves are in the way of.
        """
        with self._planned(document, choice) as (connection, tables, plan):
            database = read_database(connection)
        rows = {relation.label: table.rows for table, relation in tables}
        return PlannedReturn(
            database=database.name, server=database.server_version, rows=rows, steps=tuple(_steps(plan, choice))
        )

    def run(self, document: Document, choice: ReturnChoice) -> tuple[ReturnedTable, ...]:
        """Bring the rows; returns what came of each table, in the order of their names.

        Raises:
            ConfigurationError: the document does not fit the database, with a line for every problem.
            AccessDenied: rights are missing, with the GRANTs.
            NotFound: a table that is chosen is not in the document.
            RestoreFailed: rows do not fit; names them. Or the server does not take them.
            IntegrityFailed: the document was changed meanwhile.
            DatabaseUnreachable, DatabaseMissing: as `connect`.
        """
        with self._planned(document, choice) as (connection, tables, plan):
            done = {each.table: each for each in carry_out(connection, plan)}
        for table, relation in tables:
            if not table.rows:
                label = relation.label
                done[label] = ReturnedTable(table=label, read=0, inserted=0, updated=0, unchanged=0)
        return tuple(done[label] for label in sorted(done))

    @contextmanager
    def _planned(
        self, document: Document, choice: ReturnChoice
    ) -> Iterator[tuple[Connection, Sequence[tuple[DocumentTable, Relation]], ReturnPlan]]:
        """A transaction in which all is found out and nothing done yet; it ends with the context."""
        with connect(self.address.direct(), connect_timeout=self.connect_timeout) as connection:
            path = search_path(connection)
            settle(connection)
            keep_alive(connection)
            wait_for_locks(connection, self.lock_wait_timeout)
            with connection.transaction():
                catalogue = read_catalogue(connection, path)
                tables, problems = _matched(document, choice, catalogue)
                streams = [
                    RowStream(
                        relation=relation,
                        columns=group.columns,
                        open=partial(document.open, group),
                        first=group.first,
                    )
                    for table, relation in tables
                    for group in table.groups
                ]
                plan = plan_return(
                    connection,
                    streams,
                    catalogue,
                    upsert=choice.upsert,
                    disable_triggers=choice.disable_triggers,
                    problems=problems,
                )
                yield connection, tables, plan


def _matched(
    document: Document, choice: ReturnChoice, catalogue: Catalogue
) -> tuple[list[tuple[DocumentTable, Relation]], list[Problem]]:
    """The document's tables that are chosen, each with that of the database; and those that are not there."""
    problems = []
    found: dict[int, tuple[DocumentTable, Relation]] = {}
    wanted = _chosen(document, choice, catalogue)
    for table in document.tables:
        if table.name not in wanted:
            continue
        relation = find_table(table.name, catalogue)
        if isinstance(relation, Problem):
            problems.append(relation)
        elif relation.oid in found:
            twin = found[relation.oid][0].name
            problems.append(Problem(text=f"{twin} and {table.name} of the document are the same table"))
        else:
            found[relation.oid] = (table, relation)
    if not (found or problems):
        log.warning("the document has no tables, there is nothing to do")
    return list(found.values()), problems


def _chosen(document: Document, choice: ReturnChoice, catalogue: Catalogue) -> set[str]:
    """The names in the document of the tables that are chosen. Raises NotFound."""
    names = [each.name for each in document.tables]
    if not choice.tables:
        return set(names)
    by_oid = {each.oid: name for name in names if isinstance(each := find_table(name, catalogue), Relation)}
    chosen = set()
    for text in choice.tables:
        meant = find_table(text, catalogue)
        name = by_oid.get(meant.oid) if isinstance(meant, Relation) else None
        if name is None and text not in names:
            raise NotFound(
                f"the document has no table {text}{nearest(text, names)}", hint=f"it has {', '.join(names) or 'none'}"
            )
        chosen.add(name or text)
    return chosen


def _steps(plan: ReturnPlan, choice: ReturnChoice) -> Iterator[str]:
    triggers, waiting = plan.easing.triggers, plan.easing.waiting
    if triggers:
        names = ", ".join(f"{each.name} of {each.table}" for each in triggers)
        yield f"disable triggers, until the rows are there: {names}"
    if waiting:
        names = ", ".join(f"{each.reference.name} of {each.relation.label}" for each in waiting)
        yield f"let foreign keys wait that go in a circle, until the rows are there: {names}"
    order = ", ".join(each.label for each in plan.order) or "none"
    how = "insert rows that are new and update those that differ" if choice.upsert else "insert rows"
    yield f"{how}, table by table, in one transaction: {order}"
    yield "check every foreign key"
    if plan.numberings:
        yield f"set sequences past the data: {', '.join(dict.fromkeys(each.quoted for each in plan.numberings))}"
