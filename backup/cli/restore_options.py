"""What may be said of a restore on the command line, and what of it excludes each other.

Owns the options of `pgproof restore`; must not do anything about them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from backup.cli.options import option, setting_option
from backup.cli.request import Wanted, contradiction
from backup.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])


class _TableName(click.types.StringParamType):
    """Names of tables, in the environment separated by commas as in every list of ours."""

    envvar_list_splitter = ","


_OPTIONS = (
    option(
        "--request",
        type=click.Path(path_type=Path),
        metavar="FOLDER",
        envvar="PGPROOF_RESTORE_REQUEST",
        help="Folder with a file for each of BACKUP and the options below, as a ConfigMap is mounted; in their place.",
    ),
    option(
        "--document",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        envvar="PGPROOF_RESTORE_DOCUMENT",
        help="Instead of a BACKUP a document of pgproof export: its rows come into the tables that are there, in one "
        "transaction. Needs --confirm.",
    ),
    option(
        "--into",
        metavar="NAME",
        envvar="PGPROOF_RESTORE_INTO",
        help="Name of the new database.  [default: <database>_restored_<id>]",
    ),
    option(
        "--table",
        "tables",
        metavar="TABLE",
        type=_TableName(),
        multiple=True,
        envvar="PGPROOF_RESTORE_TABLES",
        help="Only the rows of this table; repeatable. All tables are made, the others stay empty; of a --document "
        "they stay as they are.",
    ),
    option(
        "--target-url",
        metavar="ADDRESS",
        envvar="PGPROOF_RESTORE_TARGET_URL",
        help="Another server to restore into. With a password, use the variable or the file: all may read a command "
        "line.",
    ),
    option(
        "--target-url-file",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        envvar="PGPROOF_RESTORE_TARGET_URL_FILE",
        help="File with that address.",
    ),
    option(
        "--replace",
        is_flag=True,
        envvar="PGPROOF_RESTORE_REPLACE",
        help="Restore beside the database, compare, then swap the names; the old one is kept. Needs --confirm.",
    ),
    option(
        "--disconnect",
        is_flag=True,
        envvar="PGPROOF_RESTORE_DISCONNECT",
        help="End the sessions of others in the database that --replace replaces, for the moment of the swap.",
    ),
    option(
        "--in-place",
        is_flag=True,
        envvar="PGPROOF_RESTORE_IN_PLACE",
        help="Overwrite what is in the database, in one transaction. Needs --confirm.",
    ),
    option(
        "--confirm",
        metavar="DATABASE",
        envvar="PGPROOF_RESTORE_CONFIRM",
        help="Name of the database that is replaced or overwritten.",
    ),
    option(
        "--no-safety-backup",
        is_flag=True,
        envvar="PGPROOF_RESTORE_NO_SAFETY_BACKUP",
        help="Do not first back up what --replace, --in-place or --document is about to change.",
    ),
    option(
        "--upsert",
        is_flag=True,
        envvar="PGPROOF_RESTORE_UPSERT",
        help="Rows of a --document, or in place of a backup of rows, that are there already are updated; without it "
        "they are an error.",
    ),
    option(
        "--disable-triggers",
        is_flag=True,
        envvar="PGPROOF_RESTORE_DISABLE_TRIGGERS",
        help="Triggers do not fire for these rows; afterwards each is as it was. Only the owner of a table may do so.",
    ),
    option(
        "--no-owner",
        is_flag=True,
        envvar="PGPROOF_RESTORE_NO_OWNER",
        help="Everything belongs to the role that restores.",
    ),
    option("--no-privileges", is_flag=True, envvar="PGPROOF_RESTORE_NO_PRIVILEGES", help="Leave out grants."),
    option(
        "--dry-run",
        is_flag=True,
        envvar="PGPROOF_RESTORE_DRY_RUN",
        help="Check everything, say what would be done, change nothing.",
    ),
    setting_option("restore.jobs", "-j", "--jobs"),
    setting_option("restore.synchronous_commit", "--synchronous-commit"),
    setting_option("restore.maintenance_work_mem", "--maintenance-work-mem"),
    setting_option("restore.proof", "--proof/--no-proof"),
)


def restore_options(function: F) -> F:
    """Give a command all of them, in this order."""
    for decorate in reversed(_OPTIONS):
        function = decorate(function)
    return function


_OF_DOCUMENTS = {"tables", "confirm", "no_safety_backup", "dry_run", "upsert", "disable_triggers"}


def refuse_two_sources(said: Mapping[str, object], request: Path | None, document: Path | None) -> None:
    """Refuse a request beside what it would say itself, a document beside what is not of documents, and nothing."""
    context = click.get_current_context()
    given = [name for name in said if context.get_parameter_source(name) is not ParameterSource.DEFAULT]
    if request and (given or document):
        stray = _told([*given, *(["document"] if document else ())])
        raise UsageError(f"--request says what is restored, and so does {stray}", hint="give one or the other")
    if document and (others := [name for name in given if name not in _OF_DOCUMENTS]):
        raise UsageError(
            f"--document and {_told(others)} exclude each other",
            hint="rows of a document come into the tables of the database that is there",
        )
    if not (request or document) and said["backup"] is None:
        raise UsageError("which backup?", hint="pgproof restore latest, or an id or a time; pgproof list shows them")


def _told(names: Iterable[str]) -> str:
    """Parameters as the user writes them."""
    known = {"backup": "BACKUP", "tables": "--table"}
    return ", ".join(known.get(name, f"--{name.replace('_', '-')}") for name in names)


def refuse_contradictions(wanted: Wanted) -> None:
    """Refuse what excludes each other, and what says nothing without another option."""
    wrong = contradiction(wanted)
    if wrong is None:
        return
    options, needed = [f"--{key}" for key in wrong.keys], [f"--{key}" for key in wrong.needed]
    if needed and wrong.keys[0] in {"confirm", "no-safety-backup", *wanted.of_rows}:
        needed.append("--document")
    if needed:
        raise UsageError(
            f"{options[0]} goes with {' or '.join(needed)}, and says nothing without",
            hint=f"leave out {options[0]}, or give {' or '.join(needed)} too",
        )
    raise UsageError(f"{' and '.join(options)} exclude each other")
