"""Time limits for what has none of its own: looking up a name, an answer that comes byte by byte, a dead store.

Owns the threads that are left alone when their time is over; they end with the process.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TypeVar

T = TypeVar("T")


def in_time(work: Callable[[], T], seconds: float) -> T:
    """What `work` returns, if it does within so many seconds; what it raises is raised here.

    Raises:
        TimeoutError: it was left alone.
    """
    ended: SimpleQueue[tuple[T, None] | tuple[None, Exception]] = SimpleQueue()

    def run() -> None:
        try:
            ended.put((work(), None))
        except Exception as error:  # noqa: BLE001 -- raised again where somebody waits
            ended.put((None, error))

    threading.Thread(target=run, name="in time", daemon=True).start()
    try:
        result, error = ended.get(timeout=max(seconds, 0))
    except Empty:
        raise TimeoutError(f"no answer in {seconds:.3g} s") from None
    if error is not None:
        raise error
    return result  # type: ignore[return-value]  # it is a T where there is no error
