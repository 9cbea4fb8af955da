"""The settings as YAML: the annotated reference of all, and those in effect with their sources.

Owns the look of both; they come from the model alone.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

from pydantic import BaseModel, SecretStr

from backup.settings.branches import StoreSettings
from backup.settings.kinds import exact_size
from backup.settings.leaves import ANY, Leaf, Path, leaf_at, leaves
from backup.settings.loading import Loaded
from backup.settings.model import Settings

MASK = "********"
_WIDTH = 110
_EXAMPLE_STORE = "main"
_BRANCHES = {**{name: field.annotation for name, field in Settings.model_fields.items()}, "stores": StoreSettings}


def reference() -> str:
    """Every setting as a commented YAML file, which is valid and says nothing but the defaults."""
    lines = ["# Everything that can be set, with its default. Flags win over variables, those over this file.", ""]
    before: Path = ()
    for each in leaves():
        opening = _opening(before, each.path)
        lines += opening or ([""] if before else [])
        lines += [f"{_indent(each.path)}{line}" for line in _annotated(each)]
        before = each.path
    return "\n".join(lines) + "\n"


def effective(loaded: Loaded) -> list[dict[str, object]]:
    """The settings in effect: name, value (secrets masked), source kind and place, in the order of the model."""
    return [
        {"name": ".".join(path), "value": value, "source": _source(loaded, path)}
        for path, value in _walk(loaded.settings, ())
    ]


def effective_yaml(loaded: Loaded) -> str:
    """The same as YAML, each line with its source behind it."""
    rows: list[tuple[str, str]] = []
    before: Path = ()
    for path, value in _walk(loaded.settings, ()):
        for depth, step in enumerate(path[:-1]):
            if before[: depth + 1] != path[: depth + 1]:
                rows.append((f"{'  ' * depth}{step}:", ""))
        rows.append((f"{_indent(path)}{path[-1]}: {_yaml(value)}", f"# {_source(loaded, path)}"))
        before = path
    width = min(max(len(line) for line, _ in rows), _WIDTH // 2)
    return "".join(f"{line:<{width}}  {source}".rstrip() + "\n" for line, source in rows)


def _opening(before: Path, path: Path) -> list[str]:
    """The lines that open the branches of `path` that are not open yet."""
    lines = []
    for depth, step in enumerate(path[:-1]):
        if before[: depth + 1] == path[: depth + 1]:
            continue
        if depth == 0:
            branch = _BRANCHES[step]
            lines += ["", f"# {(branch.__doc__ or '').strip()}", f"{step}:"]
        else:
            lines.append(f"{'  ' * depth}{_EXAMPLE_STORE if step == ANY else step}:")
    return lines


def _annotated(each: Leaf) -> Iterator[str]:
    yield from (f"# {line}" for line in textwrap.wrap(each.description, _WIDTH))
    if each.choices:
        yield f"# One of: {', '.join(each.choices)}"
    names = [f"{each.env.name} (or {each.env.name}_FILE)" if each.secret else each.env.name] if each.env.name else []
    names += [f"else {name}" for name in each.env.ambient]
    yield f"# Environment: {', '.join(names) or 'none'}"
    if each.env.shown_default:
        yield f"# Default: {each.env.shown_default}"
    key = each.path[-1]
    if each.path == ("stores", ANY, "url"):
        yield f'{key}: "s3://bucket/prefix"'
    elif each.default is None:
        yield f"# {key}_file: /path/of/a/file" if each.secret else f"# {key}:"
    else:
        yield f"{key}: {_yaml(each.default)}"


def _walk(model: BaseModel, path: Path) -> Iterator[tuple[Path, object]]:
    for name in type(model).model_fields:
        value = getattr(model, name)
        here = (*path, name)
        if isinstance(value, BaseModel):
            yield from _walk(value, here)
        elif here == ("stores",):
            for store, each in value.items():
                yield from _walk(each, (*here, store))
        else:
            yield here, _shown(value, leaf_at(here))


def _shown(value: Any, leaf: Leaf | None) -> object:  # noqa: ANN401 -- a value of any setting
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, tuple):
        return list(value)
    if leaf and leaf.shape == "tables":  # of each what was said
        return {name: each.model_dump(mode="json", exclude_unset=True) for name, each in value.items()}
    if leaf and leaf.shape == "size" and isinstance(value, int):
        return exact_size(value)
    return value


def _source(loaded: Loaded, path: Path) -> str:
    origin = loaded.origins.get(path)
    if origin is None:
        return "default"
    return f"file: {origin.place}" if origin.kind == "file" else f"{origin.kind}: {origin.name}"


def _yaml(value: object) -> str:
    """A value on one line; JSON is YAML, and words that YAML takes for something else are quoted."""
    if isinstance(value, str) and value.replace("_", "a").replace("-", "a").isalnum() and not _ambiguous(value):
        return value
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)


def _ambiguous(word: str) -> bool:
    return word[0] in "0123456789-" or word.lower() in {"on", "off", "yes", "no", "true", "false", "null", "y", "n"}


def _indent(path: Path) -> str:
    return "  " * (len(path) - 1)
