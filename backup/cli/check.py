"""`pgproof check`: tell whether the backups are young enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from backup.bootstrap import now
from backup.bootstrap.telling import make_lookouts
from backup.cli.alerting import Alarm
from backup.cli.options import Invocation, command, option
from backup.cli.targets import named_target
from backup.domain.freshness import Freshness, Limits, judge, missed
from backup.domain.metrics import Holding, Sighting
from backup.domain.periods import parse_period, show_period
from backup.errors import BackupMissed, Interrupted, NotFound, PgproofError
from backup.failures import describe
from backup.logs import log
from backup.workflow.sightings import look


@command("check")
@option(
    "--max-age",
    metavar="PERIOD",
    required=True,
    envvar="PGPROOF_CHECK_MAX_AGE",
    help="How old the newest complete backup may be, such as 2h; counted from its snapshot.",
)
@option(
    "--max-proven-age",
    metavar="PERIOD",
    envvar="PGPROOF_CHECK_MAX_PROVEN_AGE",
    help="How old the newest proven one may be, such as 8d.",
)
@option(
    "--alert",
    "alerts",
    is_flag=True,
    envvar="PGPROOF_CHECK_ALERT",
    help="Tell whoever is told of runs where it is not so, as backup.missed, each time.",
)
def check(invocation: Invocation, *, max_age: str, max_proven_age: str | None, alerts: bool) -> None:
    """Tell whether every target has a backup that is young enough, in as many stores as have to hold it.

    For any monitoring system, and for a CronJob: it needs the stores alone, and no job that makes backups. Without a
    target all that the stores hold are checked. Exit status 16: a backup is missed; 6 or 14: that cannot be told.
    """
    limits = Limits(age=parse_period(max_age), proven_age=parse_period(max_proven_age) if max_proven_age else None)
    target = named_target(invocation)
    alarm = Alarm(invocation, target) if alerts else None  # what is wrong with whom is told is found out now
    verdict = _Verdict()
    try:
        _check(invocation, limits, target, verdict)
    except Interrupted:
        raise
    except PgproofError as error:
        error.result = verdict.figures(limits)
        if alarm:
            alarm.raise_for(error)
        raise
    invocation.emit(verdict.figures(limits), verdict.text)


@dataclass(slots=True)
class _Verdict:
    """What was found, and the stores that could not be asked."""

    found: list[Freshness] = field(default_factory=list)
    lost: dict[str, PgproofError] = field(default_factory=dict)

    def figures(self, limits: Limits) -> dict[str, object]:
        """For programs."""
        return {
            "max_age_seconds": limits.age.total_seconds(),
            "max_proven_age_seconds": limits.proven_age.total_seconds() if limits.proven_age else None,
            "backups": [
                {
                    "store": each.store,
                    "target": each.target,
                    "fresh": each.fresh,
                    "problem": each.problem or None,
                    "newest": each.newest,
                    "age_seconds": each.age.total_seconds() if each.age else None,
                    "proven": each.proven,
                    "proven_age_seconds": each.proven_age.total_seconds() if each.proven_age else None,
                }
                for each in self.found
            ],
            "failures": [{"store": url, "error": describe(error)} for url, error in self.lost.items()],
        }

    @property
    def text(self) -> str:
        """In one line, where all is well."""
        return "ok: " + ", ".join(
            f"{each.target} in {each.store} is {show_period(each.age)} old"
            for each in self.found
            if each.fresh and each.age is not None
        )


def _check(invocation: Invocation, limits: Limits, target: str | None, verdict: _Verdict) -> None:
    """Look at all stores, and judge.

    Raises:
        BackupMissed: a target is not fresh in enough of them.
        NotFound: they hold nothing at all, and no target is named.
        PgproofError: too few of them can be read.
    """
    lookouts = make_lookouts(invocation.stores)
    required = min(invocation.settings.stores_required or len(lookouts), len(lookouts))
    seen: list[Sighting] = []
    for lookout in lookouts:
        try:
            seen.append(look(lookout, [target] if target else [], clock=now))
        except Interrupted:
            raise
        except PgproofError as error:
            log.warning("the store cannot be read", store=lookout.store.url, reason=error.message)
            verdict.lost[lookout.store.url] = error
    verdict.found += _judged(seen, limits, now())
    wrong = missed(verdict.found, required=min(required, len(seen)))
    if wrong:
        first = wrong[0]
        raise BackupMissed(
            f"{first.target} in {first.store}: {first.problem}",
            detail="\n".join(f"{each.target} in {each.store}: {each.problem}" for each in wrong[1:]) or None,
            hint="pgproof list shows what there is; see why no newer one was made, or make one: pgproof backup",
        )
    if len(seen) < required:
        raise next(iter(verdict.lost.values()))
    if not verdict.found:
        raise NotFound(
            f"no backup in {', '.join(each.store for each in seen)}, and no target is named",
            hint="name the one that should be there: --target, PGPROOF_TARGET",
        )
    behind = [each for each in verdict.found if not each.fresh]
    for each in behind:
        log.warning("not fresh, but enough other stores are", target=each.target, store=each.store, what=each.problem)


def _judged(seen: Sequence[Sighting], limits: Limits, moment: datetime) -> list[Freshness]:
    """Each target in each store: one that another store has is missed where it is not."""
    names = sorted({holding.target for sighting in seen for holding in sighting.holdings})
    found = []
    for sighting in seen:
        there = {holding.target: holding for holding in sighting.holdings}
        found += [judge(sighting.store, there.get(name, Holding(target=name)), limits, now=moment) for name in names]
    return found
