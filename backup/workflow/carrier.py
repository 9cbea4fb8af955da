"""The parts of a dump on their way: one after the other, the lanes of a dump at the same time.

Owns what is known of a failure: whether the database or its client failed, or whoever took what they gave.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from threading import Event

from backup.domain.manifest import Part, Role
from backup.domain.proof import Proof
from backup.errors import DumpFailed, PgproofError
from backup.ports import Engine, PartSource, SnapshotT
from backup.stream.readers import ByteReader
from backup.workflow.together import together
from backup.workflow.upload import Upload


@dataclass(frozen=True, slots=True)
class Carrier:
    """Carries the parts of an engine into an upload, and fills in what comes of it.

    Attributes:
        upload: where to.
        warnings: of parts that were left out.
        seconds: by the role of a part, beside those of other steps.
        of_database: what the database or its client failed with.
    """

    upload: Upload
    warnings: list[str]
    seconds: dict[str, float]
    of_database: list[Exception]

    def carry_all(self, engine: Engine[SnapshotT], snapshot: SnapshotT) -> tuple[tuple[Part, ...], Proof | None]:
        """Write every part of an engine; the parts, and what was found out of the snapshot.

        Raises:
            PgproofError: of the source, of the upload, or a signal; whatever was under way has ended by then.
        """
        parts: list[Part] = []
        proof = None
        with closing(engine.parts(snapshot)) as part_sources:
            for part_source in part_sources:
                step = time.monotonic()
                carried = self._carry(part_source, part_sources.close)
                role = part_source.role.value
                self.seconds[role] = self.seconds.get(role, 0.0) + time.monotonic() - step
                parts += carried
                proof = part_source.proof() if carried and part_source.proof else proof
        return tuple(parts), proof

    def _carry(self, part_source: PartSource, give_up: Callable[[], None]) -> list[Part]:
        """Write a part with those beside it, all at the same time; where one of them fails, nothing of it goes on."""
        sources = [part_source, *part_source.beside]
        ended = Event()

        def carry(source: PartSource) -> Part | None:
            watched = replace(source, open=partial(self._watched, source, ended))
            return self.upload.carry(watched, self.warnings, among=len(sources))

        def end() -> None:
            ended.set()
            give_up()

        works = [partial(carry, source) for source in sources]
        found = [work() for work in works] if len(works) == 1 else together(works, end)
        return [part for part in found if part]

    @contextmanager
    def _watched(self, part_source: PartSource, ended: Event) -> Iterator[ByteReader]:
        """A part of the engine; what a dump raises, and not those who take it, is known again."""
        with ExitStack() as stack:
            if part_source.role is not Role.DUMP:
                yield stack.enter_context(part_source.open())
                return
            try:
                reader = stack.enter_context(part_source.open())
            except PgproofError as error:
                self.of_database.append(error)
                raise
            yield _Watched(reader, self.of_database, ended)


class _Watched:
    """A reader whose failure is remembered; it fails too once it `ended`, for then nobody needs it any more."""

    def __init__(self, reader: ByteReader, failures: list[Exception], ended: Event) -> None:
        self._reader = reader
        self._failures = failures
        self._ended = ended

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes. Raises what the reader raises."""
        if self._ended.is_set():
            raise DumpFailed("the dump was given up")
        try:
            return self._reader.read(size)
        except PgproofError as error:
            self._failures.append(error)
            raise
