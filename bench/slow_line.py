"""A line to a server of this machine that lets only so many bytes a second pass to it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_PIECE = 1 << 16


@contextmanager
def slow_line(port: int, rate: int) -> Iterator[int]:
    """A port of 127.0.0.1 that leads to `port`, at `rate` bytes a second for all connections together."""
    pace = _Pace(rate)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    threading.Thread(target=_join, args=(client, port, pace), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)


class _Pace:
    """Lets bytes pass no faster than a rate, whoever sends them."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._free = time.monotonic()
        self._lock = threading.Lock()

    def pass_through(self, size: int) -> None:
        with self._lock:
            self._free = max(self._free, time.monotonic()) + size / self._rate
            pause = self._free - time.monotonic()
        time.sleep(max(pause, 0))


def _join(client: socket.socket, port: int, pace: _Pace) -> None:
    with client, suppress(OSError), socket.create_connection(("127.0.0.1", port)) as server:
        threading.Thread(target=_copy, args=(server, client, None), daemon=True).start()
        _copy(client, server, pace)


def _copy(source: socket.socket, to: socket.socket, pace: _Pace | None) -> None:
    with suppress(OSError):
        while piece := source.recv(_PIECE):
            if pace:
                pace.pass_through(len(piece))
            to.sendall(piece)
        to.shutdown(socket.SHUT_WR)
