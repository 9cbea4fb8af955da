"""Whether backups are young enough, and proven lately enough, in as many stores as have to hold them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from backup.domain.manifest import Manifest
from backup.domain.metrics import Holding
from backup.domain.periods import show_period


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How old the newest complete backup may be, and the newest proven one; None where that does not matter."""

    age: timedelta
    proven_age: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """What a store has of a target, held against the limits.

    Attributes:
        newest, proven: ids, None where there is none.
        age, proven_age: since their snapshots.
        problem: what is wrong, for people; empty where nothing is.
    """

    store: str
    target: str
    newest: str | None
    age: timedelta | None
    proven: str | None
    proven_age: timedelta | None
    problem: str

    @property
    def fresh(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problem


def judge(store: str, holding: Holding, limits: Limits, *, now: datetime) -> Freshness:
    """Given what a store has of a target, say whether that is young enough."""
    newest, proven = holding.newest, holding.newest_proven
    age, proven_age = _age(newest, now), _age(proven, now)
    return Freshness(
        store=store,
        target=holding.target,
        newest=newest.id if newest else None,
        age=age,
        proven=proven.id if proven else None,
        proven_age=proven_age,
        problem=" and ".join(_problems(age, proven_age, limits)),
    )


def _age(backup: Manifest | None, now: datetime) -> timedelta | None:
    return now - backup.snapshot.time if backup else None


def _problems(age: timedelta | None, proven_age: timedelta | None, limits: Limits) -> Iterator[str]:
    if age is None:
        yield "there is no complete backup"
    elif age > limits.age:
        yield f"the newest complete backup is {show_period(age)} old, more than {show_period(limits.age)}"
    if limits.proven_age is None or age is None:
        return
    if proven_age is None:
        yield "none is proven"
    elif proven_age > limits.proven_age:
        yield f"the newest proven one is {show_period(proven_age)} old, more than {show_period(limits.proven_age)}"


def missed(found: Sequence[Freshness], *, required: int) -> list[Freshness]:
    """What is wrong with the targets that are not fresh in as many stores as are required."""
    counts: dict[str, int] = {each.target: 0 for each in found}
    for each in found:
        counts[each.target] += each.fresh
    return [each for each in found if not each.fresh and counts[each.target] < required]
