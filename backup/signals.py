"""Signals that ask us to end: turned into an exception once, and kept waiting while something is cleaned up.

Owns the handlers of the process. Whoever cleans up says so with `undisturbed`; everybody else need not know.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from backup.errors import Interrupted, PgproofError

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


_PATIENCE = 30.0
"""Seconds after the first signal from which on another one ends the process at once, cleaned up or not: for a person
whose Ctrl-C seems to do nothing. As long as Kubernetes waits before it kills."""

_LATER = 0.02
_IMPORT = "<frozen importlib._bootstrap>"
_START = threading.Thread.start.__code__


@dataclass(slots=True)
class _State:
    """Of this process: what arrived first, since when, how deep we are in cleaning up, and whether that was told."""

    first: int | None = None
    since: float = 0.0
    shields: int = 0
    raised: bool = False
    ours: bool = False
    waiting: bool = False


_state = _State()


def _stop(signum: int, frame: FrameType | None) -> None:
    """A handler that does nothing from the second signal on; not SIG_IGN, for children would inherit that."""
    if _state.ours:
        _state.ours = False
    else:
        now = time.monotonic()
        if _state.first is None:
            _state.first, _state.since = signum, now
        elif now - _state.since > _PATIENCE:
            os._exit(128 + signum)
    _raise_pending(frame)


def _raise_pending(frame: FrameType | None = None) -> None:
    if _state.first is None or _state.raised or _state.shields:
        return
    if _in_between(frame):
        _again()
    else:
        _state.raised = True
        raise Interrupted(_state.first)


def _in_between(frame: FrameType | None) -> bool:
    """Whether Python is at something that it does not end cleanly when an exception comes.

    A module that is being imported: it may be swallowed, and leave the import lock held. A thread that is being
    started: Python takes it for one that could not be started, and raises a KeyError of its own if it was.
    """
    while frame is not None:
        if frame.f_code.co_filename == _IMPORT or frame.f_code is _START:
            return True
        frame = frame.f_back
    return False


def _again() -> None:
    """Send the first signal to ourselves once more, a little later.

    From a bare thread, so that `threading` is not entered again in the middle of a start.
    """
    if _state.waiting:  # another signal meets us here, perhaps in the middle of this
        return
    _state.waiting = True

    def send() -> None:
        time.sleep(_LATER)
        _state.waiting, _state.ours = False, True
        signal.pthread_kill(threading.main_thread().ident or 0, _state.first or signal.SIGTERM)

    _thread.start_new_thread(send, ())


def _swallowed(unraisable: sys.UnraisableHookArgs) -> None:
    """Where Python itself drops our exception, in a destructor or a callback, it is raised again elsewhere."""
    if isinstance(unraisable.exc_value, Interrupted):
        _state.raised = False
        _again()
    else:
        sys.__unraisablehook__(unraisable)


@contextmanager
def interruptible(*, last: bool = False) -> Iterator[None]:
    """Within it the first signal raises Interrupted in the main thread; more of them do not disturb the cleaning up.

    One that comes half a minute after the first ends the process at once.

    Args:
        last: the process ends behind it: a signal that comes then has nothing to stop, and changes no exit status.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _state.first, _state.raised, _state.ours, _state.waiting = None, False, False, False
    caught = [each for each in _SIGNALS if each != signal.SIGHUP or signal.getsignal(each) != signal.SIG_IGN]
    before = {each: signal.signal(each, _stop) for each in caught}
    hook, sys.unraisablehook = sys.unraisablehook, _swallowed
    try:
        yield
    finally:
        _state.raised = True  # from here on nobody is told any more
        sys.unraisablehook = hook
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


class AsFarAsKnown:
    """For what is done without where it cannot be found out: no failure of ours leaves the block, but a signal does."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        return isinstance(error, PgproofError) and not isinstance(error, Interrupted)
