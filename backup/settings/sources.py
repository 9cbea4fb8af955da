"""Where values come from: the environment, files of secrets, and the YAML file. Collects, does not judge values.

Owns the rules of `…_FILE`, of unknown names, and of whose word counts among sources of one kind.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Literal

from pydantic import BaseModel

from backup.domain.words import nearest
from backup.errors import ConfigurationError
from backup.settings.branches import StoreSettings
from backup.settings.kinds import Env
from backup.settings.leaves import ANY, Leaf, Path, leaf_at, leaves, section_of
from backup.settings.model import Settings

PREFIX = "PGPROOF_"
LIBPQ = ("PGSERVICE", "PGDATABASE", "PGHOST", "PGHOSTADDR")
"""Variables of libpq of which one is enough to say where a database is."""

OF_EVERY_COMMAND = frozenset({"PGPROOF_CONFIG", "PGPROOF_JSON", "PGPROOF_TERMINATION_LOG"})
"""Variables that say where settings are, how results look, and where the outcome is left."""

_INJECTED = re.compile(r"PGPROOF_(.*_)?(PORT|SERVICE)(_.*)?")
"""Kubernetes adds such names to every container for a Service called pgproof."""
_LINE_END = "\r\n"
_LARGEST_SECRET = 1 << 20
"""A file of more bytes is no secret but a mistake (a guess)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Who said a value: `kind`, and how the user called it there."""

    kind: Literal["flag", "environment", "file", "default"]
    name: str
    place: str

    def __str__(self) -> str:
        return f"{self.name} ({self.place})"


@dataclass(slots=True)
class Found:
    """What sources said so far: values and their origins by path, and what is wrong with them."""

    values: dict[Path, object] = field(default_factory=dict)
    origins: dict[Path, Origin] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def add(self, path: Path, value: object, origin: Origin) -> None:
        """Note a value."""
        self.values[path] = value
        self.origins[path] = origin

    def refuse(self, origin: Origin, reason: str) -> None:
        """Note a problem."""
        self.problems.append(f"{origin}: {reason}")


def from_variable(name: str) -> Origin:
    """The origin of an environment variable."""
    return Origin(kind="environment", name=name, place="environment")


def read_environment(environ: Mapping[str, str], found: Found, wanted: Iterable[Leaf]) -> None:
    """Note what the variables of `wanted` leaves say; an empty one says nothing."""
    for leaf in wanted:
        if not leaf.env.name:
            continue
        plain, in_file = leaf.env.name, f"{leaf.env.name}_FILE"
        if leaf.secret and environ.get(in_file):
            if environ.get(plain):
                found.refuse(from_variable(plain), f"is set, and {in_file} too; set one of them")
                continue
            _add_secret(FilePath(environ[in_file]), leaf.path, from_variable(in_file), found)
        elif environ.get(plain):
            found.add(leaf.path, _plain(leaf, environ[plain]), from_variable(plain))


def read_ambient(environ: Mapping[str, str], env: Env) -> tuple[str, Origin] | None:
    """What somebody else's variable says that is honoured for a leaf."""
    name = next((name for name in env.ambient if environ.get(name)), None)
    return (environ[name].rstrip(_LINE_END), from_variable(name)) if name else None


def _plain(leaf: Leaf, text: str) -> str:
    """A variable's text. A secret often comes from a file, by `kubectl create secret --from-file`, with its newline."""
    return text.rstrip(_LINE_END) if leaf.secret else text


def unknown_variables(environ: Mapping[str, str], more_known: Callable[[], Collection[str]]) -> list[str]:
    """A line for each variable with our prefix that nobody reads.

    Args:
        environ: the environment.
        more_known: names that are not of the model; asked for only when something looks unknown.
    """
    known = {name for leaf in leaves() if (name := leaf.env.name)} | OF_EVERY_COMMAND
    known |= {f"{leaf.env.name}_FILE" for leaf in leaves() if leaf.env.name and leaf.secret}
    strange = [name for name in environ if name.startswith(PREFIX) and name not in known]
    strange = [name for name in strange if not _INJECTED.fullmatch(name)]
    if strange:
        known |= set(more_known())
    return [f"{name} is not known{nearest(name, known)}" for name in sorted(strange) if name not in known]


def read_file(file: FilePath, found: Found) -> None:
    """Note what a YAML file says.

    Raises:
        ConfigurationError: it cannot be read, or is no YAML mapping.
    """
    import yaml  # noqa: PLC0415 -- most runs have no file

    try:
        tree = yaml.safe_load(file.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"cannot read {file}: {(error.strerror or str(error)).lower()}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}" if mark else "it"
        raise ConfigurationError(f"{file} is not YAML: {where}: {getattr(error, 'problem', None)}") from None
    if tree is None:
        return
    if not isinstance(tree, Mapping):
        raise ConfigurationError(f"{file} must be a mapping of settings")
    _Tree(file, found).section(Settings, tree, ())


class _Tree:
    """Walks a YAML tree beside the model."""

    def __init__(self, file: FilePath, found: Found) -> None:
        self._file = file
        self._found = found

    def section(self, model: type[BaseModel], tree: Mapping[object, object], path: Path) -> None:
        """Note what a branch says."""
        files = {f"{name}_file": name for name in model.model_fields if self._is_secret((*path, name))}
        for key, value in tree.items():
            here = (*path, str(key))
            if key in files:
                self._secret_in_file(tree, (*path, files[str(key)]), value, here)
            elif key not in model.model_fields:
                known = [*model.model_fields, *files]
                self._found.refuse(self._origin(here), f"is not a setting{nearest(str(key), known)}")
            elif value is not None:
                self._field(model, here, value)

    def _field(self, model: type[BaseModel], path: Path, value: object) -> None:
        branch = section_of(model.model_fields[path[-1]])
        if branch is None and path != ("stores",):
            self._found.add(path, value, self._origin(path))
        elif not isinstance(value, Mapping):
            self._found.refuse(self._origin(path), "must be a mapping")
        elif branch:
            self.section(branch, value, path)
        else:
            self._stores(value)

    def _stores(self, tree: Mapping[object, object]) -> None:
        for name, value in tree.items():
            path = ("stores", str(name))
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", str(name)):
                self._found.refuse(self._origin(path), "must be named with letters, digits, - and _")
            elif isinstance(value, str):
                self._found.add((*path, "url"), value, self._origin(path))
            elif not isinstance(value, Mapping):
                self._found.refuse(self._origin(path), "must be a mapping, or an address")
            elif not value.get("url"):
                self._found.refuse(self._origin((*path, "url")), "is missing")
            else:
                self.section(StoreSettings, value, path)

    def _secret_in_file(self, tree: Mapping[object, object], path: Path, value: object, here: Path) -> None:
        origin = self._origin(here)
        if tree.get(path[-1]) is not None:
            self._found.refuse(origin, f"is set, and {path[-1]} too; set one of them")
        elif isinstance(value, str) and value:
            _add_secret(self._file.parent / value, path, origin, self._found)
        elif value is not None:
            self._found.refuse(origin, "must be the path of a file")

    def _origin(self, path: Path) -> Origin:
        return Origin(kind="file", name=".".join(path), place=str(self._file))

    @staticmethod
    def _is_secret(path: Path) -> bool:
        leaf = leaf_at(path)
        return leaf is not None and leaf.secret


def _add_secret(file: FilePath, path: Path, origin: Origin, found: Found) -> None:
    try:
        with file.open("rb") as stream:
            data = stream.read(_LARGEST_SECRET + 1)
        text = data.decode()
    except OSError as error:
        found.refuse(origin, f"cannot read {os.fspath(file)}: {(error.strerror or str(error)).lower()}")
        return
    except UnicodeDecodeError:
        found.refuse(origin, f"{os.fspath(file)} is not text")
        return
    text = text.rstrip(_LINE_END)
    if not text or len(data) > _LARGEST_SECRET:
        found.refuse(origin, f"{os.fspath(file)} is {'empty' if not text else 'too large for a secret'}")
        return
    found.add(path, text, origin)


def store_leaves() -> tuple[Leaf, ...]:
    """The leaves of one store."""
    return tuple(leaf for leaf in leaves() if leaf.path[:2] == ("stores", ANY))
