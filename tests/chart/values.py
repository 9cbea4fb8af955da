"""The chart's values.yaml, taken apart: each value with its description, its default and what may be written there.

Owns the convention of its comments: the block above a key describes it, and lines in it that begin with @ say what the
default cannot show. These are

    @pattern REGEX   @minLength N   @minimum N   @maximum N     as in JSON Schema
    @type TYPE …     its types, where the default has another
    @enum VALUE …    all that is possible, as YAML
    @free [TYPE]     a map, or a list of TYPE, in which anything may stand
    @map TYPE …      a map from any name to these types
    @list [WORD …]   a list of text, or of these words
    @ports           a list of ports
    @keys REGEX, @entry VALUE …    a map of entries that say these values (a parent is dropped if it is `database`)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parents[2] / "helm"
Way = tuple[str, ...]

_KEY = re.compile(r"( *)([A-Za-z][\w-]*):(?: |$)")
_MAPS = {"free", "map", "entry"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One key of values.yaml.

    Attributes:
        way: the keys that lead to it.
        description: its comment, on one line.
        rules: its @ lines, by their word.
        default: what values.yaml says.
    """

    way: Way
    description: str
    rules: dict[str, str]
    default: Any

    @property
    def name(self) -> str:
        """For example `store.url`."""
        return ".".join(self.way)

    @property
    def is_leaf(self) -> bool:
        """Whether it is a value itself, not only the parent of some."""
        return not isinstance(self.default, dict) or bool(_MAPS & self.rules.keys())


def read_values(file: Path = CHART / "values.yaml") -> dict[str, Value]:
    """Every value and every parent by name, in the order of the file."""
    text = file.read_text()
    return {value.name: value for value in _values(text, yaml.safe_load(text))}


def _values(text: str, tree: dict[str, Any]) -> Iterator[Value]:
    comment: list[str] = []
    parents: list[tuple[int, str]] = []
    inside_leaf: int | None = None
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("#"):
            comment.append(stripped.removeprefix("#").strip())
            continue
        key = _KEY.match(line)
        depth = len(key[1]) if key else 0
        if key and (inside_leaf is None or depth <= inside_leaf):
            parents = [(at, name) for at, name in parents if at < depth]
            way = (*(name for _, name in parents), key[2])
            value = _value(way, comment, tree)
            inside_leaf = depth if value.is_leaf else None
            parents.append((depth, key[2]))
            yield value
        comment = []


def _value(way: Way, comment: list[str], tree: dict[str, Any]) -> Value:
    default: Any = tree
    for step in way:
        default = default[step]
    rules: dict[str, str] = {}
    for line in comment:
        if line.startswith("@"):
            word, _, rest = line[1:].partition(" ")
            rules[word] = f"{rules.get(word, '')} {rest}".strip()
    description = " ".join(line for line in comment if not line.startswith("@"))
    return Value(way=way, description=description, rules=rules, default=default)
