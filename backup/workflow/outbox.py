"""Messages that could not be delivered wait in the store, and are sent by the next run.

Owns their keys, `<target>/outbox/<time>-<id>.json`, how many wait and for how long. Whom a message is for stands there
as a key that tells nothing of the address; the message itself holds no secret.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pydantic import TypeAdapter

from backup.domain.documents import read_document
from backup.domain.events import RunEvent
from backup.errors import IntegrityFailed, Interrupted, ObjectMissing, PgproofError
from backup.logs import log
from backup.ports import Store
from backup.stream.readers import BytesReader, read_exactly

FORMAT = 1
FOLDER = "outbox"
MOST = 100
"""Messages of a target that wait; of more the oldest go (a guess: four days of an hourly job that fails)."""
LONGEST = timedelta(days=7)
"""How long one waits. A guess: what is older tells nobody anything new."""
_LIMIT = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A message, and the keys of those who have not heard it. `event.id` stays the same, so nobody counts it twice."""

    format: int = FORMAT
    event: RunEvent
    to: tuple[str, ...]


_ADAPTER = TypeAdapter(Waiting)


@dataclass(frozen=True, slots=True)
class Outbox:
    """The messages of a target in its stores.

    Attributes:
        confidential: its backups are encrypted, so nothing that may name tables is kept.
    """

    stores: Sequence[Store]
    target: str
    confidential: bool = False

    def keep(self, event: RunEvent, to: Sequence[str]) -> None:
        """Let a message wait in the first store that takes it. Raises what the last of them raises."""
        kept = event.without_names() if self.confidential else event
        data = _dumped(Waiting(event=kept, to=tuple(to)))
        failure: PgproofError | None = None
        for store in self.stores:
            try:
                store.put(self._key(event), BytesReader(data))
            except Interrupted:
                raise
            except PgproofError as error:
                failure = error
            else:
                return
        if failure:
            raise failure

    def waiting(self, now: datetime) -> Iterator[tuple[Store, str, Waiting]]:
        """All that waits, the oldest first, each with its store and key, read when it is its turn.

        What waited for too long is deleted. A store that cannot be read is told, and the others are looked at.
        """
        found: list[tuple[str, Store]] = []
        for store in self.stores:
            try:
                found += [(key, store) for key in self._kept(store, now)]
            except Interrupted:
                raise
            except PgproofError as error:
                log.warning("what waits in this store is not known", store=store.url, reason=error.message)
        for key, store in sorted(found, key=lambda each: each[0]):  # which begins with its time
            if message := _read(store, key):
                yield store, key, message

    def _kept(self, store: Store, now: datetime) -> Iterator[str]:
        """The keys of a store's messages; those beyond the bounds are deleted."""
        stored = [each for each in store.list(f"{self.target}/{FOLDER}/") if each.key.endswith(".json")]
        given_up = 0
        for number, each in enumerate(stored):
            if now - each.modified > LONGEST or len(stored) - number > MOST:
                store.delete(each.key)
                given_up += 1
            else:
                yield each.key
        if given_up:
            log.warning("given up messages that waited", count=given_up, store=store.url)

    def settle(self, store: Store, key: str, message: Waiting, left: Sequence[str]) -> None:
        """Keep a message for those who are left, or delete it where nobody is."""
        if not left:
            store.delete(key)
        elif tuple(left) != message.to:
            store.put(key, BytesReader(_dumped(Waiting(event=message.event, to=tuple(left)))))

    def _key(self, event: RunEvent) -> str:
        return f"{self.target}/{FOLDER}/{event.time.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}-{event.id}.json"


def _dumped(message: Waiting) -> bytes:
    """As it is stored. Letters that are none, as in paths, become question marks."""
    text = json.dumps(_ADAPTER.dump_python(message, mode="python"), default=str, ensure_ascii=False, indent=2)
    return text.encode(errors="replace") + b"\n"


def _read(store: Store, key: str) -> Waiting | None:
    """A message; None for one that is gone, or cannot be read: of a newer pgproof it may be, so it is left there."""
    try:
        with store.open(key) as reader:
            data = read_exactly(reader, _LIMIT)
        return read_document(data, _ADAPTER, newest=FORMAT, what=f"the message {key}")
    except ObjectMissing:
        return None
    except IntegrityFailed as error:
        log.warning("a message that waits cannot be read", object=key, reason=error.message)
        return None
