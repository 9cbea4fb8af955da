"""The values that the pages show make what they say, and every Secret that they name is made on the same page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.render import containers, pod_specs, render
from tests.chart.values import CHART

ROOT = CHART.parent
PAGES = (ROOT / "README.md", ROOT / "docs" / "kubernetes.md")
_MADE_BY_OTHERS = re.compile(r"^CLUSTER-")
"""Secrets of CloudNativePG, under the name of its cluster."""


def values_in(page: Path) -> Iterator[dict[str, Any]]:
    """The values files that a page shows: they name a database."""
    for block in re.findall(r"^```yaml\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        found = yaml.safe_load(block)
        if isinstance(found, dict) and _is_of_the_chart(found):
            yield found


def _is_of_the_chart(found: dict[str, Any]) -> bool:
    known = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    return bool({"database", "databases"} & found.keys()) and found.keys() <= known.keys()


def installations() -> list[tuple[Path, dict[str, Any]]]:
    return [(page, values) for page in PAGES for values in values_in(page)]


def test_there_are_such_values_on_each_page() -> None:
    assert {page for page, _ in installations()} == set(PAGES)


@pytest.mark.parametrize(("page", "values"), installations(), ids=str)
def test_the_values_of_a_page_are_installed_with_secrets_that_it_makes(page: Path, values: dict[str, Any]) -> None:
    rendered = render(values)
    assert rendered.code == 0, rendered.stderr
    text = page.read_text(encoding="utf-8")
    made = set(re.findall(r"kubectl create secret generic (\S+)", text))
    made |= set(rendered.of("Secret"))
    for _, pod in pod_specs(rendered):
        for variable in (each for container in containers(pod) for each in container.get("env", ())):
            secret = variable.get("valueFrom", {}).get("secretKeyRef")
            if secret and not _MADE_BY_OTHERS.match(secret["name"]):
                assert secret["name"] in made, f"no line of {page.name} makes the Secret {secret['name']}"
