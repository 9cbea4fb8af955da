"""`pgproof restore`: bring a backup back into PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import click

from backup.bootstrap import make_restorer
from backup.cli.backup import run_backup, told
from backup.cli.options import Invocation, command, option, setting_option
from backup.cli.output import Fields
from backup.cli.progress import progress
from backup.cli.targets import find_backup
from backup.domain.manifest import Manifest
from backup.domain.sizes import show_seconds
from backup.errors import ConfigurationError, UsageError
from backup.logs import hide, log
from backup.ports import RestoreChoice, RestorePlan, RestoreReport
from backup.settings.model import passwords
from backup.workflow.restore import plan_restore
from backup.workflow.restore import restore as restore_backup

_NAME_BYTES = 63


class _TableName(click.types.StringParamType):
    """Names of tables, in the environment separated by commas as in every list of ours."""

    envvar_list_splitter = ","


@command("restore")
@click.argument("backup", metavar="BACKUP")
@option(
    "--into",
    metavar="NAME",
    envvar="PGPROOF_RESTORE_INTO",
    help="Name of the new database.  [default: <database>_restored_<id>]",
)
@option(
    "--table",
    "tables",
    metavar="TABLE",
    type=_TableName(),
    multiple=True,
    envvar="PGPROOF_RESTORE_TABLES",
    help="Only the rows of this table; repeatable. All tables are made, the others stay empty.",
)
@option(
    "--target-url",
    metavar="ADDRESS",
    envvar="PGPROOF_RESTORE_TARGET_URL",
    help="Another server to restore into. With a password, use the variable or the file: all may read a command line.",
)
@option(
    "--target-url-file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    envvar="PGPROOF_RESTORE_TARGET_URL_FILE",
    help="File with that address.",
)
@option(
    "--in-place",
    is_flag=True,
    envvar="PGPROOF_RESTORE_IN_PLACE",
    help="Replace what is in the database, in one transaction. Needs --confirm.",
)
@option(
    "--confirm", metavar="DATABASE", envvar="PGPROOF_RESTORE_CONFIRM", help="Name of the database that is overwritten."
)
@option(
    "--no-safety-backup",
    is_flag=True,
    envvar="PGPROOF_RESTORE_NO_SAFETY_BACKUP",
    help="Do not back up what --in-place overwrites.",
)
@option(
    "--no-owner", is_flag=True, envvar="PGPROOF_RESTORE_NO_OWNER", help="Everything belongs to the role that restores."
)
@option("--no-privileges", is_flag=True, envvar="PGPROOF_RESTORE_NO_PRIVILEGES", help="Leave out grants.")
@option(
    "--dry-run",
    is_flag=True,
    envvar="PGPROOF_RESTORE_DRY_RUN",
    help="Check everything, say what would be done, change nothing.",
)
@setting_option("restore.jobs", "-j", "--jobs")
@setting_option("restore.synchronous_commit", "--synchronous-commit")
@setting_option("restore.maintenance_work_mem", "--maintenance-work-mem")
def restore(
    invocation: Invocation,
    *,
    backup: str,
    into: str | None,
    tables: tuple[str, ...],
    target_url: str | None,
    target_url_file: Path | None,
    in_place: bool,
    confirm: str | None,
    no_safety_backup: bool,
    no_owner: bool,
    no_privileges: bool,
    dry_run: bool,
) -> None:
    """Restore a backup, by default into a new database: nothing that is there is touched.

    BACKUP is an id, `latest`, or a time: the newest backup at or before it. The dump is streamed from the store and
    checked on its way. Whatever goes wrong, no half database is left.
    """
    if in_place and into:
        raise UsageError("--into and --in-place exclude each other")
    if not in_place and (stray := "--confirm" if confirm else "--no-safety-backup" if no_safety_backup else None):
        raise UsageError(
            f"{stray} goes with --in-place, and without it nothing is overwritten",
            hint=f"leave out {stray}, or give --in-place too",
        )
    if target_url_file:
        target_url = _read_address(target_url_file, target_url)
    hide(passwords(target_url or ""))
    found, store = find_backup(invocation, backup)
    choice = RestoreChoice(
        into=into or _default_name(found),
        tables=tables,
        in_place=in_place,
        owner=not no_owner,
        privileges=not no_privileges,
        jobs=invocation.settings.restore.jobs,
    )
    restorer = make_restorer(invocation.settings, address=target_url)
    if dry_run or in_place:
        plan = plan_restore(found, store, restorer, choice)
        if dry_run:
            told_steps = "\n".join([*plan.steps, *(f"note: {note}" for note in plan.notes)])
            invocation.emit(plan, [_planned(found, plan), told_steps])
            return
        _confirmed(plan.database, confirm)
        if not no_safety_backup:
            _make_safe(invocation, found, target_url)
    with progress("restore", total=found.stored_bytes, counts="stored") as tell:
        report = restore_backup(found, store, restorer, choice, progress=tell)
    invocation.emit({"backup": found.id, **_jsonable(report)}, told_restore(found, report))


def _read_address(file: Path, given: str | None) -> str:
    if given is not None:
        raise UsageError("--target-url and --target-url-file exclude each other")
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(f"--target-url-file: {file} cannot be read", detail=str(error)) from error


def _default_name(backup: Manifest) -> str:
    """`<database>_restored_<id>`, cut to what PostgreSQL takes."""
    tail = f"_restored_{backup.id}".lower()
    return backup.database.name.encode()[: _NAME_BYTES - len(tail)].decode(errors="ignore") + tail


def _confirmed(database: str, confirm: str | None) -> None:
    if confirm != database:
        said = f"--confirm says {confirm}" if confirm else "there is no --confirm"
        raise UsageError(
            f"this overwrites the database {database}, but {said}",
            hint=f"--confirm {database}, if that is what you want",
        )


def _make_safe(invocation: Invocation, backup: Manifest, target_url: str | None) -> None:
    """Back up what is about to be overwritten."""
    if target_url is not None:
        raise UsageError(
            "no safety backup can be made of a database that the settings do not name",
            hint="make it the configured database, or give --no-safety-backup",
        )
    made = run_backup(invocation, purpose="safety", labels={"before-restoring": backup.id})
    log.info("safety backup made", id=made.id, told=told(made))


def _planned(backup: Manifest, plan: RestorePlan) -> Fields:
    return Fields(
        values={
            "backup": backup.id,
            "taken": backup.snapshot.time,
            "database": plan.database,
            "server": f"PostgreSQL {plan.server}",
            "nothing done": "this is what a restore would do:",
        }
    )


def told_restore(backup: Manifest, report: RestoreReport) -> str:
    """What a restore did."""
    total = sum(report.seconds.values())
    phases = ", ".join(f"{name} {show_seconds(seconds)}" for name, seconds in report.seconds.items())
    lines = [f"{backup.id} restored into {report.database} in {show_seconds(total)} ({phases})"]
    return "\n".join([*lines, *(f"note: {note}" for note in report.notes)])


def _jsonable(report: RestoreReport) -> dict[str, object]:
    return {"database": report.database, "notes": report.notes, "seconds": report.seconds}
