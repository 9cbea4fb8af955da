"""Messages that could not be delivered wait in the store, and are sent by the next run.

Owns their keys, `<target>/outbox/<time>-<id>.json`, how many wait and for how long. Whom a message is for stands there
as a key that tells nothing of the address; the message itself holds no secret.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pydantic import TypeAdapter

from backup.domain.documents import read_document
from backup.domain.events import RunEvent
from backup.errors import IntegrityFailed, ObjectMissing, PgproofError
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
        data = _ADAPTER.dump_json(Waiting(event=kept, to=tuple(to)), indent=2) + b"\n"
        failure: PgproofError | None = None
        for store in self.stores:
            try:
                store.put(self._key(event), BytesReader(data))
            except PgproofError as error:
                failure = error
            else:
                return
        if failure:
            raise failure

    def waiting(self, now: datetime) -> list[tuple[Store, str, Waiting]]:
        """All that waits, the oldest first, each with its store and key; what waited for too long is deleted."""
        found = []
        for store in self.stores:
            keys = [stored.key for stored in store.list(f"{self.target}/{FOLDER}/") if stored.key.endswith(".json")]
            for number, key in enumerate(keys):
                message = _read(store, key)
                if message is None:
                    continue
                if now - message.event.time > LONGEST or len(keys) - number > MOST:
                    log.warning("given up", message=message.event.type, time=message.event.time, object=key)
                    store.delete(key)
                else:
                    found.append((store, key, message))
        return sorted(found, key=lambda each: each[2].event.time)

    def settle(self, store: Store, key: str, message: Waiting, left: Sequence[str]) -> None:
        """Keep a message for those who are left, or delete it where nobody is."""
        if not left:
            store.delete(key)
        elif tuple(left) != message.to:
            data = _ADAPTER.dump_json(Waiting(event=message.event, to=tuple(left)), indent=2) + b"\n"
            store.put(key, BytesReader(data))

    def _key(self, event: RunEvent) -> str:
        return f"{self.target}/{FOLDER}/{event.time.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}-{event.id}.json"


def _read(store: Store, key: str) -> Waiting | None:
    """A message; None for one that is gone, or cannot be read, which is told and deleted."""
    try:
        with store.open(key) as reader:
            data = read_exactly(reader, _LIMIT)
        return read_document(data, _ADAPTER, newest=FORMAT, what=f"the message {key}")
    except ObjectMissing:
        return None
    except IntegrityFailed as error:
        log.warning("a message that waited cannot be read", object=key, reason=error.message)
        store.delete(key)
        return None
