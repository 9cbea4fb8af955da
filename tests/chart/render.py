"""The chart, rendered by helm without a cluster. Owns how helm is found and called; each call is made once a session.

What comes back is shared among tests: look at it, do not change it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.chart.values import CHART
from tests.support.services import missing

RELEASE = "mydb"
NAMESPACE = "prod"
CI_FILES = sorted((CHART / "ci").glob("*-values.yaml"))
OPERATOR = "monitoring.coreos.com/"
"""The API group of the Prometheus operator, which is not Kubernetes' own."""
JOB_ONLY = CHART / "ci" / "restore-job-values.yaml"
"""Its values are for `helm template` alone: what they make has no name before it is created."""
Object = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """What helm said. `objects` is empty where it refused."""

    code: int
    stderr: str
    objects: tuple[Object, ...]

    def of(self, kind: str) -> dict[str, Object]:
        """The objects of a kind by name."""
        return {each["metadata"]["name"]: each for each in self.objects if each["kind"] == kind}


def helm(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run helm; it knows no cluster."""
    node = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pgproof-node" / "bin"
    program = shutil.which("helm") or shutil.which("helm", path=node)
    if not program:
        missing("there is no helm, neither on the PATH nor built by tests/cluster/node")
    environ = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "KUBECONFIG": "/nonexistent/kubeconfig"}
    return subprocess.run(
        [program, *arguments], input=stdin, env=environ, capture_output=True, text=True, check=False, timeout=60
    )


def render(values: Mapping[str, Any], *, release: str = RELEASE, only: str = "", chart: Path = CHART) -> Rendered:
    """What an installation with these values would be made of; `only` one template of it."""
    return _render(yaml.safe_dump(dict(values)), release, only, chart)


def render_file(file: Path) -> Rendered:
    """What an installation with a values file would be made of. It must not be refused."""
    rendered = _render(file.read_text(), RELEASE, "", CHART)
    assert rendered.code == 0, rendered.stderr
    return rendered


@cache
def _render(text: str, release: str, only: str, chart: Path) -> Rendered:
    arguments = ["template", release, str(chart), "--namespace", NAMESPACE, "--values", "-"]
    done = helm(*arguments, *(["--show-only", only] if only else []), stdin=text)
    objects = tuple(each for each in yaml.safe_load_all(done.stdout) if each) if done.returncode == 0 else ()
    return Rendered(code=done.returncode, stderr=done.stderr, objects=objects)


def job_specs(rendered: Rendered) -> Iterator[tuple[str, Object]]:
    """Every spec of a Job, with the kind and name of what makes it."""
    for each in rendered.objects:
        metadata = each["metadata"]
        name = f"{each['kind']} {metadata.get('name') or metadata['generateName']}"
        if each["kind"] == "CronJob":
            yield name, each["spec"]["jobTemplate"]["spec"]
        elif each["kind"] == "Job":
            yield name, each["spec"]


def pod_specs(rendered: Rendered) -> Iterator[tuple[str, Object]]:
    """Every spec of a pod, with the kind and name of what makes it."""
    for name, spec in job_specs(rendered):
        yield name, spec["template"]["spec"]
    for name, each in rendered.of("Deployment").items():
        yield f"Deployment {name}", each["spec"]["template"]["spec"]


def containers(pod: Object) -> list[Object]:
    """All containers of a pod, pgproof first."""
    return [*pod["containers"], *pod.get("initContainers", ())]


def minimal(**more: Any) -> dict[str, Any]:  # noqa: ANN401 -- values of any kind
    """The least that can be installed, and more."""
    return {"database": {"existingSecret": "shop"}, "store": {"url": "s3://backups/prod"}, **more}
