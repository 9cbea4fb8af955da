"""Restore a backup: its parts, checked on the way, into PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from backup.domain.comparison import Comparison, Scope, compare
from backup.domain.manifest import Manifest, Part, Role, Status
from backup.domain.proof import LEFT_OUT, OF_TABLES, Fact, Proof
from backup.domain.restore_stages import find_slow_stage
from backup.errors import Interrupted, ProofMismatch
from backup.logs import log
from backup.ports import RestoreChoice, RestorePlan, Restorer, RestoreReport, Store, Swapped
from backup.signals import undisturbed
from backup.stream.age import NO_KEYS, Keyring
from backup.stream.readers import ByteReader, Counted
from backup.stream.stopwatch import Stopwatch, Timed
from backup.stream.volumes import Progress, no_progress
from backup.workflow.catalog import Catalog

_MOST_SHOWN = 20


def refuse_unproven(backup: Manifest) -> None:
    """Given a backup that shall take the place of a database, see to it that it can be compared before.

    Raises:
        ProofMismatch: it has no proof.
    """
    if not backup.parts_of(Role.PROOF):
        raise ProofMismatch(
            f"{backup.id} has no proof to compare the restored database with before it replaces another",
            hint="choose a backup that has one, or swap it uncompared: --no-proof",
        )


def plan_restore(
    backup: Manifest, store: Store, restorer: Restorer, choice: RestoreChoice, *, keys: Keyring = NO_KEYS
) -> RestorePlan:
    """Given a backup and a choice, say what a restore would do. Raises what the restore would raise at its start."""
    plan = restorer.plan(backup, Parts(backup, store, keys).open, choice)
    return replace(plan, notes=(*_cautions(backup), *plan.notes))


def restore(
    backup: Manifest,
    store: Store,
    restorer: Restorer,
    choice: RestoreChoice,
    *,
    keys: Keyring = NO_KEYS,
    progress: Progress = no_progress,
) -> RestoreReport:
    """Given a backup and a choice, restore it.

    Raises:
        ConfigurationError: it is encrypted, and no key opens it; nothing was read.
        PgproofError: of the class that says why; then no half database is left.
    """
    parts = Parts(backup, store, keys, progress)
    cautions = _cautions(backup)
    for caution in (
        cautions if choice.in_place or choice.replace else ()
    ):  # too late in the report: something is overwritten
        log.warning(caution, id=backup.id)
    log.info("restore started", id=backup.id, target=backup.target, store=store.url)
    report = restorer.restore(backup, parts.open, choice)
    report = replace(report, notes=(*cautions, *report.notes), waits={**parts.waits(), **report.waits})
    if slow := find_slow_stage(report.seconds, report.waits):
        log.debug("slowest stage", stage=slow.stage, share=f"{slow.share:.0%}", advice=slow.advice)
    return report


def prove(
    backup: Manifest,
    store: Store,
    restorer: Restorer,
    report: RestoreReport,
    *,
    within: float,
    keys: Keyring = NO_KEYS,
) -> Comparison | None:
    """Given a restore that was done, hold the database against the backup's proof; None where there is none."""
    expected = Catalog(store, keys).proof_of(backup)
    if expected is None:
        return None
    log.info("comparing with the proof", database=report.database)
    return compare(expected, look(restorer, report, expected, within=within), scope_of(expected, report))


def look(restorer: Restorer, report: RestoreReport, expected: Proof, *, within: float) -> Proof:
    """What was restored. What was found out on the way and is as expected need not be asked again; all else is."""
    same = {fact: value for fact, value in report.early.items() if expected.facts.get(fact) == value}
    wanted = {name: [Fact(kind, name) for kind in OF_TABLES if Fact(kind, name) in expected.facts] for _, name in same}
    whole = {name for name, facts in wanted.items() if all(fact in same for fact in facts)}
    known = {fact: value for fact, value in same.items() if fact.name in whole}
    return restorer.look(report.database, expected.mode, within=within, known=known)


def first_of(lines: Sequence[str]) -> str:
    """The first of many lines, and how many more there are."""
    more = len(lines) - _MOST_SHOWN
    return "\n".join([*lines[:_MOST_SHOWN], *([f"and {more} more"] if more > 0 else [])])


def differing(report: RestoreReport, proof: Comparison) -> ProofMismatch:
    """How it is told that a restored database is not what it should be."""
    lines = [each.text for each in proof.differences if not each.noted]
    return ProofMismatch(
        f"{report.database} is restored, but it is not what the backup's snapshot held: {proof.text}",
        detail=first_of(lines),
        hint="look at these before you use it, or restore another backup",
    )


def swap(
    restorer: Restorer, report: RestoreReport, proof: Comparison | None, *, replaced: str, disconnect: bool
) -> Swapped:
    """Given a restore that was done and compared, let it take the place of the database that the address names.

    Args:
        restorer: that did it.
        report: of it.
        proof: what the comparison found; None where none was wanted.
        replaced: the name that the old database has afterwards.
        disconnect: end the sessions of others there.

    Raises:
        ProofMismatch: it differs, or nothing is known of its tables.
        PgproofError: as `Restorer.swap`.
    """
    if proof and proof.differs:
        raise differing(report, proof)
    if proof and not proof.proves:
        raise ProofMismatch(
            f"{report.database} is restored, but not all of it could be compared with the backup's proof",
            detail=proof.text,
            hint="give it more time (PGPROOF_PROOF_TIMEOUT), or swap it uncompared: --no-proof",
        )
    done: Swapped | None = None
    try:
        with undisturbed():
            done = restorer.swap(report.database, replaced, disconnect=disconnect)
    except Interrupted:  # one that waited for the swap has nothing to stop any more
        if done is None:
            raise
    if done is None:
        raise AssertionError("a swap returns or raises")
    return done


@contextmanager
def staying(report: RestoreReport, choice: RestoreChoice) -> Iterator[None]:
    """What is restored by now is told of where it is not compared or does not replace anything: it takes room."""
    try:
        yield
    except Exception as error:
        told = "what was restored stays, to be looked at or dropped"
        if choice.replace:
            log.warning(f"nothing is replaced; {told}", database=report.database)
        elif not isinstance(error, ProofMismatch):
            told = "what was restored is in its place" if choice.in_place else f"{told} before it is restored again"
            log.warning(f"not compared; {told}", database=report.database)
        raise


def scope_of(expected: Proof, report: RestoreReport) -> Scope:
    """What of the proof a restore has to bear out."""
    return Scope(
        without=report.left_out,
        only=None if report.whole_schema else frozenset(OF_TABLES),
        tables=report.tables,
        left_out=left_out_of(expected),
        cut_keys=report.tables is not None,
    )


def left_out_of(expected: Proof) -> frozenset[str]:
    """The relations, and the schemas as the beginning of their names, that the dump was told to leave out."""
    facts = [fact for fact, why in expected.unproven.items() if why == LEFT_OUT]
    return frozenset(f"{fact.name}." if fact.kind == "schema" else fact.name for fact in facts)


def _cautions(backup: Manifest) -> tuple[str, ...]:
    """What is to be known of a backup before it replaces anything."""
    cautions = []
    if backup.status is not Status.COMPLETE:
        cautions.append(f"this backup is {backup.status.value}, not complete")
    if backup.filtered and backup.tool.engine == "pgdump":
        cautions.append("a setting left parts of the database out of this backup: tables may be missing or empty")
    return tuple(cautions)


class Parts:
    """The parts of a backup, each to be opened as often as the restorer needs it.

    Raises:
        ConfigurationError: it is encrypted, and no key opens it.
    """

    def __init__(
        self, backup: Manifest, store: Store, keys: Keyring = NO_KEYS, progress: Progress = no_progress
    ) -> None:
        self._backup = backup
        self._catalog = Catalog(store, keys)
        self._catalog.require_key(backup)
        self._progress = progress
        self._watches: list[Stopwatch] = []

    @contextmanager
    def open(self, part: Part) -> Iterator[ByteReader]:
        """A part from its start; each reading counts as progress anew. It may be read by another thread than others."""
        watch = Stopwatch()
        self._watches.append(watch)
        with self._catalog.open_part(self._backup, part) as stored:
            counted = Counted(Timed(stored, watch, "store"), lambda size: self._progress(0, size))
            with self._catalog.decoded(part, counted) as content:
                yield Timed(content, watch, "decode")

    def waits(self) -> dict[str, float]:
        """The seconds that readers of all parts waited, by stage."""
        found = [watch.seconds for watch in self._watches]
        return {stage: round(sum(each.get(stage, 0.0) for each in found), 3) for stage in ("store", "decode")}
