"""Runs as child processes of the service: this very pgproof, with the settings that the service has.

Owns their processes and logs. They are known until the service ends, and end with it, cleaned up as on any signal.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from signal import SIGTERM
from typing import Any

from backup.api.runs import Busy, KeyReused, Log, Order, Run, address_of
from backup.bootstrap import make_store, named_target, now
from backup.domain.marks import LEASE
from backup.errors import ConfigurationError, NotFound, PgproofError, UsageError
from backup.limits import in_time
from backup.logs import log, redact
from backup.settings import Settings, StoreSettings
from backup.stream.child import Child
from backup.workflow.runs import read_mark
from backup.workflow.watch import Watch

_MOST_KEPT = 500
"""Runs that are remembered."""
_RESULT_LIMIT = 4 << 20
"""Bytes of a result that are read; more is no result of ours."""
_GRACE = (15.0, 5.0)
"""Seconds in which runs clean up when the service ends, and then those in which they end without that."""
_PATIENCE = 5.0
"""Seconds that a store has to say who holds its lease. A guess."""
_NOT_PASSED_ON = ("PGPROOF_API_TOKENS", "PGPROOF_API_TOKENS_FILE", "PGPROOF_TERMINATION_LOG", "PGPROOF_JSON")


@dataclass(slots=True, kw_only=True)
class _Process:
    """A run and its process."""

    id: str
    order: Order
    child: Child
    started: datetime
    log: Log = field(default_factory=Log)
    ended: datetime | None = None
    exit_code: int | None = None
    result: dict[str, Any] | None = None
    attended: threading.Event = field(default_factory=threading.Event)

    @property
    def run(self) -> Run:
        code = self.exit_code
        error = (self.result or {}).get("error")
        return Run(
            id=self.id,
            kind=self.order.kind,
            state="running" if code is None else "failed" if code else "succeeded",
            started=self.started,
            ended=self.ended,
            exit_code=code,
            outcome=error.get("message") if isinstance(error, dict) else None,
            result=self.result,
            url=address_of(self.id),
            log=f"{address_of(self.id)}/log",
        )


class Children:
    """Runs that are child processes.

    Args:
        settings: of the service.
        stores: that it works on.
        words: of the command line that say which settings these are, such as --config.
        watch: is told to look when a run has ended.
    """

    def __init__(
        self, settings: Settings, stores: Sequence[StoreSettings], words: Sequence[str], *, watch: Watch
    ) -> None:
        self._settings = settings
        self._target = named_target(settings)
        self._stores = tuple(stores)
        self._words = tuple(words)
        self._watch = watch
        self._known: OrderedDict[str, _Process] = OrderedDict()
        self._lock = threading.Lock()
        self._stopping = False

    def start(self, order: Order) -> Run:
        """See Runner."""
        if order.database is not None:
            raise UsageError(
                "there are no databases to choose from here",
                hint="leave out `database`; a release in a cluster has them",
            )
        if order.kind == "backup" and order.target not in {None, self._target}:
            raise UsageError(f"this service backs up {self._target or 'no database'}, not {order.target}")
        if order.kind == "sync":
            self._settings.sync.conninfo  # noqa: B018 -- raises where there is none
        before = self._known_or_busy(order)
        if before:
            return before
        if order.kind == "backup":
            self._refuse_beside_another()
        with self._lock:
            return self._known_or_busy(order) or self._begin(order).run

    def find(self, run: str) -> Run:
        """See Runner."""
        return self._get(run).run

    def log_of(self, run: str) -> Log:
        """See Runner."""
        return self._get(run).log

    def all(self) -> Sequence[Run]:
        """See Runner."""
        return [each.run for each in reversed(list(self._known.values()))]

    def stop(self) -> None:
        """End all of them, and wait for that: they clean up."""
        with self._lock:
            self._stopping = True
            running = self._running()
        for seconds in _GRACE:
            for each in running:
                each.child.terminate()
            end = time.monotonic() + seconds
            for each in running:
                each.attended.wait(max(0.0, end - time.monotonic()))
            running = [each for each in running if not each.attended.is_set()]
        for each in running:
            log.warning("a run did not end and was killed", run=each.id)
            each.child.kill()

    def _get(self, run: str) -> _Process:
        found = self._known.get(run)
        if found is None:
            raise NotFound(f"no run {run}", hint="runs are known until the service is started again")
        return found

    def _running(self) -> list[_Process]:
        return [each for each in self._known.values() if each.exit_code is None]

    def _known_or_busy(self, order: Order) -> Run | None:
        """The run that was started by the same key. Raises Busy where another of the kind is under way."""
        before = self._by_key(order)
        busy = next((each for each in self._running() if each.order.kind == order.kind), None)
        if busy and before is None:
            raise Busy(f"a {order.kind} is under way already", run=busy.id)
        return before

    def _by_key(self, order: Order) -> Run | None:
        """The run that was started by the same key."""
        if order.key is None:
            return None
        for each in list(self._known.values()):
            if each.order.key == order.key:
                if (each.order.kind, each.order.words) != (order.kind, order.words):
                    raise KeyReused("this Idempotency-Key came with another order before", hint="use a new key for it")
                return each.run
        return None

    def _refuse_beside_another(self) -> None:
        """Refuse a backup while somebody else's has the lease; a store that does not answer objects to nothing."""
        target = self._target
        down = {each.store for each in self._watch.sightings() if not each.up}
        for each in self._stores if target else ():
            store = make_store(each)
            if store.url in down:
                continue
            try:
                mark = in_time(partial(read_mark, store, f"{target}/{LEASE}"), _PATIENCE)
            except (PgproofError, TimeoutError) as error:
                log.debug("the lease was not looked at", store=each.url, reason=str(error))
                continue
            if mark and mark.holds(now()) and not any(each.order.kind == "backup" for each in self._running()):
                raise Busy(f"another run of {target} is under way, on {mark.host}")

    def _begin(self, order: Order) -> _Process:
        if self._stopping:
            raise ConfigurationError("the service is about to end")
        started, lines = now(), Log()
        of = [f"--target={order.target}"] if order.target else []
        argv = [sys.executable, "-P", "-m", "backup", order.kind, "--json", *self._words, *of, *order.words]
        child = Child(
            argv, env=_environment(os.environ), stdout=True, on_stderr=lines.add, stop_signals=(SIGTERM, SIGTERM)
        )
        name = f"{order.kind}-{started:%Y%m%dt%H%M%Sz}-{secrets.token_hex(3)}"
        process = _Process(id=name, order=order, child=child, started=started, log=lines)
        self._known[name] = process
        while len(self._known) > _MOST_KEPT and next(iter(self._known.values())).exit_code is not None:
            self._known.popitem(last=False)
        threading.Thread(target=self._attend, args=(process,), name=name, daemon=True).start()
        log.info("a run has begun", run=name, kind=order.kind, by=order.by)
        return process

    def _attend(self, process: _Process) -> None:
        """Read what a child prints, wait for its end, and note it."""
        data = b""
        with process.child as child:
            while piece := child.read(1 << 16):
                data = (data + piece)[: _RESULT_LIMIT + 1]
            status = child.wait()
        process.result = _result(data)
        process.ended = now()
        process.log.add(f"ended with exit code {status if status >= 0 else 128 - status}")
        process.exit_code = status if status >= 0 else 128 - status
        process.log.close()
        process.attended.set()
        self._watch.hurry()
        tell = log.warning if status else log.info
        tell("a run has ended", run=process.id, kind=process.order.kind, exit_code=process.exit_code)


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    """That of the service without its tokens, with events as text: they are a log for people."""
    kept = {name: value for name, value in environ.items() if name not in _NOT_PASSED_ON}
    return {**kept, "PGPROOF_LOG_FORMAT": "text"}


def _result(data: bytes) -> dict[str, Any] | None:
    if len(data) > _RESULT_LIMIT:
        return None
    try:
        found = json.loads(redact(data.decode("utf-8", "replace")))
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
