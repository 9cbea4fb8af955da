"""kubectl and helm as a person runs them. Owns how they are found, their kubeconfig and namespace, and waiting.

Nothing here knows pgproof.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import yaml

T = TypeVar("T")

_TIME_LIMIT = 120.0
_POLL = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A program that has ended."""

    argv: tuple[str, ...]
    code: int
    stdout: str
    stderr: str

    def __str__(self) -> str:
        return f"{' '.join(self.argv)}: {self.code}\n{self.stdout}\n{self.stderr}"


def program(name: str) -> str:
    """Its path: on PATH, else where the project's own recipe (tests/cluster/node) keeps what it has built."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    found = shutil.which(name) or shutil.which(name, path=cache / "pgproof-node" / "bin")
    if not found:
        raise FileNotFoundError(f"{name} is neither on PATH nor built by tests/cluster/node/programs")
    return found


def run(
    argv: Sequence[str],
    *,
    stdin: str = "",
    environ: Mapping[str, str] | None = None,
    check: bool = True,
    limit: float = _TIME_LIMIT,
) -> Finished:
    """Run a program to its end. With `check`, a status other than 0 is an AssertionError with all that it said."""
    done = subprocess.run(
        argv,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=limit,
        env={**os.environ, **(environ or {})},
    )
    finished = Finished(argv=tuple(argv), code=done.returncode, stdout=done.stdout, stderr=done.stderr)
    if check and finished.code:
        raise AssertionError(str(finished))
    return finished


def wait_until(ask: Callable[[], T], what: str, *, limit: float = _TIME_LIMIT) -> T:
    """Ask until the answer is true, and return it. Fails after `limit` seconds, saying what was waited for."""
    end = time.monotonic() + limit
    while not (answer := ask()):
        if time.monotonic() > end:
            raise AssertionError(f"waited {limit:.0f} s in vain for: {what}")
        time.sleep(_POLL)
    return answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A namespace of a cluster, by way of its kubeconfig."""

    kubeconfig: Path
    namespace: str
    environ: Mapping[str, str] = field(default_factory=dict)

    def in_namespace(self, name: str) -> Cluster:
        """The same cluster, another namespace."""
        return replace(self, namespace=name)

    def kubectl(self, *arguments: str, stdin: str = "", check: bool = True, limit: float = _TIME_LIMIT) -> Finished:
        """Run kubectl."""
        return self.run(program("kubectl"), *arguments, stdin=stdin, check=check, limit=limit)

    def helm(self, *arguments: str, stdin: str = "", check: bool = True) -> Finished:
        """Run helm."""
        return self.run(program("helm"), *arguments, stdin=stdin, check=check)

    def run(self, *argv: str, stdin: str = "", check: bool = True, limit: float = _TIME_LIMIT) -> Finished:
        """Run a program that takes --namespace, with our kubeconfig."""
        environ = {**self.environ, "KUBECONFIG": str(self.kubeconfig)}
        head, *rest = argv
        return run([head, "--namespace", self.namespace, *rest], stdin=stdin, environ=environ, check=check, limit=limit)

    def apply(self, *objects: Mapping[str, Any] | str) -> None:
        """Apply objects, or YAML text."""
        self.kubectl("apply", "-f", "-", stdin=_stream(objects))

    def create(self, *objects: Mapping[str, Any] | str) -> Any:  # noqa: ANN401 - JSON
        """Create one object; what the server made of it."""
        return json.loads(self.kubectl("create", "-o", "json", "-f", "-", stdin=_stream(objects)).stdout)

    def get(self, *arguments: str) -> Any:  # noqa: ANN401 - JSON
        """`kubectl get` as JSON; None for a single object that is not there."""
        text = self.kubectl("get", "--ignore-not-found", "-o", "json", *arguments).stdout
        return json.loads(text) if text.strip() else None

    def items(self, *arguments: str) -> list[dict[str, Any]]:
        """The items of a list."""
        found = self.get(*arguments)
        return list(found["items"]) if found else []

    def service(self, name: str, path: str) -> Any:  # noqa: ANN401 - JSON
        """GET from a service in the cluster, by way of the API server."""
        where = f"/api/v1/namespaces/{self.namespace}/services/{name}/proxy{path}"
        return json.loads(self.kubectl("get", "--raw", where).stdout)


def _stream(objects: Sequence[Mapping[str, Any] | str]) -> str:
    return "\n---\n".join(each if isinstance(each, str) else yaml.safe_dump(dict(each)) for each in objects)
