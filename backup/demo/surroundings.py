"""What the demo is kept apart from: the user's own databases and buckets, and signals at the wrong moment.

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
    """Within it signals wait; the first of them is let in at the end.

    A signal becomes an exception wherever it meets us. Between the start of a server and the moment when somebody
    is bound to stop it, or half-way through deleting its files, that would leave something behind.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[int] = []

    def hold(signum: int, _frame: FrameType | None) -> None:
        waiting.append(signum)

    before = {each: signal.signal(each, hold) for each in _SIGNALS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
        if waiting:
            signal.raise_signal(waiting[0])
