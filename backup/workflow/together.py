"""Several pieces of work at the same time, of which one that fails ends all.

Owns their threads. Must be used from the thread that hears signals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from backup.signals import undisturbed

_STEP = 0.5
"""Seconds between two looks, so that signals are heard."""
_T = TypeVar("_T")


def together(works: Sequence[Callable[[], _T]], give_up: Callable[[], None]) -> list[_T]:
    """Do each on a thread of its own; what each returned, in order.

    Args:
        works: what is done.
        give_up: makes all that are under way fail soon.

    Raises:
        Exception: what the first one to fail raised, or a signal. All of them have ended by then.
    """
    failures: list[BaseException] = []

    def run(work: Callable[[], _T]) -> _T:
        try:
            return work()
        except BaseException as error:
            failures.append(error)
            raise

    with ThreadPoolExecutor(len(works), thread_name_prefix="lane") as pool:
        futures: list[Future[_T]] = []
        try:
            futures += [pool.submit(run, work) for work in works]
            while wait(futures, timeout=_STEP, return_when=FIRST_EXCEPTION).not_done and not failures:
                pass
        except BaseException:
            _end(futures, give_up)
            raise
        if failures:
            _end(futures, give_up)
            raise failures[0]
        return [future.result() for future in futures]


def _end(futures: Sequence[Future[_T]], give_up: Callable[[], None]) -> None:
    with undisturbed():
        give_up()
        wait(futures)
