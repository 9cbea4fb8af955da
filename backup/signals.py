"""Signals that ask us to end: turned into an exception once, and kept waiting while something is cleaned up.

Owns the handlers of the process. Whoever cleans up says so with `undisturbed`; everybody else need not know.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from backup.errors import Interrupted

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(slots=True)
class _State:
    """Of this process: what arrived first, how deep we are in cleaning up, and whether that was told."""

    first: int | None = None
    shields: int = 0
    raised: bool = False


_state = _State()


def _stop(signum: int, _frame: FrameType | None) -> None:
    """A handler that does nothing from the second signal on; not SIG_IGN, for children would inherit that."""
    if _state.first is None:
        _state.first = signum
        _raise_pending()


def _raise_pending() -> None:
    if _state.first is not None and not _state.raised and not _state.shields:
        _state.raised = True
        raise Interrupted(_state.first)


@contextmanager
def interruptible(*, last: bool = False) -> Iterator[None]:
    """Within it the first signal raises Interrupted in the main thread; more of them do not disturb the cleaning up.

    Args:
        last: the process ends behind it: a signal that comes then has nothing to stop, and changes no exit status.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _state.first, _state.raised = None, False
    caught = [each for each in _SIGNALS if each != signal.SIGHUP or signal.getsignal(each) != signal.SIG_IGN]
    before = {each: signal.signal(each, _stop) for each in caught}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, signal.SIG_IGN if last else handler)


@contextmanager
def undisturbed() -> Iterator[None]:
    """For cleaning up: a first signal waits until the block has ended, and is raised then. May be nested.

    On another thread than the main one there is nothing to do, for signals never interrupt it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _state.shields += 1
    try:
        yield
    finally:
        _state.shields -= 1
    _raise_pending()
