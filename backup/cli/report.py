"""`pgproof report`: write down what was backed up and proven, for an auditor."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal, get_args

import click

from backup.bootstrap import make_store, now
from backup.cli.options import Invocation, command, option
from backup.cli.output import jsonable, print_json, write
from backup.cli.report_html import as_html
from backup.cli.report_json import described
from backup.cli.report_markdown import as_markdown
from backup.cli.report_pages import make_page
from backup.cli.targets import stored_target
from backup.domain.periods import parse_period, parse_since
from backup.domain.report import Report
from backup.errors import NotFound, ResultLost, UsageError
from backup.ports import Store
from backup.workflow.catalog import Catalog
from backup.workflow.report import report_on

Format = Literal["markdown", "html", "json"]
_ENDINGS: dict[str, Format] = {".html": "html", ".htm": "html", ".json": "json"}


@command("report")
@option(
    "--since",
    metavar="PERIOD|TIME",
    default="90d",
    show_default=True,
    envvar="PGPROOF_REPORT_SINCE",
    help="Where it begins: 90d, 12h or 2w ago, or a time.",
)
@option(
    "--every",
    metavar="PERIOD",
    envvar="PGPROOF_REPORT_EVERY",
    help="How often there should be a backup; longer gaps are listed.  [default: the median interval, times 1.5]",
)
@option(
    "--format",
    "wanted",
    type=click.Choice(get_args(Format)),
    envvar="PGPROOF_REPORT_FORMAT",
    help="How it is written.  [default: by the ending of FILE, else markdown]",
)
@option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    envvar="PGPROOF_REPORT_OUTPUT",
    help="Write it into this file, whole or not at all.",
)
@option("--all", "every_target", is_flag=True, envvar="PGPROOF_REPORT_ALL", help="Of every target in the store.")
def report(
    invocation: Invocation,
    *,
    since: str,
    every: str | None,
    wanted: Format | None,
    output: Path | None,
    every_target: bool,
) -> None:
    """Write down what was backed up and proven over a time, to be handed to an auditor.

    The newest backup and the newest proven one, gaps, drills and the measured time to restore, restores over a live
    database, what cannot be read, every backup. It is made from the store alone: no server is needed.
    """
    kind = _format(invocation, wanted, output)
    moment = now()
    begin, schedule = parse_since(since, now=moment), parse_period(every) if every else None
    store = make_store(invocation.store)
    targets = _every_target(store) if every_target else [stored_target(invocation, store)]
    reports = [report_on(store, each, since=begin, now=moment, every=schedule) for each in targets]
    text = _rendered(reports, kind, every_target=every_target)
    if output is None:
        write(text)
        return
    write_whole(output, text)
    if invocation.json:
        print_json({"output": output, "format": kind, "targets": targets})
    else:
        write(f"{output}\n")


def _format(invocation: Invocation, wanted: Format | None, output: Path | None) -> Format:
    """What was asked for, else what the file's name or --json says."""
    if output is None and invocation.json:
        if wanted not in {None, "json"}:
            raise UsageError(f"--json and --format {wanted} exclude each other", hint="or write it to a file: --output")
        return "json"
    return wanted or (_ENDINGS.get(output.suffix.lower(), "markdown") if output else "markdown")


def _every_target(store: Store) -> Sequence[str]:
    targets = Catalog(store).targets()
    if not targets:
        raise NotFound(f"no backup in {store.url}", hint="pgproof backup makes one")
    return targets


def _rendered(reports: Sequence[Report], kind: Format, *, every_target: bool) -> str:
    if kind == "json":
        return json.dumps(jsonable(described(reports)), indent=2, ensure_ascii=False) + "\n"
    page = make_page(reports, every_target=every_target)
    return as_html(page) if kind == "html" else as_markdown(page)


def write_whole(file: Path, text: str) -> None:
    """Write a file under a passing name beside it, then give it its own: who reads it sees the old one or the new.

    Raises:
        UsageError: there is something else under its name, a folder or a device.
        ResultLost: it cannot be written.
    """
    place = Path(os.path.realpath(file))  # behind a link is the file that is meant
    passing = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
    try:
        if place.exists() and not place.is_file():
            raise UsageError(f"--output: {file} is no file")
        with passing.open("x", encoding="utf-8", errors="backslashreplace") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
        passing.replace(place)
    except OSError as error:
        raise ResultLost(f"the report cannot be written to {file}", detail=error.strerror) from error
    finally:
        with suppress(OSError):
            passing.unlink(missing_ok=True)
