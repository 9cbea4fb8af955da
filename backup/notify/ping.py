"""A dead-man switch by the convention of healthchecks.io: it is told that a backup starts, succeeded or failed.

Who watches it hears of a job that never ran, which no job can tell. Source: https://healthchecks.io/docs/http_api/
"""

from __future__ import annotations

from backup.domain.events import EventType, RunEvent
from backup.domain.message import body
from backup.notify.post import Post

_LONGEST = 10_000
"""Bytes of a body; what the smallest of these services keep."""
_HINT = "check PGPROOF_PING_URL and the service behind it; the run itself is as it was told"


class Ping:
    """Tells one address of each backup, with the run's id, by which start and end belong together.

    What comes too late is of no use there, so nothing is kept for it.

    Args:
        url: of the check; a secret.
        timeout: seconds for one attempt.

    Raises:
        ConfigurationError: the address cannot be one.
    """

    def __init__(self, url: str, *, timeout: float = 10) -> None:
        self._post = Post(url, setting="notify.ping.url", what="ping", hint=_HINT, timeout=timeout)

    @property
    def name(self) -> str:
        """The host alone: the path is a password."""
        return self._post.name

    @property
    def key(self) -> str:
        """None."""
        return ""

    def wants(self, event: EventType, /) -> bool:
        """All that happens to backups, but that one is missing: that is what the service itself finds out."""
        return (event.startswith("backup.") and event != "backup.missed") or event == "notify.test"

    def tell(self, event: RunEvent, /, *, within: float) -> None:
        """POST to the address itself, or to what the convention adds to it."""
        path = {"backup.started": "/start", "backup.succeeded": "", "notify.test": "/log"}.get(event.type, "/fail")
        data = body(event).encode(errors="replace")
        told = data if len(data) <= _LONGEST else b"..." + data[3 - _LONGEST :]  # the end of the log matters most
        plain = {"content-type": "text/plain; charset=utf-8"}
        self._post.send(told, lambda: plain, within=within, path=path, query={"rid": str(event.run)})
