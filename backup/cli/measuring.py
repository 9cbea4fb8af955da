"""Leaves the figures of a run that nobody is told of; a run that is announced leaves them by the way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backup.bootstrap import now
from backup.bootstrap.telling import make_metrics
from backup.cli.announcing import HURRY, PATIENCE
from backup.cli.failures import as_told
from backup.cli.options import Invocation
from backup.cli.targets import named_target
from backup.domain.metrics import Action, Ended
from backup.errors import Interrupted
from backup.signals import AsFarAsKnown, undisturbed
from backup.workflow.announce import record

if TYPE_CHECKING:
    from backup.notify.metrics import Metrics


@dataclass(slots=True)
class Measurement:
    """What will be left of a run; its command fills in the target."""

    target: str | None


@contextmanager
def measured(invocation: Invocation, action: Action, *, quiet: bool = False) -> Iterator[Measurement]:
    """Leave the figures of what is done within, however it ends; what is raised is raised again.

    Args:
        invocation: of the command.
        action: what it does.
        quiet: nothing is done that anybody needs to know.

    Raises:
        ConfigurationError: they are to be left where that is not possible; nothing was done yet.
    """
    metrics = None if quiet else make_metrics(invocation.settings)
    measurement = Measurement(None)
    with AsFarAsKnown():
        measurement.target = named_target(invocation)
    try:
        yield measurement
    except Exception as error:
        within = HURRY if isinstance(error, Interrupted) else PATIENCE
        _leave(metrics, action, measurement, as_told(error).status, within=within)
        raise
    _leave(metrics, action, measurement, 0, within=PATIENCE)


def _leave(metrics: Metrics | None, action: Action, measurement: Measurement, code: int, *, within: float) -> None:
    if metrics is None:
        return
    ended = Ended(action=action, target=measurement.target or "", time=now(), exit_code=code, seconds=metrics.seconds)
    with suppress(Interrupted), undisturbed():
        record(metrics.name, action, lambda: metrics.leave(ended, within=within))
