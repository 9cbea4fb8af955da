"""Figures after each run: to a Pushgateway, and into a file of the node exporter.

Owns the groups of a Pushgateway: job `pgproof` with store and target for what a store has, with target and action for a
run. A push replaces a group as a whole, so what a store that is down said last stays.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit

from prometheus_client.exposition import basic_auth_handler, default_handler, push_to_gateway, pushadd_to_gateway

from backup.domain.events import ENDS, EventType, RunEvent
from backup.domain.metrics import Action, Ended, Sample, Sighting, measure, measure_run
from backup.errors import ConfigurationError, NotificationFailed, PgproofError
from backup.limits import in_time
from backup.logs import log, redact
from backup.notify.exposition import registry_of, write_file

JOB = "pgproof"
_ACTIONS: dict[str, Action] = {"backup": "backup", "restore": "restore", "drill": "drill"}
_NO_RUN: frozenset[EventType] = frozenset({"backup.missed"})
"""Of failures those that tell of no run: what the last one left must not be overwritten."""
_LEAST = 0.1
"""Seconds that anything has in any case."""
_HINT = "check PGPROOF_PUSHGATEWAY and the service behind it; the run itself is as it was told"
Look = Callable[[Sequence[str]], Sequence[Sighting]]
"""Looks at all stores, at these targets or at all, and raises nothing for one that is down."""


class Pushgateway:
    """A Pushgateway at an address, which may have a user and a password.

    Raises:
        ConfigurationError: it is no web address.
    """

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if not host:
            raise ConfigurationError("metrics.pushgateway is no web address", hint="https://user:password@host:9091")
        shown = f"[{host}]" if ":" in host else host
        self.place = f"{shown}:{port}" if port else shown
        self._gateway = f"{parts.scheme}://{self.place}{parts.path}"
        self._user, self._password = unquote(parts.username or ""), unquote(parts.password or "")

    def push(self, samples: Sequence[Sample], group: dict[str, str], *, within: float, whole: bool = True) -> None:
        """Replace what it has of a group, or only the figures of these names. Raises NotificationFailed."""
        handler = default_handler
        if self._user or self._password:
            handler = partial(basic_auth_handler, username=self._user, password=self._password)
        push = push_to_gateway if whole else pushadd_to_gateway
        try:
            push(self._gateway, JOB, registry_of(samples), grouping_key=group, timeout=within, handler=handler)
        except HTTPError as error:
            with error:
                said = " ".join(error.read(400).decode(errors="replace").split())
            raise self._failed(f"answered {error.code} {error.reason}{f': {said}' if said else ''}") from error
        except (URLError, OSError, HTTPException) as error:
            reason = error.reason if isinstance(error, URLError) else error
            raise self._failed(str(reason) or type(error).__name__) from error

    def _failed(self, what: str) -> NotificationFailed:
        return NotificationFailed(f"pushgateway at {self.place}: {redact(what)}", hint=_HINT)


class Metrics:
    """Leaves the figures of a run and of the stores. Made when the run begins: it tells how long that took.

    Args:
        look: at the stores.
        gateway: a Pushgateway.
        file: of the node exporter.
        timeout: seconds for one push.
    """

    def __init__(
        self, look: Look, *, gateway: Pushgateway | None = None, file: Path | None = None, timeout: float = 10
    ) -> None:
        self._look = look
        self._gateway = gateway
        self._file = file
        self._timeout = timeout
        self._begun = time.monotonic()

    @property
    def name(self) -> str:
        """Where they are left."""
        places = [f"pushgateway at {self._gateway.place}"] if self._gateway else []
        places += [str(self._file)] if self._file else []
        return "metrics: " + ", ".join(places)

    @property
    def key(self) -> str:
        """None: what a later run leaves is of then."""
        return ""

    def wants(self, event: EventType, /) -> bool:
        """How runs end."""
        return _action_of(event) is not None

    @property
    def seconds(self) -> float:
        """Since the run began."""
        return time.monotonic() - self._begun

    def tell(self, event: RunEvent, /, *, within: float) -> None:
        """See ports.Notifier."""
        action = _action_of(event.type)
        if action:
            code = event.error.get("exit_code") if event.error else 0
            self.leave(
                Ended(
                    action=action,
                    target=event.target or "",
                    time=event.time,
                    exit_code=code if isinstance(code, int) else 1,
                    seconds=self.seconds,
                ),
                within=within,
            )

    def leave(self, ended: Ended, *, within: float) -> None:
        """Leave the figures of a run that has ended, and of what the stores have of its target now.

        Raises:
            NotificationFailed: they could not be left everywhere.
        """
        end = time.monotonic() + max(within, _LEAST)
        run = measure_run(ended)
        try:
            wanted = (ended.target,) if ended.target else ()
            sightings = in_time(lambda: self._look(wanted), within / 2)
        except TimeoutError:
            log.debug("the stores were not seen in time", seconds=within / 2)
            sightings = ()
        except PgproofError as error:
            log.debug("the stores were not seen", reason=error.message)
            sightings = ()
        failures: list[NotificationFailed] = []
        if self._file:
            try:
                write_file(self._file, [*measure(sightings), *run])
            except NotificationFailed as error:
                failures.append(error)
        if self._gateway:
            try:
                self._push(self._gateway, sightings, run, ended, end)
            except NotificationFailed as error:
                failures.append(error)
        if failures:
            first = failures[0]
            message = "; ".join(each.message for each in failures)
            raise NotificationFailed(message, detail=first.detail, hint=first.hint) from first

    def _push(
        self, gateway: Pushgateway, sightings: Iterable[Sighting], run: Sequence[Sample], ended: Ended, end: float
    ) -> None:
        """Push group by group; the first that fails ends it, for the others would wait as long."""
        groups: list[tuple[dict[str, str], Sequence[Sample]]] = [
            ({"target": ended.target, "action": ended.action}, run)
        ]
        for sighting in sightings:
            found = defaultdict(list)
            for sample in measure([sighting]):
                found[sample.labels.get("target", "")].append(sample)
            groups += [
                ({"store": sighting.store} | ({"target": target} if target else {}), samples)
                for target, samples in found.items()
            ]
        for group, samples in groups:
            left = max(min(self._timeout, end - time.monotonic()), _LEAST)
            down = "target" not in group and len(samples) == 1  # pgproof_store_up alone: the others stay as they were
            try:
                in_time(partial(gateway.push, samples, group, within=left, whole=not down), left)
            except TimeoutError:
                raise NotificationFailed(
                    f"pushgateway at {gateway.place}: no answer in {left:.3g} s", hint=_HINT
                ) from None


def _action_of(kind: EventType) -> Action | None:
    """The run whose end an event tells; a prune leaves its figures by itself, for only its failure is an event."""
    return _ACTIONS.get(kind.partition(".")[0]) if kind in ENDS - _NO_RUN else None
