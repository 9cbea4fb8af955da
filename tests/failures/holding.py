"""Places where a run can be held up: a proxy that holds one line, and a program that waits before it starts.

The real programs and servers still do the work; these only say when.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.fixtures.proxy import Proxy


class HoldingProxy(Proxy):
    """Holds the line by which the byte passes that was named; all others go on, and nobody is told anything."""

    def __init__(self, host: str, port: int) -> None:
        self._limit: int | None = None
        self._held = threading.Event()
        self._released = threading.Event()
        super().__init__(host, port)

    def hold_after(self, size: int) -> None:
        """Hold the line that carries byte number `size` from now on, until `release`."""
        self._limit = self.passed + size

    def is_holding(self) -> bool:
        """Whether it holds one."""
        return self._held.is_set()

    def release(self) -> None:
        """Let it pass."""
        self._released.set()

    def close(self) -> None:
        """End it."""
        self.release()
        super().close()

    def _count(self, data: bytes) -> tuple[bytes, bool]:
        counted = super()._count(data)
        if self._limit is not None and self.passed >= self._limit and not self._held.is_set():
            self._held.set()
            self._released.wait()
        return counted


@contextmanager
def holding(host: str, port: int) -> Iterator[HoldingProxy]:
    """Such a proxy before a server, as long as the context."""
    proxy = HoldingProxy(host, port)
    try:
        yield proxy
    finally:
        proxy.close()


def through(proxy: Proxy, url: str) -> str:
    """The same address, by the proxy."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{parts.netloc.rpartition(':')[0]}:{proxy.port}").geturl()


class Gate:
    """A folder with the real programs, where one of them waits until it is let through.

    Args:
        folder: to be made.
        bin_dir: the real programs.
        program: the one that waits.
    """

    def __init__(self, folder: Path, bin_dir: Path, program: str = "pg_dump") -> None:
        self.folder = folder
        folder.mkdir()
        for name in {"pg_dump", "pg_restore", "pg_dumpall"} - {program}:
            (folder / name).symlink_to(bin_dir / name)
        script = folder / program
        wait = f'touch "{folder}/reached"; until [ -e "{folder}/open" ]; do sleep 0.02; done'
        script.write_text(f'#!/bin/sh\n[ "$1" = --version ] || {{ {wait}; }}\nexec "{bin_dir}/{program}" "$@"\n')
        script.chmod(0o755)

    def is_reached(self) -> bool:
        """Whether it waits; of pg_dump: the snapshot is taken, no table is locked yet."""
        return (self.folder / "reached").exists()

    def open(self) -> None:
        """Let it go on."""
        (self.folder / "open").touch()
