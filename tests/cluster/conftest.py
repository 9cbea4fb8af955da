"""Scenarios on a real Kubernetes. Owns the cluster's life, one namespace a test process, and what a failure shows.

The node is brought up once, before the test processes start, and taken down after the last has ended. Nothing here
is collected unless this folder is named: `make test` passes it by, `make test-cluster` names it.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.support import node
from tests.cluster.support.kubectl import Cluster
from tests.cluster.support.servers import Servers
from tests.cluster.support.site import Site, open_site

_HERE = Path(__file__).parent
_FIGURES: dict[str, object] = {}
_before = pytest.StashKey[node.Machine]()
_cluster = pytest.StashKey[Cluster]()


def _is_asked_for(config: pytest.Config) -> bool:
    asked = (Path(config.invocation_params.dir, str(each).partition("::")[0]) for each in config.args)
    return any(path.resolve().is_relative_to(_HERE) for path in asked)


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    return None if _is_asked_for(config) else True


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    config = session.config
    is_main = not hasattr(config, "workerinput")
    if not is_main or not _is_asked_for(config) or config.option.collectonly or node.is_given():
        return
    before = node.Machine.now()
    begun = time.monotonic()
    try:
        os.environ["KUBECONFIG"] = node.start_node()
    except BaseException:
        node.script("down")
        raise
    config.stash[_before] = before
    _FIGURES["images built and node up, seconds"] = round(time.monotonic() - begun)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    before = session.config.stash.get(_before, None)
    if before is None:
        return
    del session.config.stash[_before]
    left = node.stop_node(before)
    _FIGURES["left behind"] = left or "nothing"
    if left:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
    figures = [pair for report in reports if report.when == "call" for pair in report.user_properties]
    terminalreporter.section("figures of the cluster")
    for name, value in [*_FIGURES.items(), *figures]:
        terminalreporter.line(f"{name}: {value}")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome: Any = yield
    report = outcome.get_result()
    cluster = item.session.stash.get(_cluster, None)
    if report.failed and cluster is not None:
        report.sections.append(("the namespace", _state_of(cluster)))


def _state_of(cluster: Cluster) -> str:
    """What one needs to see why something failed there."""
    asked = [
        ("get", "cronjobs,jobs,pods,configmaps,persistentvolumeclaims", "-o", "wide"),
        ("get", "events", "--sort-by=.lastTimestamp"),
        ("describe", "jobs,pods", "-l", "app.kubernetes.io/name=pgproof"),
    ]
    texts = [str(cluster.kubectl(*words, check=False)) for words in asked]
    pods = cluster.items("pods", "-l", "app.kubernetes.io/name=pgproof")
    texts += [str(cluster.kubectl("logs", pod["metadata"]["name"], "--tail=60", check=False)) for pod in pods]
    return "\n".join(texts)


@pytest.fixture(scope="session")
def image() -> str:
    return os.environ.get("PGPROOF_TEST_IMAGE", node.IMAGE)


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A namespace that enforces Pod Security "restricted"; this test process's own."""
    cluster = Cluster(kubeconfig=Path(os.environ["KUBECONFIG"]), namespace=f"pgproof-{secrets.token_hex(3)}")
    labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    metadata = {"name": cluster.namespace, "labels": labels}
    cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    request.session.stash[_cluster] = cluster
    try:
        yield cluster
    finally:
        cluster.kubectl("delete", "namespace", cluster.namespace, limit=180)


@pytest.fixture(scope="session")
def servers(cluster: Cluster) -> Servers:
    return Servers.start(cluster, os.environ.get("PGPROOF_TEST_SERVERS_IMAGE", node.SERVERS_IMAGE))


@pytest.fixture
def site(servers: Servers, image: str) -> Iterator[Site]:
    """A database with rows, a bucket and Secrets; nothing is installed yet."""
    site = open_site(f"t{secrets.token_hex(3)}", servers, image)
    try:
        yield site
    finally:
        site.remove()
