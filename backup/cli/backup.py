"""`pgproof backup`: back up the database now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import click

from backup.bootstrap import make_encoding, make_engine, make_fallback, make_source, make_tolerance, now
from backup.cli.announcing import announced
from backup.cli.options import Invocation, command, option, setting_option
from backup.cli.output import jsonable
from backup.cli.places import Place, places
from backup.cli.progress import progress
from backup.cli.prune import prune_all
from backup.cli.targets import target_to_back_up
from backup.domain.manifest import Manifest, Purpose, Status
from backup.domain.sizes import show_seconds, show_size
from backup.errors import AfterwardsFailed, BackupDegraded, BackupSuspect, PgproofError
from backup.logs import redact
from backup.workflow.back_up import BackUpChoice, Fallback, back_up
from backup.workflow.copies import Copies
from backup.workflow.listing import summary

_UNTIL_THEN = (
    "functions, views, triggers, policies and grants are not in it; until there is a dump again nothing is pruned"
)
_NO_LABELS: Mapping[str, str] = MappingProxyType({})


@command("backup")
@setting_option("dump.engine", "--engine")
@option(
    "--no-fallback",
    "no_fallback",
    is_flag=True,
    envvar="PGPROOF_NO_FALLBACK",
    help="Fail where pg_dump cannot run, instead of saving the rows without it.",
)
@setting_option("dump.compression", "--compression")
@setting_option("dump.zstd_level", "--zstd-level")
@setting_option("dump.zstd_threads", "--zstd-threads")
@setting_option("dump.jobs", "--jobs")
@setting_option("dump.rate", "--rate")
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
def backup(invocation: Invocation, *, no_fallback: bool, no_prune: bool, wait: int) -> None:
    """Back up the database now, into every store at once, and prune.

    Exit status 0 means that all of it is in the stores, or in as many of them as are required, and that they were asked
    again whether they have it.
    """
    try:
        with announced(invocation, "backup") as announcement:
            made = run_backup(invocation, wait=wait, fallback=not no_fallback)
            announcement.target = made.manifest.target
            announcement.text = told_stored(made)
            announcement.facts |= {"backup": summary(made.manifest), **made.places}
            _see_to_the_rest(invocation, made, prune=not no_prune)
    except (AfterwardsFailed, BackupDegraded, BackupSuspect) as error:
        error.result = {**jsonable(made.manifest), **made.places}
        if not invocation.json:
            invocation.emit(made.manifest, told(made.manifest))
        raise
    invocation.emit({**jsonable(made.manifest), **made.places}, told(made.manifest))


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A backup that was made, the stores that hold it, and those that failed, each with the error.

    `instead_of`: why there is no dump in it, where it is degraded.
    """

    manifest: Manifest
    held_by: tuple[Place, ...]
    lost: Mapping[str, PgproofError]
    instead_of: PgproofError | None = None

    @property
    def places(self) -> dict[str, object]:
        """Where it is and where not, for programs."""
        return {
            "stores": [place.store.url for place in self.held_by],
            "lost": [{"store": url, "reason": redact(error.message)} for url, error in self.lost.items()],
        }


def run_backup(
    invocation: Invocation,
    *,
    purpose: Purpose = "backup",
    labels: Mapping[str, str] = _NO_LABELS,
    wait: float = 0,
    fallback: bool = False,
) -> Made:
    """Make a backup as the settings say, with more labels; a safety backup leaves nothing out.

    `fallback`: where pg_dump cannot run, the rows are saved without it.
    """
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
        rate=settings.dump.rate,
        labels={**settings.dump.labels, **labels},
    )
    reasons: list[PgproofError] = []
    second = make_fallback(settings) if fallback else None
    with progress("backup") as tell:
        made = back_up(
            source,
            make_engine(settings),
            copies,
            choice,
            clock=now,
            fallback=Fallback(engine=second, tell=reasons.append) if second else None,
            progress=tell,
        )
    left = [copy.store for copy in copies.left]
    return Made(
        manifest=made,
        held_by=tuple(place for place in chosen if place.store in left),
        lost={copy.store.url: copy.error for copy in copies.lost if copy.error},
        instead_of=reasons[0] if reasons else None,
    )


def _see_to_the_rest(invocation: Invocation, made: Made, *, prune: bool) -> None:
    """Prune, unless the backup is suspect or degraded, and say what is not as it should be.

    Raises:
        BackupSuspect, BackupDegraded: nothing was pruned.
        AfterwardsFailed: too few stores hold it, or one of them could not be pruned.
    """
    manifest = made.manifest
    if manifest.status is Status.SUSPECT:
        raise BackupSuspect(
            f"{manifest.id} is stored, but suspect: {manifest.warnings[-1].partition(': ')[2]}",
            hint=f"look at it: pgproof show {manifest.id} --against latest; if it is right as it is: pgproof accept"
            f" {manifest.id}. Until then nothing is deleted",
        )
    if made.instead_of:
        reason = made.instead_of
        raise BackupDegraded(
            f"{manifest.id} is stored, but degraded, only the rows and no dump: {reason.message}",
            detail=reason.detail,
            hint=f"{reason.hint}\n{_UNTIL_THEN}" if reason.hint else _UNTIL_THEN,
        )
    failures = prune_all(made.held_by, manifest.target)[1] if prune else []
    require_enough(invocation, made)
    if failures:
        raise AfterwardsFailed(
            f"{manifest.id} is safe in {_where(made)}, but old backups were not deleted: {failures[0].message}",
            detail="\n".join(error.message for error in failures[1:]) or failures[0].detail,
            hint=failures[0].hint,
        )


def require_enough(invocation: Invocation, made: Made) -> None:
    """See whether as many stores hold a backup as are required, or as were chosen.

    Raises:
        AfterwardsFailed: they do not; those that do and those that do not are named.
    """
    count = len(made.held_by) + len(made.lost)
    if len(made.held_by) >= min(invocation.settings.stores_required or count, count):
        return
    reasons = [f"{url} does not have it: {error.message}" for url, error in made.lost.items()]
    raise AfterwardsFailed(
        f"{made.manifest.id} is safe in {_where(made)}, but {reasons[0]}",
        detail="\n".join(reasons[1:]) or None,
        hint=f"once that store is well: pgproof copy {made.manifest.id} --to {next(iter(made.lost))}",
    )


def _where(made: Made) -> str:
    return ", ".join(place.store.url for place in made.held_by)


def told_stored(made: Made) -> str:
    """In one line where it is, and where not."""
    backup = made.manifest
    missing = "".join(f"; {url} does not have it: {error.message}" for url, error in made.lost.items())
    return (
        f"{backup.id} is in {_where(made)}: {show_size(backup.stored_bytes)} stored"
        f" ({show_size(backup.raw_bytes)} dumped) in {show_seconds(backup.duration)}{missing}"
    )


def told(backup: Manifest) -> str:
    """A backup in one line."""
    return (
        f"{backup.id}  {backup.target}  {backup.status}{', encrypted' * bool(backup.recipients)}"
        f"  {show_size(backup.stored_bytes)} stored"
        f" ({show_size(backup.raw_bytes)} dumped)  {show_seconds(backup.duration)}"
    )
