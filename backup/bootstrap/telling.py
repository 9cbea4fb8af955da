"""The part of bootstrap that is about telling: who hears of runs, and who is asked how backups stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from backup.bootstrap import make_store, now
from backup.domain.events import events_of
from backup.errors import ConfigurationError
from backup.logs import log
from backup.ports import Notifier
from backup.settings import Settings, StoreSettings

if TYPE_CHECKING:
    from backup.notify.endpoint import Endpoint
    from backup.notify.metrics import Metrics
    from backup.workflow.sightings import Lookout
    from backup.workflow.watch import Watch


def make_notifiers(settings: Settings) -> tuple[Notifier, ...]:
    """Everybody who is told what happened to a run; an address that is of no use is told, and passed over.

    Raises:
        ConfigurationError: somebody cannot be told in the way that is set.
    """
    receivers, useless = make_receivers(settings)
    for error in useless:
        log.warning("nobody is told there", reason=error.message, detail=error.detail, hint=error.hint)
    found: list[Notifier] = [*receivers]
    if settings.kubernetes.cronjob:
        from backup.kube.events import CronJobEvents

        found.append(CronJobEvents(settings.kubernetes.cronjob))
    metrics = make_metrics(settings)
    return (*found, metrics) if metrics else tuple(found)


def make_metrics(settings: Settings) -> Metrics | None:
    """Who leaves the figures of a run, which begins now; None where they are not wanted.

    Raises:
        ConfigurationError: the address of the Pushgateway cannot be one.
    """
    wanted = settings.metrics
    if not (wanted.pushgateway or wanted.file):
        return None
    from backup.notify.metrics import Metrics, Pushgateway
    from backup.workflow.sightings import look_at_all

    return Metrics(
        lambda targets: look_at_all(make_lookouts(tuple(settings.stores.values())), targets, clock=now),
        gateway=Pushgateway(wanted.pushgateway.get_secret_value()) if wanted.pushgateway else None,
        file=wanted.file,
        timeout=wanted.timeout,
    )


def make_lookouts(stores: Sequence[StoreSettings]) -> tuple[Lookout, ...]:
    """The stores as something to look at. Raises ConfigurationError where one has no keys."""
    from functools import partial

    from backup.stores.directory import room_of
    from backup.workflow.sightings import Lookout, nowhere

    return tuple(
        Lookout(store=make_store(each), room=nowhere if each.is_s3 else partial(room_of, each.directory))
        for each in stores
    )


def make_watch(settings: Settings, stores: Sequence[StoreSettings], *, every: int | None = None) -> Watch:
    """A watch over stores, which has not begun; `every` so many seconds, or as is set for the watch."""
    from backup.workflow.watch import Watch

    targets = [settings.target] if settings.target else []
    said = settings.watch
    return Watch(make_lookouts(stores), targets, also=said.targets, every=every or said.every, clock=now)


def make_endpoint(settings: Settings, watch: Watch) -> Endpoint:
    """Where a watch is asked; it listens already. Raises ConfigurationError where it cannot."""
    from backup.notify.endpoint import Endpoint

    return Endpoint(settings.watch.host, settings.watch.port, watch.measure)


def make_receivers(settings: Settings) -> tuple[tuple[Notifier, ...], tuple[ConfigurationError, ...]]:
    """Those who are told over the network, and why an address of chat or mail is of no use.

    Raises:
        ConfigurationError: the webhook or the ping cannot be told in the way that is set.
    """
    notify = settings.notify
    found: list[Notifier] = []
    useless: list[ConfigurationError] = []
    if notify.webhook.url:
        from backup.notify.webhook import Webhook

        webhook = notify.webhook
        found.append(
            Webhook(
                notify.webhook.url.get_secret_value(),
                keys=webhook.keys,
                events=events_of(webhook.events),
                timeout=webhook.timeout,
                ca_file=webhook.ca_file,
            )
        )
    for number, (events, address) in enumerate(notify.addresses, start=1):
        from backup.notify.chat import Chat

        try:
            found.append(Chat(address, number=number, events=events))
        except ConfigurationError as error:
            useless.append(error)
    if notify.ping.url:
        from backup.notify.ping import Ping

        found.append(Ping(notify.ping.url.get_secret_value(), timeout=notify.ping.timeout))
    return tuple(found), tuple(useless)
