"""The model, taken apart: every leaf with its name, environment name, description and default.

Owns the reading of the model; knows no setting by name but the map of stores.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from backup.settings.branches import Section, StoreSettings
from backup.settings.kinds import Env, Size, exact_size
from backup.settings.model import Settings
from backup.settings.rows import TableSettings

Path = tuple[str, ...]
ANY = "*"
"""Stands in a path for the name of a store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """One setting.

    Attributes:
        path: its place in the tree; `*` for a store's name.
        env: its environment names.
        default: as it would be written in YAML; None for unset.
        choices: the words that are possible, where only some are.
        shape: what is written: `text`, `int`, `bool`, `size`, `list`, `map`, `tables`.
    """

    path: Path
    env: Env
    description: str
    default: object
    secret: bool
    choices: tuple[str, ...]
    shape: str

    @property
    def name(self) -> str:
        """For example `dump.zstd_level`."""
        return ".".join(self.path)

    @property
    def shown_default(self) -> str | None:
        """The default for people; None where there is none."""
        if self.env.shown_default:
            return self.env.shown_default
        if self.default is None or self.default in ((), {}):
            return None
        if isinstance(self.default, dict):
            return ",".join(f"{name}={value}" for name, value in self.default.items())
        return str(self.default).lower() if isinstance(self.default, bool) else str(self.default)


@cache
def leaves() -> tuple[Leaf, ...]:
    """All of them, in the order of the model."""
    return tuple(_walk(Settings, ()))


def leaf(name: str) -> Leaf:
    """The one of this name. Raises KeyError where there is none."""
    for each in leaves():
        if each.name == name:
            return each
    raise KeyError(name)


def leaf_at(path: Path) -> Leaf | None:
    """The one at a place, in which a store has its own name."""
    general = ("stores", ANY, *path[2:]) if path[:1] == ("stores",) else path
    return next((each for each in leaves() if each.path == general), None)


def section_of(field: FieldInfo) -> type[Section] | None:
    """The branch that a field holds, where it holds one."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def _walk(model: type[BaseModel], path: Path) -> Iterator[Leaf]:
    for name, field in model.model_fields.items():
        branch = section_of(field)
        if branch:
            yield from _walk(branch, (*path, name))
        elif field.annotation == dict[str, StoreSettings]:
            yield from _walk(StoreSettings, (*path, name, ANY))
        else:
            yield _leaf(field, (*path, name))


def _leaf(field: FieldInfo, path: Path) -> Leaf:
    env = next(mark for mark in field.metadata if isinstance(mark, Env))
    kinds = list(_parts(field.annotation))
    shape = _shape(kinds, field)
    default = None if env.shown_default or field.is_required() else field.get_default(call_default_factory=True)
    return Leaf(
        path=path,
        env=env,
        description=field.description or "",
        default=exact_size(default) if shape == "size" and isinstance(default, int) else default,
        secret=SecretStr in kinds,
        choices=tuple(word for kind in kinds if get_origin(kind) is Literal for word in get_args(kind)),
        shape=shape,
    )


def _parts(kind: Any) -> Iterator[Any]:  # noqa: ANN401 -- a type expression has no type of its own
    """The types of which an annotation is made, without `| None`."""
    if get_origin(kind) is Annotated:
        yield from _parts(get_args(kind)[0])
    elif get_origin(kind) in {Union, UnionType}:
        for part in get_args(kind):
            yield from _parts(part)
    elif kind is not type(None):
        yield kind


def _shape(kinds: list[Any], field: FieldInfo) -> str:
    size_reader = get_args(Size)[1]
    if size_reader in field.metadata or size_reader in _metadata(field.annotation):
        return "size"
    shapes = {
        bool: "bool",
        int: "int",
        tuple[str, ...]: "list",
        dict[str, str]: "map",
        dict[str, TableSettings]: "tables",
    }
    return next((shapes[kind] for kind in kinds if get_origin(kind) is not Literal and kind in shapes), "text")


def _metadata(kind: Any) -> tuple[Any, ...]:  # noqa: ANN401 -- as above
    if get_origin(kind) is Annotated:
        return get_args(kind)[1:]
    return tuple(mark for part in get_args(kind) for mark in _metadata(part))
