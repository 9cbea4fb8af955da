"""`pgproof restore --document`: bring the rows of an export back into the tables that are there."""

from __future__ import annotations

from pathlib import Path

from backup.bootstrap import make_rows_return
from backup.cli.announcing import Announcement
from backup.cli.options import Invocation
from backup.cli.output import Fields, Table, View, jsonable
from backup.cli.overwriting import make_safe, refuse_unconfirmed
from backup.cli.request import Wanted
from backup.domain.row_return import PlannedReturn, ReturnChoice, ReturnedTable
from backup.logs import log
from backup.stream.document import read_document

_FIGURES = ("read", "inserted", "updated", "unchanged")


def restore_document(
    invocation: Invocation, file: Path, wanted: Wanted, target_url: str | None, announcement: Announcement
) -> tuple[object, View]:
    """Do it, or say what would be done; what is printed of it, for programs and for people."""
    choice = ReturnChoice(tables=wanted.tables, upsert=wanted.upsert, disable_triggers=wanted.disable_triggers)
    way = make_rows_return(invocation.settings, address=target_url)
    with read_document(file) as document:
        log.info("the document is whole", tables=len(document.tables), rows=sum(each.rows for each in document.tables))
        plan = way.plan(document, choice)
        facts = {"document": file, "timestamp": document.timestamp, "database": plan.database}
        if wanted.dry_run:
            return {**facts, "rows": plan.rows, "steps": plan.steps}, _planned(file, document.timestamp, plan)
        refuse_unconfirmed(plan.database, wanted.confirm, what="write the rows of the document to")
        if not wanted.no_safety_backup:
            make_safe(invocation, "document", target_url)
        done = way.run(document, choice)
    figures = {name: sum(getattr(each, name) for each in done) for name in _FIGURES}
    announcement.facts["restore"] = jsonable({**facts, **figures})
    written = ", ".join(f"{count} {name}" for name, count in figures.items() if name != "read")
    announcement.text = f"{file.name} restored into {plan.database}: {figures['read']} rows read, {written}"
    return {**facts, "tables": done}, [table_of(done), announcement.text]


def _planned(file: Path, timestamp: object, plan: PlannedReturn) -> View:
    said = Fields(
        values={
            "document": file,
            "as of": timestamp,
            "database": plan.database,
            "server": f"PostgreSQL {plan.server}",
            "nothing done": "this is what a restore would do; whether each row fits is seen only then:",
        }
    )
    table = Table(columns=("table", "rows"), rows=list(plan.rows.items()), right={"rows"})
    return [said, "\n".join(plan.steps), table]


def table_of(done: tuple[ReturnedTable, ...]) -> Table:
    """What became of rows that came into tables that were there."""
    rows = [(each.table, *(getattr(each, name) for name in _FIGURES)) for each in done]
    return Table(columns=("table", *_FIGURES), rows=rows, right=set(_FIGURES))
