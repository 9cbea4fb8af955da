"""`pgproof export`: write chosen rows as one JSON document."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from backup.bootstrap import open_rows
from backup.cli.options import Invocation, command, option, setting_option
from backup.cli.output import Fields, Table, write_bytes
from backup.domain.sizes import show_size
from backup.errors import DumpFailed, ResultLost, UsageError
from backup.logs import log
from backup.ports import Rows
from backup.stream.new_file import new_file
from backup.workflow.export import Exported
from backup.workflow.export import export as export_rows


@command("export")
@option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    metavar="FILE",
    envvar="PGPROOF_EXPORT_OUTPUT",
    help="File to write, readable by its owner alone; without it, or as -, the document goes to stdout.",
)
@setting_option("rows.only", "--table", text="Only these tables: names or patterns, separated by commas.")
def export(invocation: Invocation, *, output: Path | None) -> None:
    """Write chosen rows as one JSON document, all tables as they were in one moment.

    Which rows: rows.tables in the settings, else all of every table that the role may read. Columns that look like
    secrets are left out unless they are asked for by name. A document that was cut is no JSON, and a file is there only
    when it is whole.
    """
    done = Exported()
    settings = invocation.settings
    if output is None or str(output) == "-":
        if invocation.json:
            raise UsageError(
                "with --json the result goes to stdout, where should the document go?", hint="give --output"
            )
        with open_rows(settings) as rows:
            _print(export_rows(rows, done))
        log.info("exported", tables=len(done.stats), rows=sum(done.stats.values()), bytes=done.bytes)
        return
    try:
        unfit = output.is_dir() or not output.absolute().parent.is_dir()
    except OSError as error:
        raise UsageError(f"{output} cannot be a file", detail=error.strerror) from error
    if unfit:
        raise UsageError(f"{output} cannot be a file", hint="name a file in a folder that is there")
    with open_rows(settings) as rows:
        _write(output, export_rows(rows, done))
        result = {
            "output": output,
            "bytes": done.bytes,
            "timestamp": rows.moment,
            "stats": done.stats,
            "left_out": rows.left_out,
            "asked_for": rows.asked_for,
        }
        invocation.emit(result, [_summary(output, rows, done), _table(rows, done)])


def _print(pieces: Iterable[bytes]) -> None:
    try:
        for piece in pieces:
            write_bytes(piece)
    except ResultLost as error:  # here it is not the result of some work that is lost, but the work
        raise DumpFailed("the document cannot be written", detail=error.detail) from error


def _write(output: Path, pieces: Iterable[bytes]) -> None:
    try:
        with new_file(output) as file:
            for piece in pieces:
                file.write(piece)
    except OSError as error:
        raise DumpFailed(f"{output} cannot be written", detail=error.strerror) from error


def _summary(output: Path, rows: Rows, done: Exported) -> Fields:
    return Fields(values={"file": output, "size": show_size(done.bytes), "as of": rows.moment})


def _table(rows: Rows, done: Exported) -> Table:
    lines = [(name, count, ", ".join(rows.left_out.get(name, ()))) for name, count in done.stats.items()]
    return Table(columns=("table", "rows", "left out"), rows=lines, right={"rows"})
