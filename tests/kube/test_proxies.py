"""Proxies on the way to a cluster: those of the environment with their exceptions, and that of the kubeconfig."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from backup.errors import ClusterUnreachable
from backup.kube.connection import from_kubeconfig
from backup.kube.objects import items
from backup.kube.releases import OURS
from tests.kube.api_server import Api, running_api

NOBODY = "http://127.0.0.1:1"


@pytest.fixture
def api() -> Iterator[Api]:
    with running_api() as api:
        yield api


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def reach(file: Path) -> None:
    assert items(from_kubeconfig(file=file, timeout=5), "cronjobs", labelSelector=OURS) == []


def test_what_needs_no_proxy_is_reached_without_one(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", NOBODY)
    monkeypatch.setenv("HTTP_PROXY", NOBODY)
    monkeypatch.setenv("NO_PROXY", "example.com,127.0.0.1")
    reach(api.kubeconfig(tmp_path))


def test_the_proxy_of_the_environment_is_asked(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", NOBODY)
    with pytest.raises(ClusterUnreachable):
        reach(api.kubeconfig(tmp_path))
    assert api.asked("GET", "/cronjobs") == []


def test_the_proxy_of_the_kubeconfig_goes_before_that_of_the_environment(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    file = api.kubeconfig(tmp_path)
    config = yaml.safe_load(file.read_text())
    config["clusters"][0]["cluster"]["proxy-url"] = NOBODY
    file.write_text(yaml.safe_dump(config))
    with pytest.raises(ClusterUnreachable):
        reach(file)
    assert api.asked("GET", "/cronjobs") == []
