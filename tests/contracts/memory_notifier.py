"""A notifier in memory: the shortest thing that keeps the contract of ports.Notifier. For tests of what tells."""

from __future__ import annotations

from backup.domain.events import EventType, RunEvent
from backup.errors import NotificationFailed


class MemoryNotifier:
    """A ports.Notifier that remembers what it was told, and how much time it had; `failure` is raised instead."""

    def __init__(self, failure: Exception | None = None, *, name: str = "memory") -> None:
        self.name = self.key = name
        self.heard: list[RunEvent] = []
        self.limits: list[float] = []
        self.failure = failure

    def wants(self, event: EventType, /) -> bool:
        return event != "backup.started"

    def tell(self, event: RunEvent, /, *, within: float) -> None:
        self.limits.append(within)
        if self.failure:
            raise self.failure
        self.heard.append(event)

    def go_deaf(self) -> None:
        """Hear nothing any more."""
        self.failure = NotificationFailed("memory: it is full")
