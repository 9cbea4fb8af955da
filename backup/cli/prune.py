"""`pgproof prune`: delete the backups that retention does not keep."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext

from backup.bootstrap import now
from backup.cli.announcing import announced
from backup.cli.measuring import Measurement, measured
from backup.cli.options import Invocation, command, option, setting_option
from backup.cli.output import Table
from backup.cli.places import Place, places
from backup.cli.targets import target_of_any
from backup.domain.sizes import show_size
from backup.errors import Interrupted, NotFound, PgproofError
from backup.failures import describe
from backup.logs import log
from backup.workflow.prune import Pruning
from backup.workflow.prune import prune as prune_store


@command("prune")
@option("--dry-run", "dry_run", is_flag=True, envvar="PGPROOF_PRUNE_DRY_RUN", help="Only show what would be deleted.")
@setting_option("retention", "--retention", text="Another retention for this once, as name=value.")
def prune(invocation: Invocation, *, dry_run: bool) -> None:
    """Delete the backups of a target that retention does not keep, in every store.

    Nothing is deleted after a run that failed, or while the newest backup is suspect. What pgproof did not write is
    never touched.
    """
    announcing = nullcontext() if dry_run else announced(invocation, "prune")
    with measured(invocation, "prune", quiet=dry_run) as measurement, announcing:
        _prune(invocation, measurement, dry_run=dry_run)


def _prune(invocation: Invocation, measurement: Measurement, *, dry_run: bool) -> None:
    chosen = places(invocation)
    measurement.target = target = target_of_any(invocation, chosen)
    prunings, failures = prune_all(chosen, target, dry_run=dry_run)
    result = {
        "prunings": [prune_figures(each) for each in prunings],
        "failures": [describe(error) for error in failures],
    }
    if prunings and not failures and not any(each.plan.decisions or each.leftovers for each in prunings):
        raise NotFound(
            f"nothing of {target} in {', '.join(place.store.url for place in chosen)}",
            hint="check --target and --store; pgproof list --all shows what there is",
        )
    if not (failures and invocation.json):
        invocation.emit(result, list(prune_views(prunings)))
    if failures:
        failures[0].result = result
        raise failures[0]


def prune_all(
    chosen: Sequence[Place], target: str, *, dry_run: bool = False
) -> tuple[list[Pruning], list[PgproofError]]:
    """Prune each store, whatever becomes of the others; what was done, and what went wrong."""
    prunings: list[Pruning] = []
    failures: list[PgproofError] = []
    for place in chosen:
        try:
            done = prune_store(target, place.store, place.rules, clock=now, dry_run=dry_run)
        except Interrupted:
            raise
        except PgproofError as error:
            log.error("not pruned", store=place.store.url, reason=error.message, detail=error.detail)
            failures.append(error)
        else:
            tell = log.info if done.done and (done.plan.deleted or done.plan.stopped or done.leftovers) else log.debug
            tell("pruned", **_summary(done))
            prunings.append(done)
    return prunings, failures


def _summary(pruning: Pruning) -> dict[str, object]:
    kept = sum(each.keep for each in pruning.plan.decisions)
    return {
        "store": pruning.store,
        "target": pruning.target,
        "kept": kept,
        "deleted": len(pruning.plan.deleted),
        "freed": show_size(pruning.freed),
        "stopped": pruning.plan.stopped or None,
    }


def prune_figures(pruning: Pruning) -> dict[str, object]:
    """For programs."""
    return {
        "store": pruning.store,
        "target": pruning.target,
        "rules": pruning.rules.text,
        "stopped": pruning.plan.stopped or None,
        "done": pruning.done,
        "freed_bytes": pruning.freed,
        "runs": [
            {
                "id": str(each.run.id),
                "backup": each.run.finished,
                "keep": each.keep,
                "reason": each.reason,
                "bytes": each.run.bytes,
            }
            for each in pruning.plan.decisions
        ],
        "leftovers": [
            {"key": each.key, "what": each.what, "bytes": each.bytes, "modified": each.modified}
            for each in pruning.leftovers
        ],
    }


def prune_views(prunings: Sequence[Pruning]) -> Iterator[str | Table]:
    """What becomes of each store's backups, as people see it."""
    for each in prunings:
        yield f"{each.target} in {each.store}: {each.rules.text}"
        yield _table(each)
        yield _told(each)


def _table(pruning: Pruning) -> Table:
    word = "deleted" if pruning.done else "would go"
    rows: list[tuple[object, ...]] = [
        (each.run.id, "kept" if each.keep else word, show_size(each.run.bytes), each.reason)
        for each in pruning.plan.decisions
    ]
    rows += [
        (each.key, word, show_size(each.bytes) if each.bytes else None, f"{each.what}, older than a day")
        for each in pruning.leftovers
    ]
    return Table(columns=("id", "", "stored", "because"), rows=rows, right={"stored"})


def _told(pruning: Pruning) -> str:
    count = len(pruning.plan.deleted)
    if pruning.plan.stopped:
        return f"nothing is deleted: {pruning.plan.stopped}"
    if not (count or pruning.leftovers):
        return "nothing to delete"
    things = [f"{count} run{'s' * (count != 1)}"] * (count > 0) + [f"{len(pruning.leftovers)} leftovers"] * bool(
        pruning.leftovers
    )
    what = "deleted" if pruning.done else "would be deleted"
    return f"{' and '.join(things)}, {show_size(pruning.freed)}, {what}"
