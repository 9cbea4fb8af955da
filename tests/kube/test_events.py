"""Events on a CronJob, as a Kubernetes API sees them, and what becomes of each way in which it does not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import kmock
import pytest

from backup.domain.events import EventType
from backup.errors import NotificationFailed
from backup.kube.events import CronJobEvents
from tests.fixtures.proxy import Proxy, proxied
from tests.support.pod import CRONJOBS, EVENTS, NAMESPACE, Pod, running_pod
from tests.support.run_events import an_event

SLACK = 0.5
"""Seconds beyond the limit, for a busy machine."""
UID = "0e1f0a5c-0000-4000-8000-000000000001"


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pod]:
    with running_pod(tmp_path) as found:
        found.add_cronjob("shop-backup", uid=UID)
        found.add_cronjob("crm-backup", uid="another")
        settle(monkeypatch, found.environ())
        yield found


@pytest.fixture
def proxy(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """Between the pod and its API."""
    with proxied("127.0.0.1", pod.port) as found:
        settle(monkeypatch, pod.environ(port=found.port))
        yield found


def settle(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)


def tell(pod: Pod, type_: EventType = "backup.succeeded", *, text: str = "it went", within: float = 5) -> None:
    CronJobEvents("shop-backup", service_account=pod.folder).tell(an_event(type_, text=text), within=within)


def refusal(pod: Pod, *, within: float = 5, cronjob: str = "shop-backup") -> NotificationFailed:
    """Why it was not heard, which must have taken no longer than it may."""
    begun = time.monotonic()
    with pytest.raises(NotificationFailed) as caught:
        CronJobEvents(cronjob, service_account=pod.folder).tell(an_event(), within=within)
    assert time.monotonic() - begun < within + SLACK
    failure = caught.value
    assert failure.message.startswith(f"Events on the CronJob {cronjob}: ")
    assert "token-of-the-pod" not in f"{failure.message} {failure.detail} {failure.hint}"
    return failure


def test_the_event_is_about_that_cronjob_and_no_other(pod: Pod) -> None:
    tell(pod)
    (event,) = pod.events()
    assert event["involvedObject"] == {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "name": "shop-backup",
        "namespace": NAMESPACE,
        "uid": UID,
    }
    assert event["metadata"]["namespace"] == NAMESPACE
    assert event["metadata"]["name"].startswith("shop-backup.")
    assert (event["apiVersion"], event["kind"], event["count"]) == ("v1", "Event", 1)
    assert event["source"]["component"] == event["reportingComponent"] == "pgproof"
    assert event["firstTimestamp"] == event["lastTimestamp"] == "2026-11-22T08:00:07.250000+00:00"
    assert event["message"] == "it went"


@pytest.mark.parametrize(
    ("type_", "reason", "kind"),
    [
        ("backup.succeeded", "BackupSucceeded", "Normal"),
        ("backup.failed", "BackupFailed", "Warning"),
        ("restore.finished", "RestoreFinished", "Normal"),
        ("restore.failed", "RestoreFailed", "Warning"),
        ("drill.proven", "DrillProven", "Normal"),
        ("drill.failed", "DrillFailed", "Warning"),
        ("sync.succeeded", "SyncSucceeded", "Normal"),
        ("sync.failed", "SyncFailed", "Warning"),
    ],
)
def test_how_it_ended_is_the_reason_and_a_failure_is_a_warning(
    pod: Pod, type_: EventType, reason: str, kind: str
) -> None:
    tell(pod, type_)
    (event,) = pod.events()
    assert (event["reason"], event["type"]) == (reason, kind)


def test_two_events_of_one_run_have_different_names(pod: Pod) -> None:
    tell(pod)
    tell(pod)
    first, second = (event["metadata"]["name"] for event in pod.events())
    assert first != second


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("x" * 1024, "x" * 1024),
        ("x" * 1025, "x" * 1024),
        ("x" + "ü" * 600, "x" + "ü" * 511),  # 1 + 511 * 2 bytes; one more would be cut in half
        ("日" * 400, "日" * 341),
        ("a\udcffb", "a?b"),
    ],
    ids=["fits", "one byte more", "two-byte letters", "three-byte letters", "no letter"],
)
def test_a_message_has_1024_bytes_at_most_and_whole_letters(pod: Pod, text: str, kept: str) -> None:
    tell(pod, text=text)
    assert pod.events()[0]["message"] == kept


@pytest.mark.parametrize(
    ("missing", "says"),
    [
        (CRONJOBS, "no right to get the CronJob shop-backup in prod"),
        (EVENTS, "no right to create an Event in prod"),
    ],
    ids=["get", "create"],
)
def test_a_right_that_is_missing_is_named(pod: Pod, missing: kmock.resource, says: str) -> None:
    words = 'it is forbidden: User "system:serviceaccount:prod:shop" cannot do this in the namespace "prod"'
    pod.cluster[missing] << kmock.KubernetesError(status=403, reason="Forbidden", message=words)
    failure = refusal(pod)
    assert failure.message.endswith(says)
    assert failure.detail == words
    assert "events.enabled" in (failure.hint or "")


def test_a_token_that_has_run_out_is_told(pod: Pod) -> None:
    pod.cluster[CRONJOBS] << kmock.KubernetesError(status=401, reason="Unauthorized", message="Unauthorized")
    assert "the cluster does not know us" in refusal(pod).message


def test_a_cronjob_that_is_gone_is_told(pod: Pod) -> None:
    failure = refusal(pod, cronjob="gone")
    assert failure.message.endswith("not there: get the CronJob gone in prod")
    assert "PGPROOF_KUBERNETES_CRONJOB" in (failure.hint or "")
    assert pod.events() == []


@pytest.mark.parametrize("within", [0, 0.5, 2])
def test_an_api_that_hangs_is_given_up_in_time(pod: Pod, proxy: Proxy, within: float) -> None:
    proxy.stall()
    failure = refusal(pod, within=within)
    assert "the Kubernetes cluster does not answer: get the CronJob" in failure.message
    assert "NetworkPolicy" in (failure.hint or "")


@pytest.mark.parametrize("which", [CRONJOBS, EVENTS], ids=["get", "create"])
def test_a_request_that_hangs_is_given_up_in_time(pod: Pod, which: kmock.resource) -> None:
    pod.cluster[which] << pod.hangs
    assert "the Kubernetes cluster does not answer" in refusal(pod, within=1).message


def test_an_api_that_nobody_reaches_is_told(pod: Pod, proxy: Proxy) -> None:
    proxy.refuse()
    failure = refusal(pod)
    assert "the Kubernetes cluster does not answer" in failure.message
    assert "Connection refused" in (failure.detail or "")


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_cluster_that_cannot_is_told(pod: Pod, status: int) -> None:
    pod.cluster[EVENTS] << kmock.KubernetesError(status=status, reason="Why", message="not now")
    failure = refusal(pod)
    assert "the Kubernetes cluster cannot do this: create an Event in prod" in failure.message
    assert failure.detail == "not now"


@pytest.mark.parametrize("answer", [b"<html>Log in</html>", b"", b"null", b"[]", b"{}"], ids=repr)
def test_what_is_no_kubernetes_api_is_told(pod: Pod, answer: bytes) -> None:
    pod.cluster[CRONJOBS] << answer
    assert "what answers is no Kubernetes API" in refusal(pod).message
    assert pod.events() == []


def test_an_answer_that_is_no_event_is_told(pod: Pod) -> None:
    pod.cluster[EVENTS] << b"<html>Log in</html>"
    assert "what answers is no Kubernetes API" in refusal(pod).message


def test_outside_of_a_pod_there_is_no_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(NotificationFailed, match="this is no pod with a service account's token") as caught:
        CronJobEvents("shop-backup", service_account=tmp_path).tell(an_event(), within=5)
    assert "automountServiceAccountToken" in (caught.value.hint or "")


@pytest.mark.parametrize("file", ["token", "ca.crt", "namespace"])
def test_a_service_account_that_is_not_whole_is_told(pod: Pod, file: str) -> None:
    (pod.folder / file).unlink()
    assert "this is no pod with a service account's token" in refusal(pod).message


def test_another_server_at_the_api_s_address_is_not_told(pod: Pod, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with running_pod(other):
        (pod.folder / "ca.crt").write_bytes((other / "ca.crt").read_bytes())
        assert "CERTIFICATE_VERIFY_FAILED" in (refusal(pod).detail or "")
    assert pod.events() == []
