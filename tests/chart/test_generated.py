"""values.yaml is the manual: all of it is described, all of it does something, and what is made of it is current."""

from __future__ import annotations

import copy
import json
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.chart.generate import files
from tests.chart.render import CI_FILES, render
from tests.chart.values import CHART, Way, read_values

VALUES = read_values()
LEAVES = [value.way for value in VALUES.values() if value.is_leaf]
MAPS = ("databases", "moreStores")
ENTRIES = [
    (of, "*", *name.removeprefix("database.").removeprefix("store.").split("."))
    for of in MAPS
    for name in VALUES[of].rules["entry"].split()
]
RULES = {"pattern", "minLength", "minimum", "maximum", "type", "enum", "free", "map", "list", "ports", "keys", "entry"}


@pytest.mark.parametrize("name", sorted(files()))
def test_what_is_made_of_the_values_is_current(name: str) -> None:
    assert (CHART / name).read_text() == files()[name], "run `make docs`"


def test_no_value_escapes_the_reader() -> None:
    def ways(tree: dict[str, Any], way: Way) -> Iterator[Way]:
        for key, below in tree.items():
            yield (*way, key)
            value = VALUES[".".join((*way, key))]
            if not value.is_leaf:
                yield from ways(below, (*way, key))

    written = yaml.safe_load((CHART / "values.yaml").read_text())
    assert list(ways(written, ())) == [value.way for value in VALUES.values()]


@pytest.mark.parametrize("name", VALUES)
def test_there_is_a_sentence_above(name: str) -> None:
    value = VALUES[name]
    assert value.description[-1:] in {".", "…", "}"}
    assert value.rules.keys() <= RULES


def test_every_leaf_of_the_schema_has_a_type_and_a_description() -> None:
    def leaves(schema: dict[str, Any], way: Way) -> Iterator[tuple[Way, dict[str, Any]]]:
        below = dict(schema.get("properties", {}))
        if isinstance(schema.get("additionalProperties"), dict) and "properties" in schema["additionalProperties"]:
            below["*"] = schema["additionalProperties"]
        yield from ((way, schema),) if not below else ()
        for key, each in below.items():
            yield from leaves(each, (*way, key))
        if below and "*" not in below:
            assert schema["additionalProperties"] is False, way

    found = dict(leaves(json.loads((CHART / "values.schema.json").read_text()), ()))
    whole = {"request", "resources", "drill", "sync", "guard", "config"}
    assert {*LEAVES, *(way for way in ENTRIES if way[-1] not in whole)} - {(of,) for of in MAPS} <= found.keys()
    for way, schema in found.items():
        assert schema.get("type"), way
        assert schema.get("description"), way


def set_in(values: dict[str, Any], way: Way) -> Iterator[Way]:
    """The ways of a leaf that values set; `*` is each key."""
    found: list[tuple[Way, Any]] = [((), values)]
    for step in way:
        found = [
            ((*before, key), below[key])
            for before, below in found
            if isinstance(below, dict)
            for key in (below if step == "*" else [step])
            if key in below
        ]
    yield from (before for before, _ in found)


def without(values: dict[str, Any], way: Way) -> dict[str, Any]:
    changed = copy.deepcopy(values)
    branch = changed
    for step in way[:-1]:
        branch = branch[step]
    del branch[way[-1]]
    return changed


@pytest.mark.parametrize("way", [way for way in LEAVES if way[0] not in MAPS] + ENTRIES, ids=".".join)
def test_some_ci_file_sets_and_without_it_would_render_otherwise(way: Way) -> None:
    tried = [
        (values, each)
        for values in (yaml.safe_load(file.read_text()) for file in CI_FILES)
        for each in set_in(values, way)
    ]
    assert tried, "no helm/ci/*-values.yaml sets it"
    assert any(render(values).objects != render(without(values, each)).objects for values, each in tried)


def test_the_chart_has_the_version_of_the_program() -> None:
    project = tomllib.loads((CHART.parent / "pyproject.toml").read_text())["project"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == chart["version"] == project["version"]
    root = CHART.parent
    assert f'ARG VERSION="{project["version"]}"' in (root / "Dockerfile").read_text()
    assert f"tag: {project['version']}}}" in (root / "README.md").read_text()
