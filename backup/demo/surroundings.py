"""What the demo is kept apart from: the user's own databases and buckets, and signals while a server starts.

Owns the names of the variables that could lead elsewhere. Must not set any.
"""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_LEADS_ELSEWHERE = re.compile(r"PG.*|AWS_.*|DATABASE_URL|.*_proxy", re.IGNORECASE)
"""libpq's and ours, S3's, and the proxies that urllib takes even for 127.0.0.1."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def kept_apart() -> Iterator[None]:
    """Within it the process has none of the variables that say where databases and buckets are.

    libpq reads them by itself: with PGHOSTADDR set, an address that names our own server leads to another one.
    """
    taken = {name: value for name, value in os.environ.items() if _LEADS_ELSEWHERE.fullmatch(name)}
    for name in taken:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(taken)


@contextmanager
def signals_held() -> Iterator[None]:
    """Within it a first signal waits until the end; a second one does not.

    A signal becomes an exception wherever it meets us. Between the start of a server and the moment when somebody
    is bound to stop it, that would leave the server behind.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[int] = []
    handlers = {each: signal.getsignal(each) for each in _SIGNALS}

    def hold(signum: int, _frame: FrameType | None) -> None:
        waiting.append(signum)
        if len(waiting) > 1:
            let_in()

    def let_in() -> None:
        for each, handler in handlers.items():
            signal.signal(each, handler)
        first, waiting[:] = waiting[:1], []
        for signum in first:
            signal.raise_signal(signum)

    for each in _SIGNALS:
        signal.signal(each, hold)
    try:
        yield
    finally:
        let_in()
