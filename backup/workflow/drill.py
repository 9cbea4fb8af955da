"""Drill: restore a backup where it does no harm, compare all of it with its proof, and keep the result beside it.

Owns the verdict, and which tables a sample has. A drill that found nothing out about the backup, because a server or
the store was missing, leaves no result.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from backup import __version__
from backup.domain.comparison import Comparison, compare
from backup.domain.drill import MOST_DIFFERENCES, CheckResult, Drill, Verdict, key_of
from backup.domain.manifest import Manifest
from backup.domain.proof import ROWS, Proof
from backup.errors import IntegrityFailed, ProofMismatch, RestoreFailed
from backup.logs import log
from backup.ports import Clock, RestoreChoice, RestoreReport, Scratch, Store, Trial
from backup.signals import undisturbed
from backup.stream.age import NO_KEYS, Keyring
from backup.stream.readers import BytesReader
from backup.stream.volumes import Progress, no_progress
from backup.workflow.catalog import Catalog
from backup.workflow.lease import shielded
from backup.workflow.restore import Parts, first_of, look, restore, scope_of


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillChoice:
    """How a backup is tried.

    Attributes:
        database: name of what is restored.
        sample: share of the tables whose rows are, above 0 and at most 1.
        checks: the user's own queries by name.
        check_seconds: for each of them.
        proof_seconds: for finding out what was restored.
        jobs: connections that build indexes.
        keys: with which an encrypted one is opened.
    """

    database: str
    sample: float = 1.0
    checks: Mapping[str, str] = field(default_factory=dict)
    check_seconds: float = 60
    proof_seconds: float = 3600
    jobs: int = 1
    keys: Keyring = NO_KEYS


def drill(
    backup: Manifest,
    store: Store,
    scratch: Scratch,
    choice: DrillChoice,
    *,
    clock: Clock,
    progress: Progress = no_progress,
) -> Drill:
    """Given a backup, try it, and return what was found, which is stored by then.

    Raises:
        ConfigurationError: no key opens it.
        RestoreFailed, IntegrityFailed: it did not restore; that is stored too.
        PgproofError: nothing was found out; nothing is stored.
    """
    run = _Run(backup, store, choice, clock)
    try:
        run.try_it(scratch, progress)
    except (RestoreFailed, IntegrityFailed) as error:
        what = "it did not restore" if run.begun else "its proof cannot be read"
        run.result("failed", f"{what}: {error.message}", error=_without_values(error.detail or error.message))
        raise
    return run.outcome


class _Run:
    """One drill on its way."""

    def __init__(self, backup: Manifest, store: Store, choice: DrillChoice, clock: Clock) -> None:
        self._backup = backup
        self._store = store
        self._choice = choice
        self._clock = clock
        self._begun = clock()
        self._seconds: dict[str, float] = {}
        self._version: str | None = None
        self._report: RestoreReport | None = None
        self._comparison: Comparison | None = None
        self._checks: tuple[CheckResult, ...] = ()
        self._outcome: Drill | None = None

    @property
    def outcome(self) -> Drill:
        if self._outcome is None:
            raise ValueError("the drill has not ended")
        return self._outcome

    @property
    def begun(self) -> bool:
        """Whether there was a server to restore it into."""
        return self._version is not None

    def try_it(self, scratch: Scratch, progress: Progress) -> None:
        log.info("drill started", id=self._backup.id, target=self._backup.target, store=self._store.url)
        catalog = Catalog(self._store, self._choice.keys)
        catalog.require_key(self._backup)
        expected = catalog.proof_of(self._backup)
        step = time.monotonic()
        with (
            shielded(self._backup, self._store, clock=self._clock),
            scratch(self._backup, self._choice.sample) as trial,
        ):
            self._seconds["server"] = time.monotonic() - step
            self._version = trial.version
            report = self._restore(trial, expected, progress)
            try:
                self._compare(trial, expected, report)
                self._check(trial, report.database)
            finally:
                with undisturbed():
                    trial.drop(report.database)
        self._judge(expected)

    def _restore(self, trial: Trial, expected: Proof | None, progress: Progress) -> RestoreReport:
        wanted = RestoreChoice(
            into=self._choice.database,
            tables=_sampled(expected, self._choice.sample, seed=f"{self._backup.id} {self._begun}"),
            whole_schema=True,
            jobs=self._choice.jobs,
            look=expected.mode if expected else None,
        )
        wanted = trial.choice(self._backup, Parts(self._backup, self._store, self._choice.keys).open, wanted)
        self._report = restore(
            self._backup, self._store, trial.restorer, wanted, keys=self._choice.keys, progress=progress
        )
        self._seconds |= self._report.seconds
        for note in self._report.notes:
            log.info("drill", note=note)
        return self._report

    def _compare(self, trial: Trial, expected: Proof | None, report: RestoreReport) -> None:
        if expected is None:
            return
        step = time.monotonic()
        log.info("drill", phase="proof")
        found = look(trial.restorer, report, expected, within=self._choice.proof_seconds)
        self._comparison = compare(expected, found, scope_of(expected, report))
        self._seconds["proof"] = time.monotonic() - step

    def _check(self, trial: Trial, database: str) -> None:
        step = time.monotonic()
        results = []
        for name, sql in self._choice.checks.items():
            result = trial.check(database, name, sql, within=self._choice.check_seconds)
            log.info("check", name=name, passed=result.passed, said=result.said or None)
            results.append(result)
        self._checks = tuple(results)
        if results:
            self._seconds["own checks"] = time.monotonic() - step

    def _judge(self, expected: Proof | None) -> None:
        wrong = [check for check in self._checks if not check.passed]
        compared = self._comparison
        if wrong:
            self.result("differs", f"{len(wrong)} of {len(self._checks)} checks failed: {wrong[0].name}")
        elif compared is None or expected is None:
            self.result("unproven", "it restores, but the backup has no proof to compare it with")
        elif compared.differs:
            self.result("differs", compared.text)
        elif compared.proves:
            self.result("proven", compared.text)
        else:
            self.result("unproven", f"it restores, but is {compared.text}")

    def result(self, verdict: Verdict, text: str, *, error: str | None = None) -> None:
        """Keep the result beside the backup."""
        compared = self._comparison
        different = [each for each in compared.differences if not each.noted] if compared else []
        noted = [each for each in compared.differences if each.noted] if compared else []
        unproven = [f"{fact}: {why}" for fact, why in compared.unproven.items()] if compared else []
        self._outcome = Drill(
            backup=self._backup.id,
            target=self._backup.target,
            time=self._begun,
            verdict=verdict,
            text=text,
            mode=compared.mode if compared else None,
            server_version=self._version,
            sample=self._choice.sample,
            tables=compared.tables if compared else 0,
            rows=compared.rows if compared else 0,
            differences=tuple([*different, *noted][:MOST_DIFFERENCES]),
            difference_count=len(different),
            unproven=tuple(unproven[:MOST_DIFFERENCES]),
            unproven_count=len(unproven),
            not_compared=tuple(sorted(self._report.left_out)) if self._report else (),
            checks=self._checks,
            seconds={phase: round(value, 3) for phase, value in self._seconds.items()},
            restore_seconds=round(sum(self._report.seconds.values()), 3) if self._report else None,
            stored_bytes=self._backup.stored_bytes,
            raw_bytes=self._backup.raw_bytes,
            error=error,
            pgproof=__version__,
        )
        key = key_of(self._outcome)
        kept = self._outcome.without_names() if self._backup.recipients else self._outcome
        self._store.put(key, BytesReader(kept.to_json()))
        log.info("drill ended", verdict=verdict, told=text, object=key)


def mismatch(result: Drill) -> ProofMismatch:
    """What a drill that did not prove the backup is told as."""
    lines = [each.text for each in result.differences if not each.noted]
    lines += [f"check {check.name}: {check.said}" for check in result.checks if not check.passed]
    detail = first_of(lines)
    hint = (
        "make backups with PGPROOF_PROOF=full or rows, and give proofs more time (PGPROOF_PROOF_TIMEOUT)"
        if result.verdict == "unproven"
        else "pgproof show says all of it; restore from another backup until it is understood"
    )
    return ProofMismatch(f"{result.backup} is not proven: {result.text}", detail=detail or None, hint=hint)


_PLACE = re.compile(r"COPY \S+(?=,)")
_OF_ROWS = re.compile(r"\s*(?:DETAIL|CONTEXT):")


def _without_values(said: str) -> str:
    """What a server said, without what may show rows: it is kept as plain text beside the backup."""
    places = [(line, _PLACE.search(line)) for line in said.splitlines()]
    return "\n".join(place[0] if place else line for line, place in places if place or not _OF_ROWS.match(line))


def _sampled(expected: Proof | None, share: float, *, seed: str) -> tuple[str, ...]:
    """Names of the tables whose rows are restored; none where all are."""
    if share >= 1:
        return ()
    if expected is None:
        raise ProofMismatch(
            "a sample is chosen from the tables that the proof names, and this backup has none",
            hint="leave out --sample, or make backups with PGPROOF_PROOF=full or rows",
        )
    names = sorted(fact.name for fact in expected.facts if fact.kind == ROWS)
    return tuple(random.Random(seed).sample(names, max(1, round(len(names) * share)))) if names else ()  # noqa: S311
