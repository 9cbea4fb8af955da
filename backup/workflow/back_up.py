"""Make a backup: preflight, snapshot, every part into the store, asked again, and then the manifest.

Owns the order of these steps. What fails before the manifest leaves no backup and, as far as the store still
answers, no object.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Generic

from backup import __version__
from backup.domain.counts import RowCounts, count_rows
from backup.domain.guard import Tolerance
from backup.domain.ids import BackupId
from backup.domain.manifest import Manifest, Part, Purpose, Role, Status, Tool
from backup.domain.marks import FAILED, Mark
from backup.domain.proof import Proof
from backup.domain.stages import find_bottleneck
from backup.errors import (
    AccessDenied,
    ClientMissing,
    DumpFailed,
    Interrupted,
    LockHeld,
    PgproofError,
    TablesRewritten,
)
from backup.logs import log
from backup.ports import Clock, Engine, SnapshotT, Source
from backup.signals import undisturbed
from backup.stream.pace import Pace
from backup.stream.volumes import Encoding, Progress, no_progress
from backup.workflow.carrier import Carrier
from backup.workflow.claim import claimed_id
from backup.workflow.copies import Copies, Copy
from backup.workflow.doctor import preflight
from backup.workflow.guard import weigh
from backup.workflow.lease import leased
from backup.workflow.runs import host, write_mark
from backup.workflow.upload import Upload

_POLL = 5.0
"""Seconds between two looks whether another run has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackUpChoice:
    """How a backup is made, and what for.

    Attributes:
        wait: seconds in which another run may come to its end.
        tolerance: how much smaller than those before it may it be; None for any.
        rate: bytes a second that are read of the database at most; None for as fast as it goes.
        labels: the user's, kept in the manifest.
    """

    target: str
    encoding: Encoding
    purpose: Purpose = "backup"
    wait: float = 0
    tolerance: Tolerance | None = None
    rate: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback(Generic[SnapshotT]):
    """What saves the rows where the dump cannot be made, and who is told why before that begins."""

    engine: Engine[SnapshotT]
    tell: Callable[[PgproofError], None]


def back_up(
    source: Source[SnapshotT],
    engine: Engine[SnapshotT],
    copies: Copies,
    choice: BackUpChoice,
    *,
    clock: Clock,
    fallback: Fallback[SnapshotT] | None = None,
    progress: Progress = no_progress,
) -> Manifest:
    """Given a source, an engine and stores, make one backup and return its manifest as committed.

    A run that fails leaves a note of it in the stores, as far as they still answer, and nothing else.

    Where the engine cannot do it while the database still answers, the fallback saves what it can: the manifest's
    status is `degraded` then.

    Args:
        source: the database.
        engine: how it is dumped.
        copies: where to; one that fails is left behind, see its `lost`.
        choice: how.
        clock: of this machine.
        fallback: None where there shall be none.
        progress: told of bytes on their way.

    Raises:
        PgproofError: of the class that says why, with a fallback too; then no backup is listed.
    """
    started = clock()
    run = _Run(
        source=source,
        engine=engine,
        copies=copies,
        choice=choice,
        started=started,
        progress=progress,
        id=BackupId.at(started),
    )
    try:
        try:
            return run.make_when_free(clock)
        except (ClientMissing, DumpFailed, AccessDenied) as error:
            if fallback is None or not run.may_fall_back(error):
                raise
            return run.falling_back(fallback, error, clock)
    except LockHeld:
        raise
    except Exception as error:
        _note_failure(copies, f"{choice.target}/{run.id}", error, clock())
        raise


@dataclass(slots=True, kw_only=True)
class _Run(Generic[SnapshotT]):
    """One backup on its way.

    Attributes:
        id: settled once it is claimed.
        instead_of: why the engine is a fallback; None where it is the first.
        of_database: what the database or its client failed with.
    """

    source: Source[SnapshotT]
    engine: Engine[SnapshotT]
    copies: Copies
    choice: BackUpChoice
    started: datetime
    progress: Progress
    id: BackupId
    instead_of: PgproofError | None = None
    of_database: list[Exception] = field(default_factory=list)

    def may_fall_back(self, error: PgproofError) -> bool:
        """Whether an error is of what makes the dump, and not of a store; a next run of the same may do better."""
        return any(error is each for each in self.of_database) and not isinstance(error, TablesRewritten)

    def falling_back(self, fallback: Fallback[SnapshotT], error: PgproofError, clock: Clock) -> Manifest:
        """Save what another engine can. Raises `error` where that cannot either."""
        log.error("no dump, the rows are saved without it", reason=error.message, detail=error.detail, hint=error.hint)
        fallback.tell(error)
        self.engine, self.instead_of, own = fallback.engine, error, self.id
        try:
            return self.make_when_free(clock)
        except Interrupted:
            raise
        except PgproofError as failure:
            if isinstance(failure, LockHeld):  # the id that was tried then may be newer than that of who has the lock
                self.id = own
            log.error("nor could the rows be saved", reason=failure.message, detail=failure.detail)
            raise error from failure

    def make_when_free(self, clock: Clock) -> Manifest:
        """Make it; while another run is under way, wait as long as is wanted."""
        end = time.monotonic() + self.choice.wait
        told = False
        while True:
            self.started = clock()
            self.id = BackupId.at(self.started)
            try:
                return self.make(clock)
            except LockHeld as error:
                if time.monotonic() > end:
                    raise
                if not told:
                    log.info("waiting", reason=error.message, seconds=round(self.choice.wait))
                told = True
                time.sleep(min(_POLL, max(end - time.monotonic(), 0.1)))

    def make(self, clock: Clock) -> Manifest:
        begun = time.monotonic()
        choice = self.choice
        warnings = self._checked()
        seconds = {"checks": time.monotonic() - begun}
        with (
            self.source.snapshot(choice.target) as snapshot,
            leased(self.copies, choice.target, source=snapshot.source, clock=clock),
            claimed_id(self.copies, choice.target, self.id) as self.id,
        ):
            tool = self._tool(snapshot)
            pace = Pace(choice.rate) if choice.rate else None
            upload = Upload(self.copies, f"{choice.target}/{self.id}/", choice.encoding, self.progress, pace)
            try:
                parts, proof = Carrier(upload, warnings, seconds, self.of_database).carry_all(self.engine, snapshot)
                step = time.monotonic()
                self.copies.each(Copy.ask_again)
                seconds["confirm"] = time.monotonic() - step
                manifest = Manifest(
                    id=str(self.id),
                    target=choice.target,
                    status=Status.DEGRADED if self.instead_of else Status.COMPLETE,
                    tool=tool,
                    database=snapshot.database,
                    snapshot=snapshot.mark,
                    started=self.started,
                    finished=clock(),
                    parts=parts,
                    pgproof=__version__,
                    purpose=choice.purpose,
                    filtered=self.engine.filtered,
                    proof=proof.totals if proof else None,
                    recipients=choice.encoding.recipients,
                    counts=self._counts(snapshot, proof),
                    seconds={phase: round(value, 3) for phase, value in seconds.items()},
                    labels=dict(choice.labels),
                    warnings=tuple(warnings),
                )
                manifest = self._guarded(manifest, proof, snapshot.fingerprint, clock)
                upload.commit(manifest)
            except BaseException:
                self.copies.take_back()
                raise
            self._tell_bottleneck(parts)
        return manifest

    def _tell_bottleneck(self, parts: Sequence[Part]) -> None:
        encoding = self.choice.encoding
        level = encoding.level if encoding.compression == "zstd" else None
        found = find_bottleneck([part for part in parts if part.role is Role.DUMP], level=level)
        if found:
            share = f"{found.share:.0%}"
            log.debug("slowest stage", part=found.part, stage=found.stage, share=share, advice=found.advice)

    def _checked(self) -> list[str]:
        """What the checks warn of. Raises what they find, as a failure of the database."""
        if self.instead_of:
            return [f"degraded: {self.instead_of.code.replace('_', ' ')}"]
        try:
            return list(preflight(self.source))
        except PgproofError as error:
            self.of_database.append(error)
            raise

    def _counts(self, snapshot: SnapshotT, proof: Proof | None) -> RowCounts | None:
        """The rows that the guard of a later run shall know, where it cannot open this one's proof."""
        if not self.choice.encoding.recipients or not proof or not snapshot.fingerprint:
            return None
        return count_rows(proof.facts, snapshot.fingerprint)

    def _guarded(self, manifest: Manifest, proof: Proof | None, fingerprint: str, clock: Clock) -> Manifest:
        """The same, but marked where it is suspect."""
        tolerance = self.choice.tolerance
        if tolerance is None or self.choice.purpose != "backup" or self.instead_of:
            return manifest
        stores = [copy.store for copy in self.copies.left]
        found, nth = weigh(manifest, proof, stores, tolerance, clock=clock, fingerprint=fingerprint)
        if not found:
            return replace(manifest, nth=nth)
        return replace(
            manifest, nth=nth, status=Status.SUSPECT, warnings=(*manifest.warnings, f"suspect: {found.text}")
        )

    def _tool(self, snapshot: SnapshotT) -> Tool:
        tool = self.engine.tool(snapshot.database)
        log.debug("client chosen", program=tool.name, version=tool.version, server=snapshot.database.server_version)
        log.info(
            "backup started",
            target=self.choice.target,
            id=str(self.id),
            server=snapshot.database.server_version,
            client=tool.version,
            store=self.copies.urls,
        )
        return tool


def _note_failure(copies: Copies, folder: str, error: Exception, moment: datetime) -> None:
    """Leave a note in the folder of a run that failed, so that nothing is pruned after it.

    It says of which kind the failure is and no more: in plain text, messages may name tables.
    """
    kind, status = "a bug", PgproofError.exit_code
    if isinstance(error, PgproofError):
        kind, status = error.code.replace("_", " "), error.status
    mark = Mark(time=moment, text=kind, host=host(), exit_code=status)
    with undisturbed():
        for copy in copies.answering:
            try:
                write_mark(copy.store, f"{folder}/{FAILED}", mark)
            except PgproofError as failure:
                log.debug("the failure is not noted in the store", store=copy.store.url, reason=failure.message)
