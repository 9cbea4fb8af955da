"""`pgproof drill`: prove a backup by restoring it into a throwaway server."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import click

from backup.bootstrap import make_keys, make_scratch, now
from backup.cli.announcing import announced
from backup.cli.drills import drill_view, figures, took
from backup.cli.options import Invocation, command, option, setting_option
from backup.cli.places import places
from backup.cli.progress import progress
from backup.cli.restore import database_beside, read_address
from backup.cli.targets import find_backup
from backup.errors import ConfigurationError, ProofMismatch
from backup.logs import hide
from backup.settings.branches import DrillSettings
from backup.settings.model import passwords
from backup.workflow.copy import share_drill
from backup.workflow.drill import DrillChoice, mismatch
from backup.workflow.drill import drill as drill_backup


class _Queries(click.types.StringParamType):
    """Queries, in the environment one a line."""

    envvar_list_splitter = "\n"


@command("drill")
@click.argument("backup", metavar="BACKUP")
@option(
    "--on",
    metavar="ADDRESS",
    envvar="PGPROOF_DRILL_ON",
    help="A server to restore into instead, as a database that is dropped again. With a password, use the variable or "
    "the file: all may read a command line.",
)
@option(
    "--on-file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    envvar="PGPROOF_DRILL_ON_FILE",
    help="File with that address.",
)
@setting_option("drill.sample", "--sample", text="Percent of the tables whose rows are restored, chosen by chance.")
@option(
    "--check",
    "checks",
    metavar="SQL",
    type=_Queries(),
    multiple=True,
    envvar="PGPROOF_DRILL_CHECK",
    help="A query of your own that must give nothing but true; repeatable.",
)
@setting_option("drill.check_files", "--check-file")
@setting_option("drill.check_timeout", "--check-timeout")
@setting_option("drill.folder", "--folder")
@setting_option("restore.jobs", "-j", "--jobs")
def drill(
    invocation: Invocation, *, backup: str, on: str | None, on_file: Path | None, checks: tuple[str, ...]
) -> None:
    """Prove a backup: restore it into a throwaway server, and compare all of it with what its snapshot held.

    BACKUP is an id, `latest`, `latest-proven`, or a time. The server is made of PostgreSQL's programs on this machine,
    in a temporary folder, and gone afterwards. The result is kept beside the backup. Exit status 0 means proven, 7 that
    something differs or a check of yours failed, 8 that it did not restore.
    """
    address = read_address(on_file, on, "--on") if on_file else on
    hide(passwords(address or ""))
    result = None
    try:
        with announced(invocation, "drill") as announcement:
            found, store = find_backup(invocation, backup)
            announcement.target = found.target
            settings = invocation.settings
            choice = DrillChoice(
                database=database_beside(found, f"drill_{secrets.token_hex(3)}"),  # others may drill it there too
                sample=settings.drill.sample / 100,
                checks={**dict(_checks(settings.drill)), **{sql: sql for sql in checks}},
                check_seconds=settings.drill.check_timeout,
                proof_seconds=settings.proof.timeout,
                jobs=settings.restore.jobs,
                keys=make_keys(settings),
            )
            with progress("drill", total=found.stored_bytes, counts="stored") as tell:
                result = drill_backup(
                    found, store, make_scratch(settings, on=address), choice, clock=now, progress=tell
                )
            others = [each.store for each in places(invocation) if each.store.url != store.url]
            share_drill(result, found, store, others)
            announcement.text = f"{result.backup} {result.text}{took(result)}"
            announcement.facts["drill"] = figures(result)
            invocation.emit(result, drill_view(result))
            if not result.proven:
                raise mismatch(result)
    except ProofMismatch as error:
        if invocation.json and result:  # which has said all
            click.get_current_context().exit(error.status)
        raise


def _checks(settings: DrillSettings) -> Iterator[tuple[str, str]]:
    """The user's checks of the settings, and those in files: by the file's name, or its path where that is taken."""
    names = set(settings.checks)
    yield from settings.checks.items()
    for path in settings.check_files:
        name = path if Path(path).name in names else Path(path).name
        names.add(name)
        try:
            yield name, Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeError) as error:
            raise ConfigurationError(f"the check {path} cannot be read", detail=str(error)) from error
