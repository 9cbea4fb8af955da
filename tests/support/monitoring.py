"""Prometheus and a Pushgateway of a test's own, and the watch; on free ports, with data in the test's folder."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import yaml

from tests.support.command import Command, Running, wait_until
from tests.support.services import program


def free_port() -> int:
    """A port that nobody listened at a moment ago."""
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


def get(url: str) -> str:
    """What is answered. Raises URLError where nobody answers, or not with 200."""
    with urlopen(url, timeout=10) as answer:  # noqa: S310 -- of the test's own server
        return str(answer.read().decode())


def answers(url: str) -> bool:
    """Whether somebody does."""
    try:
        get(url)
    except HTTPError as error:
        error.close()
        return error.code == HTTPStatus.UNAUTHORIZED
    except (URLError, OSError):
        return False
    return True


@contextmanager
def _started(argv: Sequence[str], folder: Path, ready: str) -> Iterator[None]:
    with (folder / "log").open("wb") as log, subprocess.Popen(argv, cwd=folder, stdout=log, stderr=log) as process:
        try:
            wait_until(lambda: process.poll() is not None or answers(ready))
            assert process.poll() is None, (folder / "log").read_text()
            yield
        finally:
            process.terminate()
            process.wait()


@contextmanager
def pushgateway(folder: Path, *, web_config: str = "") -> Iterator[str]:
    """A Pushgateway; its address without a scheme."""
    folder.mkdir()
    address = f"127.0.0.1:{free_port()}"
    argv = [program("prometheus-pushgateway"), f"--web.listen-address={address}", "--persistence.file="]
    if web_config:
        (folder / "web.yml").write_text(web_config)
        argv.append("--web.config.file=web.yml")
    with _started(argv, folder, f"http://{address}/-/ready"):
        yield address


@contextmanager
def prometheus(folder: Path, rules: Mapping[str, Any], *targets: str) -> Iterator[Prometheus]:
    """A Prometheus that asks these targets and minds these rules, each second."""
    folder.mkdir()
    address = f"127.0.0.1:{free_port()}"
    (folder / "rules.yaml").write_text(yaml.safe_dump(dict(rules)))
    settings = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [
            {"job_name": "pgproof", "honor_labels": True, "static_configs": [{"targets": list(targets)}]}
        ],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
    argv = [program("prometheus"), "--config.file=prometheus.yml", "--storage.tsdb.path=data"]
    with _started([*argv, f"--web.listen-address={address}"], folder, f"http://{address}/-/ready"):
        yield Prometheus(f"http://{address}")


class Prometheus:
    """What one asks of it."""

    def __init__(self, url: str) -> None:
        self._url = url

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The result of a query now."""
        found = json.loads(get(f"{self._url}/api/v1/query?{urlencode({'query': expression})}"))
        result: list[dict[str, Any]] = found["data"]["result"]
        return result

    def alerts(self) -> set[str]:
        """Names of the alerts that fire."""
        found = json.loads(get(f"{self._url}/api/v1/alerts"))["data"]["alerts"]
        return {each["labels"]["alertname"] for each in found if each["state"] == "firing"}


@contextmanager
def watching(pgproof: Command, *arguments: str, **changes: str | None) -> Iterator[tuple[Running, str]]:
    """`pgproof watch` on a free port, once it answers; with its address, without a scheme."""
    port = free_port()
    with pgproof.start("watch", "--port", str(port), "--every", "1", *arguments, **changes) as running:
        running.wait_for(lambda: answers(f"http://127.0.0.1:{port}/healthz"))
        yield running, f"127.0.0.1:{port}"
