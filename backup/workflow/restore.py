"""Restore a backup: its dump, checked on the way, into PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from backup.domain.comparison import Comparison, Scope, compare
from backup.domain.manifest import Manifest, Status
from backup.domain.proof import OF_TABLES
from backup.logs import log
from backup.ports import RestoreChoice, RestorePlan, Restorer, RestoreReport, Store
from backup.stream.readers import ByteReader, Counted
from backup.stream.volumes import Progress, no_progress
from backup.workflow.catalog import Catalog, decode_part, dump_of


def plan_restore(backup: Manifest, store: Store, restorer: Restorer, choice: RestoreChoice) -> RestorePlan:
    """Given a backup and a choice, say what a restore would do. Raises what the restore would raise at its start."""
    plan = restorer.plan(backup, Dump(backup, store).open, choice)
    return replace(plan, notes=(*_cautions(backup), *plan.notes))


def restore(
    backup: Manifest, store: Store, restorer: Restorer, choice: RestoreChoice, *, progress: Progress = no_progress
) -> RestoreReport:
    """Given a backup and a choice, restore it.

    Raises:
        PgproofError: of the class that says why; then no half database is left.
    """
    cautions = _cautions(backup)
    for caution in cautions if choice.in_place else ():  # too late in the report: something is overwritten
        log.warning(caution, id=backup.id)
    log.info("restore started", id=backup.id, target=backup.target, store=store.url)
    report = restorer.restore(backup, Dump(backup, store, progress).open, choice)
    return replace(report, notes=(*cautions, *report.notes))


def prove(
    backup: Manifest, store: Store, restorer: Restorer, report: RestoreReport, *, within: float
) -> Comparison | None:
    """Given a restore that was done, hold the database against the backup's proof; None where there is none."""
    expected = Catalog(store).proof_of(backup)
    if expected is None:
        return None
    log.info("comparing with the proof", database=report.database)
    found = restorer.look(report.database, expected.mode, within=within)
    return compare(expected, found, scope_of(backup, report))


def scope_of(backup: Manifest, report: RestoreReport) -> Scope:
    """What of the proof a restore has to bear out."""
    return Scope(
        without=report.left_out,
        only=None if report.whole_schema else frozenset(OF_TABLES),
        tables=report.tables,
        partial=backup.filtered or report.tables is not None,
    )


def _cautions(backup: Manifest) -> tuple[str, ...]:
    """What is to be known of a backup before it replaces anything."""
    cautions = []
    if backup.status is not Status.COMPLETE:
        cautions.append(f"this backup is {backup.status.value}, not complete")
    if backup.filtered:
        cautions.append("a setting left parts of the database out of this backup: tables may be missing or empty")
    return tuple(cautions)


class Dump:
    """The dump of a backup, to be opened as often as the restorer needs it."""

    def __init__(self, backup: Manifest, store: Store, progress: Progress = no_progress) -> None:
        self._backup = backup
        self._part = dump_of(backup)
        self._store = store
        self._progress = progress

    @contextmanager
    def open(self) -> Iterator[ByteReader]:
        """The dump from its start; each reading counts as progress anew."""
        with Catalog(self._store).open_part(self._backup, self._part) as stored:
            yield decode_part(self._part, Counted(stored, lambda size: self._progress(0, size)))
