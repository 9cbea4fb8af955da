"""`pgproof restore`: bring a backup back into PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from backup.bootstrap import make_keys, make_restorer, now
from backup.cli.announcing import Announcement, announced
from backup.cli.options import Invocation, command
from backup.cli.output import Fields, View, jsonable
from backup.cli.overwriting import make_safe, refuse_unconfirmed
from backup.cli.progress import progress
from backup.cli.request import Wanted, read_request
from backup.cli.restore_document import restore_document, table_of
from backup.cli.restore_options import refuse_contradictions, refuse_two_sources, restore_options
from backup.cli.targets import find_backup
from backup.domain.ids import BackupId
from backup.domain.manifest import Manifest
from backup.domain.sizes import show_seconds
from backup.errors import ConfigurationError, UsageError
from backup.logs import hide
from backup.ports import RestoreChoice, RestorePlan, Restorer, RestoreReport, Store, Swapped
from backup.settings.model import passwords
from backup.workflow.lease import shielded
from backup.workflow.restore import differing, plan_restore, prove, refuse_unproven, staying, swap
from backup.workflow.restore import restore as restore_backup

_NAME_BYTES = 63


@command("restore")
@click.argument("backup", metavar="BACKUP", required=False)
@restore_options
def restore(
    invocation: Invocation,
    /,
    *,
    request: Path | None,
    document: Path | None,
    target_url: str | None,
    target_url_file: Path | None,
    **said: Any,  # noqa: ANN401 -- as click gives them; Wanted has their types
) -> None:
    """Restore a backup, by default into a new database: nothing that is there is touched.

    BACKUP is an id, `latest`, or a time: the newest backup at or before it. The dump is streamed from the store and
    checked on its way. Whatever goes wrong, no half database is left. With --document the rows of an export come back
    into the tables that are there.
    """
    refuse_two_sources(said, request, document)
    if target_url_file:
        target_url = read_address(target_url_file, target_url, "--target-url")
    hide(passwords(target_url or ""))
    with announced(invocation, "restore") as announcement:
        wanted = read_request(request, now=now()) if request else Wanted(**said)
        announcement.quiet = wanted.dry_run
        if document:
            result, view = restore_document(invocation, document, wanted, target_url, announcement)
        else:
            refuse_contradictions(wanted)
            result, view = _restore(invocation, wanted, target_url, announcement)
    invocation.emit(result, view)


def _restore(
    invocation: Invocation, wanted: Wanted, target_url: str | None, announcement: Announcement
) -> tuple[object, View]:
    """Do it, or say what would be done; what is printed of it, for programs and for people."""
    found, store = find_backup(invocation, wanted.backup)
    announcement.target = found.target
    _refuse_of_rows(found, wanted)
    moment = BackupId.at(now())
    settings = invocation.settings
    choice = RestoreChoice(
        into=_beside(found.database.name, "replacing", moment)
        if wanted.replace
        else wanted.into or database_beside(found, "restored"),
        tables=wanted.tables,
        in_place=wanted.in_place,
        replace=wanted.replace,
        disconnect=wanted.disconnect,
        owner=not wanted.no_owner,
        privileges=not wanted.no_privileges,
        jobs=settings.restore.jobs,
        look=found.proof.mode if settings.restore.proof and found.proof else None,
        upsert=wanted.upsert,
        disable_triggers=wanted.disable_triggers,
    )
    if wanted.replace and settings.restore.proof:
        refuse_unproven(found)
    restorer, keys = make_restorer(settings, address=target_url), make_keys(settings)
    if wanted.dry_run:
        plan = plan_restore(found, store, restorer, choice, keys=keys)
        told_steps = "\n".join([*plan.steps, *(f"note: {note}" for note in plan.notes)])
        return plan, [_planned(found, plan), told_steps]
    replaced = ""
    with shielded(found, store, clock=now):
        if wanted.in_place or wanted.replace:
            plan = plan_restore(found, store, restorer, choice, keys=keys)
            refuse_unconfirmed(plan.database, wanted.confirm, what="put the backup in the place of")
            replaced = _beside(plan.database, "replaced", moment)
            if not wanted.no_safety_backup:
                make_safe(invocation, str(found.id), target_url)
        return _carry_out(invocation, (found, store), restorer, choice, replaced, announcement)


def _carry_out(  # noqa: PLR0917 -- what the one caller has
    invocation: Invocation,
    source: tuple[Manifest, Store],
    restorer: Restorer,
    choice: RestoreChoice,
    replaced: str,
    announcement: Announcement,
) -> tuple[object, View]:
    """Restore, compare with the proof, and where it is wanted swap; what is printed of it."""
    found, store = source
    settings = invocation.settings
    keys = make_keys(settings)
    with progress("restore", total=found.stored_bytes, counts="stored") as tell:
        report = restore_backup(found, store, restorer, choice, keys=keys, progress=tell)
    swapped = None
    with staying(report, choice):
        comparable = settings.restore.proof and not report.returned
        within = settings.proof.timeout
        proof = prove(found, store, restorer, report, within=within, keys=keys) if comparable else None
        told_proof = proof.text if proof else "the backup has no proof" if comparable else "not compared"
        facts = {"backup": found.id, "proven": proof.proves if proof else None, **_jsonable(report)}
        announcement.facts["restore"] = facts
        if choice.replace:
            swapped = swap(restorer, report, proof, replaced=replaced, disconnect=choice.disconnect)
            facts |= jsonable(swapped)
        elif proof and proof.differs:
            raise differing(report, proof)
    lines = [told_restore(found, report), told_proof, *(_told_swap(swapped) if swapped else ())]
    short = f"{lines[0].partition(chr(10))[0]}; {told_proof}"
    announcement.text = f"{short}; it is {swapped.database} now" if swapped else short
    return facts, ["\n".join(lines), *([table_of(report.returned)] if report.returned else [])]


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
    return _beside(backup.database.name, what, backup.id)


def _beside(name: str, what: str, mark: object) -> str:
    tail = f"_{what}_{mark}".lower()
    return name.encode()[: _NAME_BYTES - len(tail)].decode(errors="ignore") + tail


def _refuse_of_rows(backup: Manifest, wanted: Wanted) -> None:
    """Refuse what says how rows come back, where what comes back is a dump of pg_dump."""
    if backup.tool.engine == "pgdump" and wanted.of_rows:
        raise UsageError(
            f"{', '.join(wanted.of_rows)} says nothing of {backup.id}: it is a dump of pg_dump, which replaces what is"
            " there",
            hint="leave it out; it is for backups of rows, and for a --document",
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


def _told_swap(swapped: Swapped) -> Iterator[str]:
    yield f"it is {swapped.database} now; what had that name is kept as {swapped.replaced}"
    yield f"to swap back: {swapped.swap_back}"
    yield f"when you are sure: {swapped.drop}"


def _jsonable(report: RestoreReport) -> dict[str, object]:
    facts: dict[str, object] = {"database": report.database, "notes": report.notes, "seconds": report.seconds}
    facts |= {"waits": report.waits} if report.waits else {}
    return {**facts, "tables": report.returned} if report.returned else facts
