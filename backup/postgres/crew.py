"""Programs at work at the same time, each on a thread of ours: the first that fails ends them all.

Owns the threads. They tell the main thread what happens; it alone decides what is begun next, and hears signals.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from queue import Empty, SimpleQueue
from typing import Self

from backup.errors import RestoreFailed
from backup.logs import log
from backup.signals import undisturbed
from backup.stream.child import Child

_STEP = 0.2
"""Seconds after which whoever waits looks around, though nothing was told."""

_GRACE = 5.0
"""Seconds for threads to end when their programs were told to; one that waits for a store may take longer. A guess."""


class Crew:
    """Use it as a context manager: leaving it ends what is still at work.

    `start`, `wait` and `busy` are for the thread that made it, `tell` and `hold` for every other.
    """

    def __init__(self) -> None:
        self.busy = 0
        self._told: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._children: set[Child] = set()
        self._given_up = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        with undisturbed():
            self._give_up()

    def start(self, name: str, work: Callable[[], None], then: Callable[[], None]) -> None:
        """Do `work` on a thread of its own; when it has ended well, `then` is called by `wait`."""
        self.busy += 1
        context = contextvars.copy_context()  # of log lines
        thread = threading.Thread(target=partial(context.run, self._run, work, then), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def tell(self, what: Callable[[], None]) -> None:
        """Let `wait` call this."""
        self._told.put(what)

    def wait(self) -> None:
        """Wait a moment for something to be told, and carry it out. Raises what the first failing work raised."""
        try:
            what = self._told.get(timeout=_STEP)
        except Empty:
            return
        what()

    @contextmanager
    def hold(self, child: Child) -> Iterator[None]:
        """A program is at work within. Raises RestoreFailed where it is not needed any more."""
        with self._lock:
            if self._given_up:
                raise RestoreFailed("the restore was given up")
            self._children.add(child)
        try:
            yield
        finally:
            with self._lock:
                self._children.discard(child)

    def _run(self, work: Callable[[], None], then: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 -- raised where somebody waits
            self.tell(partial(self._failed, error))
        else:
            self.tell(partial(self._ended, then))

    def _failed(self, error: BaseException) -> None:
        self.busy -= 1
        raise error

    def _ended(self, then: Callable[[], None]) -> None:
        self.busy -= 1
        then()

    def _give_up(self) -> None:
        with self._lock:
            self._given_up = True
            for child in self._children:
                child.terminate()
        end = time.monotonic() + _GRACE
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        with self._lock:
            left = list(self._children)
        for child in left:
            log.debug("a program is ended under its thread", program=child.program)
            child.stop()
