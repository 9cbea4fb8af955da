"""The log of a Job is followed over HTTP, on lines that break."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from backup.errors import ClusterUnreachable
from backup.kube.connection import Cluster, from_kubeconfig
from backup.kube.following import Ended
from tests.fixtures.proxy import Proxy, proxied
from tests.kube.api_server import Api, running_api
from tests.kube.running_job import JOB, SECOND, add_pod, end_job, end_pod, followed, following
from tests.support.command import wait_until


@pytest.fixture
def api() -> Iterator[Api]:
    with running_api() as api:
        api.add("jobs", JOB)
        yield api


@pytest.fixture
def proxy(api: Api) -> Iterator[Proxy]:
    with proxied("127.0.0.1", api.port) as proxy:
        yield proxy


@pytest.fixture
def cluster(api: Api, proxy: Proxy, tmp_path: Path) -> Cluster:
    return from_kubeconfig(file=api.kubeconfig(tmp_path, port=proxy.port), timeout=5)


def test_the_log_is_told_while_it_is_written(api: Api, cluster: Cluster) -> None:
    log = add_pod(api, "p")
    with following(api, cluster) as (end, lines):
        for number in range(3):
            log.write(f"{SECOND}.{number}Z", f"line {number}")
            wait_until(lambda: len(lines) == number + 1)  # noqa: B023 -- called at once
        assert not end.done()
        end_job(api, "Complete")
        end_pod(api, "p", 0, "20261122T080000Z stored")
        assert end.result(30) == Ended(job=JOB, code=0, said="20261122T080000Z stored")
    assert lines == ["line 0", "line 1", "line 2"]


@pytest.mark.parametrize("politely", [False, True], ids=["broken", "as if it were whole"])
def test_each_line_is_told_once_though_the_line_breaks_again_and_again(
    api: Api,
    cluster: Cluster,
    politely: bool,  # noqa: FBT001 -- a parameter of the test
) -> None:
    """Also within a second, in the middle of a line, and between equal lines."""
    log = add_pod(api, "p")
    expected = []
    for number in range(40):
        text = f"line {number // 2} of many"
        log.write(f"2026-11-22T08:00:{number // 15:02}.{number // 2:09}+01:00", text)
        expected.append(text)
    second = [sum(len(line) for _, line in log.data[start : start + 15]) for start in (0, 15, 30)]
    for size in (1, 60, 300, second[0], 700, second[0] + 90, 100, 500, second[1] + 90, 30, 333, second[2] - 1):
        log.cut(size, politely=politely)
    with following(api, cluster) as (end, lines):
        wait_until(lambda: lines == expected)
        wait_until(lambda: not log.cuts)
        log.write("2026-11-22T08:00:02.9+01:00", "the last one", end=b"")
        end_job(api, "Complete")
        end_pod(api, "p", 0)
        end.result(30)
    assert lines == [*expected, "the last one"]
    assert {query["container"] for query in api.asked("GET", "/log")} == {"pgproof"}


def test_a_log_of_a_pod_that_has_ended_is_told_to_its_end_though_the_line_breaks(api: Api, cluster: Cluster) -> None:
    log = add_pod(api, "p", phase="Failed", code=5)
    for number in range(9):
        log.write(f"{SECOND}.{number}Z", f"line {number}")
    log.close()
    log.cut(70)
    log.cut(150)
    end_job(api, "Failed")
    ended, lines = followed(cluster)
    assert ended.code == 5
    assert lines == [f"line {number}" for number in range(9)]


def test_lines_that_overtake_each_other_are_told_once(api: Api, cluster: Cluster) -> None:
    """stdout and stderr of a container are read by two threads of its runtime."""
    log = add_pod(api, "p")
    log.write("2026-11-22T08:00:02.000Z", "result")
    log.write("2026-11-22T08:00:01.999Z", "event")
    log.cut(sum(len(line) for _, line in log.data))
    with following(api, cluster) as (end, lines):
        wait_until(lambda: not log.cuts)
        log.write("2026-11-22T08:00:02.100Z", "more")
        wait_until(lambda: "more" in lines)
        end_job(api, "Complete")
        end_pod(api, "p", 0)
        end.result(30)
    assert lines == ["result", "event", "more"]


def test_lines_of_any_bytes_and_length_are_told(api: Api, cluster: Cluster) -> None:
    log = add_pod(api, "p", phase="Succeeded", code=0)
    long = "x" * 3_000_000
    for number, text in enumerate([b"caf\xe9", "größer".encode(), b"", long.encode(), b"\ttab"]):
        log.write(f"{SECOND}.{number}Z", text)
    log.data.append((SECOND, b"unable to retrieve container logs\n"))  # the kubelet's own line has no time
    log.close()
    end_job(api, "Complete")
    _, lines = followed(cluster)
    assert lines == ["caf�", "größer", "", long, "\ttab", "unable to retrieve container logs"]


def test_pods_that_are_tried_again_are_followed_one_after_the_other(api: Api, cluster: Cluster) -> None:
    add_pod(api, "z-first").write(f"{SECOND}.5Z", "first")
    with following(api, cluster) as (end, lines):
        wait_until(lambda: lines == ["first"])
        # The clock of the second one's node is behind.
        add_pod(api, "a-second").write("2026-11-22T07:00:00Z", "second")
        end_pod(api, "z-first", 4, "no answer")
        wait_until(lambda: lines == ["first", "second"])
        end_job(api, "Failed", "BackoffLimitExceeded")
        end_pod(api, "a-second", 6, "no store")
        assert end.result(30) == Ended(job=JOB, code=6, said="no store")


def test_a_cluster_that_is_away_for_a_while_is_survived(
    api: Api, cluster: Cluster, proxy: Proxy, capsys: pytest.CaptureFixture[str]
) -> None:
    log = add_pod(api, "p")
    log.write(f"{SECOND}.1Z", "before")
    with following(api, cluster) as (end, lines):
        wait_until(lambda: lines == ["before"])
        proxy.refuse()
        told = threading.Event()
        errors: list[str] = []

        def is_told() -> bool:
            errors.append(capsys.readouterr().err)
            if "the cluster does not answer, trying again" in "".join(errors):
                told.set()
            return told.is_set()

        wait_until(is_told)
        log.write(f"{SECOND}.2Z", "meanwhile")
        proxy.resume()
        wait_until(lambda: lines == ["before", "meanwhile"])
        end_job(api, "Complete")
        end_pod(api, "p", 0)
        assert end.result(30).code == 0
    assert ("".join(errors) + capsys.readouterr().err).count("trying again") == 1


def test_a_cluster_that_stays_away_is_given_up_on(api: Api, cluster: Cluster, proxy: Proxy) -> None:
    add_pod(api, "p").write(f"{SECOND}.1Z", "before")
    with following(api, cluster, lost=0.5) as (end, lines):
        wait_until(lambda: lines == ["before"])
        proxy.refuse()
        with pytest.raises(ClusterUnreachable, match="the Kubernetes cluster does not answer"):
            end.result(30)
