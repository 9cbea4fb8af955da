"""`pgproof backup`: back up the database now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import click

from backup.bootstrap import make_encoding, make_engine, make_source, make_tolerance, now
from backup.cli.announcing import announced
from backup.cli.options import Invocation, command, option, setting_option
from backup.cli.places import Place, places
from backup.cli.progress import progress
from backup.cli.prune import prune_all
from backup.cli.targets import target_to_back_up
from backup.domain.manifest import Manifest, Purpose, Status
from backup.domain.sizes import show_seconds, show_size
from backup.errors import AfterwardsFailed, BackupSuspect, PgproofError
from backup.workflow.back_up import BackUpChoice, back_up, summary
from backup.workflow.copies import Copies

_NO_LABELS: Mapping[str, str] = MappingProxyType({})


@command("backup")
@setting_option("dump.engine", "--engine")
@option(
    "--no-fallback",
    "no_fallback",
    is_flag=True,
    envvar="PGPROOF_NO_FALLBACK",
    help="Fail where pg_dump cannot run; so far there is no fallback, and it always does.",
)
@setting_option("dump.compression", "--compression")
@setting_option("dump.zstd_level", "--zstd-level")
@setting_option("dump.zstd_threads", "--zstd-threads")
@setting_option("dump.globals", "--globals")
@setting_option("dump.lock_wait_timeout", "--lock-wait-timeout")
@setting_option("dump.exclude_schemas", "--exclude-schema")
@setting_option("dump.exclude_tables", "--exclude-table")
@setting_option("dump.exclude_table_data", "--exclude-table-data")
@setting_option("proof.mode", "--proof")
@setting_option("proof.timeout", "--proof-timeout")
@setting_option("dump.labels", "--label")
@setting_option("retention", "--retention", text="What is kept afterwards, as name=value.")
@option(
    "--wait",
    type=click.IntRange(0, 86_400),
    default=0,
    metavar="SECONDS",
    envvar="PGPROOF_WAIT",
    help="How long to wait for another run of the target to end, before exit status 10.",
)
@option("--no-prune", "no_prune", is_flag=True, envvar="PGPROOF_NO_PRUNE", help="Delete nothing afterwards.")
def backup(invocation: Invocation, *, no_fallback: bool, no_prune: bool, wait: int) -> None:  # noqa: ARG001 -- as announced
    """Back up the database now, into every store at once, and prune.

    Exit status 0 means that all of it is in the stores, and that they were asked again whether they have it.
    """
    with announced(invocation, "backup") as announcement:
        made = run_backup(invocation, wait=wait)
        told_stores = ", ".join(place.store.url for place in made.held_by)
        announcement.target = made.manifest.target
        announcement.text = (
            f"{made.manifest.id} is in {told_stores}: {show_size(made.manifest.stored_bytes)} stored"
            f" ({show_size(made.manifest.raw_bytes)} dumped) in {show_seconds(made.manifest.duration)}"
        )
        announcement.facts["backup"] = summary(made.manifest)
        announcement.facts["stores"] = [place.store.url for place in made.held_by]
        try:
            _see_to_the_rest(invocation, made, prune=not no_prune)
        except PgproofError:
            if not invocation.json:
                invocation.emit(made.manifest, told(made.manifest))
            raise
    invocation.emit(made.manifest, told(made.manifest))


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A backup that was made, the stores that hold it, and those that failed, each with the error."""

    manifest: Manifest
    held_by: tuple[Place, ...]
    lost: Mapping[str, PgproofError]


def run_backup(
    invocation: Invocation, *, purpose: Purpose = "backup", labels: Mapping[str, str] = _NO_LABELS, wait: float = 0
) -> Made:
    """Make a backup as the settings say, with more labels; a safety backup leaves nothing out."""
    settings = invocation.settings if purpose == "backup" else invocation.settings.without_filters()
    chosen = places(invocation)
    copies = Copies(*(place.store for place in chosen))
    source = make_source(settings)
    choice = BackUpChoice(
        target=target_to_back_up(invocation),
        encoding=make_encoding(settings, *(place.settings for place in chosen)),
        purpose=purpose,
        wait=wait,
        tolerance=make_tolerance(settings),
        labels={**settings.dump.labels, **labels},
    )
    with progress("backup") as tell:
        made = back_up(source, make_engine(settings), copies, choice, clock=now, progress=tell)
    left = [copy.store for copy in copies.left]
    return Made(
        manifest=made,
        held_by=tuple(place for place in chosen if place.store in left),
        lost={copy.store.url: copy.error for copy in copies.lost if copy.error},
    )


def _see_to_the_rest(invocation: Invocation, made: Made, *, prune: bool) -> None:
    """Prune, unless the backup is suspect, and say what is not as it should be.

    Raises:
        BackupSuspect: nothing was pruned.
        AfterwardsFailed: too few stores hold it, or one of them could not be pruned.
    """
    manifest = made.manifest
    if manifest.status is Status.SUSPECT:
        raise BackupSuspect(
            f"{manifest.id} is stored, but suspect: {manifest.warnings[-1].partition(': ')[2]}",
            hint=f"look at it: pgproof show {manifest.id} --against latest; if it is right as it is: pgproof accept"
            f" {manifest.id}. Until then nothing is deleted",
        )
    wrong = [f"{url} does not have it: {error.message}" for url, error in made.lost.items()]
    required = invocation.settings.stores_required or len(invocation.stores)
    enough = len(made.held_by) >= required
    if prune:
        failures = prune_all(made.held_by, manifest.target)[1]
        wrong += [f"not pruned: {error.message}" for error in failures]
        enough = enough and not failures
    if not enough:
        safe = ", ".join(place.store.url for place in made.held_by)
        raise AfterwardsFailed(
            f"{manifest.id} is safe in {safe}, but not all is well", detail="\n".join(wrong), hint=_hint(made)
        )


def _hint(made: Made) -> str | None:
    """What to do for the stores that do not have it."""
    if not made.lost:
        return None
    lost = next(iter(made.lost))
    return f"once that store is well: pgproof copy {made.manifest.id} --to {lost}"


def told(backup: Manifest) -> str:
    """A backup in one line."""
    return (
        f"{backup.id}  {backup.target}  {backup.status}  {show_size(backup.stored_bytes)} stored"
        f" ({show_size(backup.raw_bytes)} dumped)  {show_seconds(backup.duration)}"
    )
