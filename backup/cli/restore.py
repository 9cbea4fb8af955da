"""`pgproof restore`: bring a backup back into PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from backup.bootstrap import make_restorer, now
from backup.cli.announcing import Announcement, announced
from backup.cli.backup import run_backup, told
from backup.cli.options import Invocation, command
from backup.cli.output import Fields, View
from backup.cli.progress import progress
from backup.cli.request import Wanted, read_request
from backup.cli.restore_options import refuse_contradictions, refuse_two_sources, restore_options
from backup.cli.targets import find_backup
from backup.domain.comparison import Comparison
from backup.domain.manifest import Manifest
from backup.domain.sizes import show_seconds
from backup.errors import ConfigurationError, ProofMismatch, UsageError
from backup.logs import hide, log
from backup.ports import RestoreChoice, RestorePlan, RestoreReport
from backup.settings.model import passwords
from backup.workflow.restore import plan_restore, prove
from backup.workflow.restore import restore as restore_backup

_NAME_BYTES = 63
_MOST_SHOWN = 20


@command("restore")
@click.argument("backup", metavar="BACKUP", required=False)
@restore_options
def restore(
    invocation: Invocation,
    /,
    *,
    request: Path | None,
    target_url: str | None,
    target_url_file: Path | None,
    **said: Any,  # noqa: ANN401 -- as click gives them; Wanted has their types
) -> None:
    """Restore a backup, by default into a new database: nothing that is there is touched.

    BACKUP is an id, `latest`, or a time: the newest backup at or before it. The dump is streamed from the store and
    checked on its way. Whatever goes wrong, no half database is left.
    """
    refuse_two_sources(said, request)
    if target_url_file:
        target_url = read_address(target_url_file, target_url, "--target-url")
    hide(passwords(target_url or ""))
    with announced(invocation, "restore") as announcement:
        wanted = read_request(request, now=now()) if request else Wanted(**said)
        announcement.quiet = wanted.dry_run
        refuse_contradictions(wanted)
        result, view = _restore(invocation, wanted, target_url, announcement)
    invocation.emit(result, view)


def _restore(
    invocation: Invocation, wanted: Wanted, target_url: str | None, announcement: Announcement
) -> tuple[object, View]:
    """Do it, or say what would be done; what is printed of it, for programs and for people."""
    found, store = find_backup(invocation, wanted.backup)
    announcement.target = found.target
    choice = RestoreChoice(
        into=wanted.into or database_beside(found, "restored"),
        tables=wanted.tables,
        in_place=wanted.in_place,
        owner=not wanted.no_owner,
        privileges=not wanted.no_privileges,
        jobs=invocation.settings.restore.jobs,
    )
    restorer = make_restorer(invocation.settings, address=target_url)
    if wanted.dry_run or wanted.in_place:
        plan = plan_restore(found, store, restorer, choice)
        if wanted.dry_run:
            told_steps = "\n".join([*plan.steps, *(f"note: {note}" for note in plan.notes)])
            return plan, [_planned(found, plan), told_steps]
        _confirmed(plan.database, wanted.confirm)
        if not wanted.no_safety_backup:
            _make_safe(invocation, found, target_url)
    with progress("restore", total=found.stored_bytes, counts="stored") as tell:
        report = restore_backup(found, store, restorer, choice, progress=tell)
    settings = invocation.settings
    proof = None
    if settings.restore.proof:
        proof = prove(found, store, restorer, report, within=settings.proof.timeout)
    told_proof = proof.text if proof else "the backup has no proof" if settings.restore.proof else "not compared"
    announcement.text = f"{told_restore(found, report).partition(chr(10))[0]}; {told_proof}"
    announcement.facts["restore"] = {"backup": found.id, "proven": proof.proves if proof else None, **_jsonable(report)}
    if proof and not proof.proves:
        raise _differing(report, proof)
    return announcement.facts["restore"], f"{told_restore(found, report)}\n{told_proof}"


def read_address(file: Path, given: str | None, option: str) -> str:
    """The address in a file that stands for an option.

    Raises:
        UsageError: the option itself is `given` too.
        ConfigurationError: it cannot be read.
    """
    if given is not None:
        raise UsageError(f"{option} and {option}-file exclude each other")
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(f"{option}-file: {file} cannot be read", detail=str(error)) from error


def database_beside(backup: Manifest, what: str) -> str:
    """A name for a database that a backup is restored into: `<database>_<what>_<id>`, cut to what PostgreSQL takes."""
    tail = f"_{what}_{backup.id}".lower()
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


def _differing(report: RestoreReport, proof: Comparison) -> ProofMismatch:
    lines = [each.text for each in proof.differences if not each.noted]
    more = len(lines) - _MOST_SHOWN
    return ProofMismatch(
        f"{report.database} is restored, but it is not what the backup's snapshot held: {proof.text}",
        detail="\n".join([*lines[:_MOST_SHOWN], *([f"and {more} more"] if more > 0 else [])]),
        hint="look at these before you use it, or restore another backup",
    )


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
