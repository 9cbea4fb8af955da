"""What ports.Notifier promises, on everybody who can be told."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import kmock
import pytest

from backup.domain.events import EventType
from backup.errors import NotificationFailed
from backup.kube.events import CronJobEvents
from backup.notify.chat import Chat
from backup.notify.ping import Ping
from backup.notify.webhook import Webhook
from backup.ports import Notifier
from tests.contracts.memory_notifier import MemoryNotifier
from tests.fixtures.proxy import proxied
from tests.support.pod import CRONJOBS, Pod, running_pod
from tests.support.receiver import Answer, Message, Receiver, hangs, receiving, says
from tests.support.run_events import an_event

PATH, PASSWORD, KEY = "T0ken-of-the-path", "pass-word", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
SECRETS = (PATH, PASSWORD, KEY, "token-of-the-pod")
SLACK = 0.5
"""Seconds beyond the limit, for a busy machine."""

FAULTS = ("is not there", "stalls", "hangs", "refuses", "fails")
Fault = Callable[[], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A notifier, the texts that its receiver has heard, and ways to keep it from hearing."""

    notifier: Notifier
    heard: Callable[[], list[str]]
    faults: dict[str, Fault]


@pytest.fixture(params=["memory", "webhook", "chat", "ping", "events"])
def kind(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kind]:
    with ExitStack() as stack:
        if request.param == "memory":
            yield _memory()
        elif request.param in HTTP:
            yield _over_http(stack, stack.enter_context(receiving()), *HTTP[request.param])
        else:
            pod = stack.enter_context(running_pod(tmp_path))
            yield _events(stack, pod, monkeypatch)


def _memory() -> Kind:
    memory = MemoryNotifier()
    faults: dict[str, Fault] = dict.fromkeys(FAULTS, memory.go_deaf)
    return Kind(notifier=memory, heard=lambda: [event.text for event in memory.heard], faults=faults)


HTTP: dict[str, tuple[Callable[[str], Notifier], Callable[[Message], str]]] = {
    "webhook": (
        lambda url: Webhook(url, keys=(f"whsec_{KEY}",)),
        lambda message: str(message.json["data"]["text"]),
    ),
    "chat": (
        lambda url: Chat(url.replace("http", "json", 1)),
        lambda message: str(message.json["message"]).partition("\n")[0],
    ),
    "ping": (Ping, lambda message: message.body.decode().partition("\n")[0]),
}
"""Those that POST: how they are made of an address, and how a text is found in what they send."""


def _over_http(
    stack: ExitStack, receiver: Receiver, make: Callable[[str], Notifier], text_of: Callable[[Message], str]
) -> Kind:
    proxy = stack.enter_context(proxied("127.0.0.1", receiver.port))
    url = f"http://me:{PASSWORD}@127.0.0.1:{proxy.port}/{PATH}"
    refusal = f"nothing at /{PATH} for me:{PASSWORD}"

    def answer(how: Answer) -> Fault:
        return lambda: receiver.always(how)

    return Kind(
        notifier=make(url),
        heard=lambda: [text_of(message) for message in receiver.messages],
        faults={
            "is not there": proxy.refuse,
            "stalls": proxy.stall,
            "hangs": answer(hangs),
            "refuses": answer(says(403, refusal)),
            "fails": answer(says(500, refusal)),
        },
    )


def _events(stack: ExitStack, pod: Pod, monkeypatch: pytest.MonkeyPatch) -> Kind:
    proxy = stack.enter_context(proxied("127.0.0.1", pod.port))
    for name, value in pod.environ(port=proxy.port).items():
        monkeypatch.setenv(name, value)
    pod.add_cronjob("shop", uid="1")

    def answer(how: kmock.Payload) -> Fault:
        return lambda: pod.cluster[CRONJOBS] << how

    return Kind(
        notifier=CronJobEvents("shop", service_account=pod.folder),
        heard=lambda: [event["message"] for event in pod.events()],
        faults={
            "is not there": proxy.refuse,
            "stalls": proxy.stall,
            "hangs": answer(pod.hangs),
            "refuses": answer(kmock.KubernetesError(status=403, message="no")),
            "fails": answer(kmock.KubernetesError(status=500, message="no")),
        },
    )


@pytest.fixture(params=FAULTS)
def fault(request: pytest.FixtureRequest, kind: Kind) -> Fault:
    return kind.faults[request.param]


@pytest.mark.parametrize("type_", get_args(EventType))
def test_heard_once_is_what_was_told_when_it_returns(kind: Kind, type_: EventType) -> None:
    if not kind.notifier.wants(type_):
        return
    kind.notifier.tell(an_event(type_, text="shop: one"), within=5)
    assert kind.heard() == ["shop: one"]
    kind.notifier.tell(an_event(type_, text="shop: two"), within=5)
    assert kind.heard() == ["shop: one", "shop: two"]


def test_what_is_not_heard_is_a_failure_with_one_clear_line(kind: Kind, fault: Fault) -> None:
    fault()
    with pytest.raises(NotificationFailed) as caught:
        kind.notifier.tell(an_event(), within=1)
    message = caught.value.message
    assert message.startswith(kind.notifier.name)
    assert "\n" not in message
    assert not message.endswith(".")


@pytest.mark.parametrize("within", [0, 0.4, 1.5])
def test_it_takes_no_longer_than_it_may(kind: Kind, fault: Fault, within: float) -> None:
    fault()
    begun = time.monotonic()
    with pytest.raises(NotificationFailed):
        kind.notifier.tell(an_event(), within=within)
    assert time.monotonic() - begun < within + SLACK


def test_no_secret_is_in_a_name_a_failure_or_an_event(
    kind: Kind, fault: Fault, capsys: pytest.CaptureFixture[str]
) -> None:
    fault()
    with pytest.raises(NotificationFailed) as caught:
        kind.notifier.tell(an_event(), within=0.4)
    failure, said = caught.value, capsys.readouterr()
    words = f"{kind.notifier.name} {failure.message} {failure.detail} {failure.hint} {said.out} {said.err}"
    assert not [secret for secret in SECRETS if secret in words], words


def test_it_has_a_name(kind: Kind) -> None:
    assert kind.notifier.name
