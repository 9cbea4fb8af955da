"""`pgproof serve` on a free port, and a caller with a token."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from tests.support.command import Command, Running
from tests.support.monitoring import answers, free_port

USUAL = "usual-token-of-a-test"
READER = "reader-token-of-a-test"
MASTER = "master-token-of-a-test"
TOKENS = f"{USUAL},{READER}=read,{MASTER}=read+data+trigger+restore"


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service that answers."""

    running: Running
    url: str

    @property
    def address(self) -> str:
        """Host and port."""
        return self.url.partition("://")[2]

    def caller(self, token: str | None = USUAL, **settings: Any) -> httpx.Client:  # noqa: ANN401 -- as httpx takes them  # noqa: ANN401 -- as httpx takes them
        """Somebody who asks it, with a token or without."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False, **settings)

    def get(self, path: str, token: str | None = USUAL, **settings: Any) -> httpx.Response:  # noqa: ANN401 -- the same  # noqa: ANN401 -- as httpx takes them
        """One answer."""
        with self.caller(token) as caller:
            return caller.get(path, **settings)

    def post(self, path: str, token: str | None = USUAL, **settings: Any) -> httpx.Response:  # noqa: ANN401 -- the same  # noqa: ANN401 -- as httpx takes them
        """One answer."""
        with self.caller(token) as caller:
            return caller.post(path, **settings)


@contextmanager
def serving(pgproof: Command, *arguments: str, **changes: str | None) -> Iterator[Service]:
    """It, once it is ready."""
    port = free_port()
    changes = {"PGPROOF_API_TOKENS": TOKENS, **changes}
    with pgproof.start("serve", "--port", str(port), "--every", "1", *arguments, **changes) as running:
        running.wait_for(lambda: answers(f"http://127.0.0.1:{port}/readyz"))
        yield Service(running=running, url=f"http://127.0.0.1:{port}")
