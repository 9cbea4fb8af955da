"""`pgproof notify`: try out whether messages arrive."""

from __future__ import annotations

import socket
from uuid import uuid4

from backup import __version__
from backup.bootstrap import now
from backup.bootstrap.telling import make_receivers
from backup.cli.announcing import PATIENCE
from backup.cli.options import Invocation, command, option
from backup.cli.output import Table
from backup.cli.targets import named_target
from backup.domain.events import RunEvent
from backup.errors import ConfigurationError, NotificationFailed, UsageError
from backup.logs import redact
from backup.ports import Notifier

_EACH = PATIENCE / 2


@command("notify")
@option("--test", "test", is_flag=True, envvar="PGPROOF_NOTIFY_TEST", help="Send a test message to everybody.")
def notify(invocation: Invocation, *, test: bool) -> None:
    """Send a test message to everybody who would be told of runs, whatever they are told of, and say who heard it.

    Exit status 11 means that somebody did not.
    """
    if not test:
        raise UsageError("say what is to be done", hint="pgproof notify --test sends a test message to everybody")
    receivers, useless = make_receivers(invocation.settings)
    if not receivers and not useless:
        raise ConfigurationError(
            "nobody is told of anything", hint="set PGPROOF_WEBHOOK_URL, PGPROOF_NOTIFY or PGPROOF_PING_URL"
        )
    event = _event(named_target(invocation))
    results = [(each.name, _reason(each, event)) for each in receivers]
    results += [(error.message.partition(",")[0], redact(error.message)) for error in useless]
    result = {"receivers": [{"name": name, "heard": not why, "reason": why or None} for name, why in results]}
    deaf = [name for name, why in results if why]
    if not (deaf and invocation.json):
        rows = [(name, "no" if why else "yes", why) for name, why in results]
        invocation.emit(result, Table(columns=("receiver", "heard", "because"), rows=rows))
    if deaf:
        failure = NotificationFailed(f"{len(deaf)} of {len(results)} did not hear it: {', '.join(deaf)}")
        failure.result = result
        raise failure


def _event(target: str | None) -> RunEvent:
    return RunEvent(
        id=f"msg_{uuid4().hex}",
        type="notify.test",
        time=now(),
        run=uuid4(),
        target=target,
        text="this is a test of pgproof: messages arrive here",
        facts={"store": None, "host": socket.gethostname(), "pgproof": __version__},
    )


def _reason(receiver: Notifier, event: RunEvent) -> str:
    """Why it was not heard; empty where it was."""
    try:
        receiver.tell(event, within=_EACH)
    except NotificationFailed as error:
        return redact(error.message)
    return ""
