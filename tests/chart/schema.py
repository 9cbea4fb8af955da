"""values.schema.json, made of values.yaml. Owns how the rules in its comments are said in JSON Schema."""

from __future__ import annotations

import json
from typing import Any

import yaml

from tests.chart.values import Value, read_values

Schema = dict[str, Any]

_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}
_ROOT = "Values of the chart pgproof."
_NEEDED = ("config", "resources", "databases")
"""Maps that templates look into."""
_PORT = {"type": "integer", "minimum": 1, "maximum": 65535}


def schema_text() -> str:
    """The file's content."""
    return json.dumps(schema(read_values()), indent=2, ensure_ascii=False) + "\n"


def schema(values: dict[str, Value]) -> Schema:
    """The schema of all values; strict: what is not there may not be said."""
    root: Schema = {"$schema": "http://json-schema.org/draft-07/schema#", **_branch(_ROOT)}
    for value in values.values():
        _place(root, value.way, _of(value, values))
    _require(root)
    # A parent chart hands its `global` on to every chart that it uses.
    root["properties"]["global"] = {"description": "Of a parent chart; not used here.", "type": "object"}
    return root


def _branch(description: str) -> Schema:
    return {"description": description, "type": "object", "additionalProperties": False, "properties": {}}


def _require(branch: Schema) -> None:
    """Sections must be there: one that is left empty (`webhook:`) takes away all its defaults."""
    properties: dict[str, Schema] = branch["properties"]
    sections = [name for name, each in properties.items() if each.get("properties")]
    needed = _NEEDED if branch["description"] == _ROOT else ()
    wanted = dict.fromkeys([*sections, *needed])
    if wanted:
        branch["required"] = list(wanted)
    for name in sections:
        _require(properties[name])


def _place(root: Schema, way: tuple[str, ...], what: Schema) -> None:
    parent = root
    for step in way[:-1]:
        parent = parent["properties"].setdefault(step, _branch(f"What an entry says of `{step}`."))
    parent["properties"][way[-1]] = what


def _of(value: Value, values: dict[str, Value]) -> Schema:
    if not value.is_leaf:
        return _branch(value.description)
    said: Schema = {"description": value.description, **_shape(value)}
    if "entry" in value.rules:
        entry = _branch("One of them.")
        for name in value.rules["entry"].split():
            way = tuple(name.removeprefix("database.").removeprefix("store.").split("."))
            inherited = _of(values[name], values)
            _place(entry, way, inherited)
            for child in values.values():
                if child.name.startswith(f"{name}."):
                    _place(entry, (*way, *child.way[len(values[name].way) :]), _of(child, values))
        said |= {"propertyNames": {"pattern": value.rules["keys"]}, "additionalProperties": entry}
    return said


def _shape(value: Value) -> Schema:
    """Type and limits of a leaf."""
    rules = value.rules
    if "enum" in rules:
        choices = [yaml.safe_load(word) for word in rules["enum"].split()]
        return {"type": _one_or_many([_TYPES[type(choice)] for choice in choices]), "enum": choices}
    if "map" in rules:
        return {"type": "object", "additionalProperties": {"type": _one_or_many(rules["map"].split())}}
    if "ports" in rules:
        # An empty list of ports would be a rule that lets everything out.
        return {"type": "array", "items": _PORT} | ({"minItems": 1} if value.default else {})
    if "list" in rules:
        words = rules["list"].split()
        least = {"minItems": 1} if words else {}
        return {"type": "array", "items": {"type": "string"} | ({"enum": words} if words else {}), **least}
    if rules.get("free"):
        return {"type": "array", "items": {"type": rules["free"]}}
    limits: Schema = {word: int(rules[word]) for word in ("minLength", "minimum", "maximum") if word in rules}
    pattern = {"pattern": rules["pattern"]} if "pattern" in rules else {}
    types = rules["type"].split() if "type" in rules else [_TYPES[type(value.default)]]
    return {"type": _one_or_many(types), **pattern, **limits}


def _one_or_many(types: list[str]) -> str | list[str]:
    several = list(dict.fromkeys(types))
    return several[0] if len(several) == 1 else several
