"""Puts the settings together: flag > environment > file > default, and all problems told at once.

Owns the precedence and the wording of problems; the values' own rules are in `model` and `kinds`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from backup.errors import ConfigurationError
from backup.settings.kinds import exact_size, looks_like_url
from backup.settings.leaves import ANY, Leaf, Path, leaf, leaf_at, leaves
from backup.settings.model import Settings
from backup.settings.sources import (
    LIBPQ,
    Found,
    Origin,
    from_variable,
    read_ambient,
    read_environment,
    read_file,
    store_leaves,
    unknown_variables,
)

_KEYS = frozenset({"access_key", "secret_key", "session_token"})
"""They belong together: a store that has one of them from the file gets none from the environment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The settings, who said each (`origins`; what is not there is a default), and what looks like a mistake."""

    settings: Settings
    origins: dict[Path, Origin]
    warnings: tuple[str, ...]


def load(
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    *,
    file: FilePath | None = None,
    flag_names: Mapping[str, str] | None = None,
) -> Settings:
    """The settings. See `read`."""
    return read(flags, environ, file=file, flag_names=flag_names).settings


def read(
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    *,
    file: FilePath | None = None,
    flag_names: Mapping[str, str] | None = None,
    more_known: Callable[[], Collection[str]] = tuple,
) -> Loaded:
    """The settings and where each comes from.

    Args:
        flags: values by name of the setting (`dump.zstd_level`); None says nothing. `stores` is an address; one that
            nobody else has named takes the place of all stores.
        environ: the environment.
        file: the YAML file, if there is one.
        flag_names: how the user writes a flag, by name of the setting.
        more_known: variables beginning with `PGPROOF_` that are not settings; asked for only when needed.

    Raises:
        ConfigurationError: with a line for every problem in any source.
    """
    found = Found()
    if file:
        read_file(file, found)
    named = Found(problems=found.problems)
    read_environment(environ, named, [each for each in leaves() if each.path[0] != "stores"])
    found.values |= named.values
    found.origins |= named.origins
    _add_flags(flags, flag_names or {}, found)
    _add_ambient(environ, found)
    _Stores(found, environ).settle(flags.get("stores"))
    settings = _checked(found)
    return Loaded(settings=settings, origins=found.origins, warnings=tuple(unknown_variables(environ, more_known)))


def _add_flags(flags: Mapping[str, object], names: Mapping[str, str], found: Found) -> None:
    for name, value in flags.items():
        if value is not None and name != "stores":
            origin = Origin(kind="flag", name=names.get(name, name), place="flag")
            found.add(leaf(name).path, value, origin)


def _add_ambient(environ: Mapping[str, str], found: Found) -> None:
    for each in leaves():
        said = read_ambient(environ, each.env) if each.path not in found.values else None
        if said and each.path[0] != "stores":
            found.add(each.path, *said)
    url = ("database", "url")
    libpq = next((name for name in LIBPQ if environ.get(name)), None)
    if url not in found.values and libpq:
        found.add(url, "", from_variable(libpq))


class _Stores:
    """Settles which stores there are: those of the flag, else of the environment, else of the file."""

    def __init__(self, found: Found, environ: Mapping[str, str]) -> None:
        self._found = found
        self._environ = environ
        self._shared = Found(problems=found.problems)
        read_environment(environ, self._shared, [each for each in store_leaves() if each.path[-1] != "url"])

    def settle(self, flag: object) -> None:
        named = self._environ.get("PGPROOF_STORE")
        if named:
            entries = [entry.strip() for entry in named.split(",") if entry.strip()]
            self._replace(entries, from_variable("PGPROOF_STORE"))
        if isinstance(flag, str) and looks_like_url(flag) and flag not in self._urls():
            self._replace([flag], Origin(kind="flag", name="--store", place="flag"))
        for name in self._names():
            self._fill(name)

    def _names(self) -> list[str]:
        return list(dict.fromkeys(path[1] for path in self._found.values if path[0] == "stores"))

    def _urls(self) -> set[object]:
        """The addresses of all stores that somebody has named."""
        return {value for path, value in self._found.values.items() if path[0] == "stores" and path[2:] == ("url",)}

    def _replace(self, entries: list[str], origin: Origin) -> None:
        """Let `entries` be all stores; one that is defined already, by name or address, stays as it is."""
        old = {name: self._take(name) for name in self._names()}
        urls = {said[("url",)][0]: name for name, said in old.items() if ("url",) in said}
        for number, entry in enumerate(entries, start=1):
            name = entry if entry in old else urls.get(entry)
            if name:
                for rest, (value, said) in old[name].items():
                    self._found.add(("stores", name, *rest), value, said)
            elif looks_like_url(entry):
                free = self._free_name(number, taken=set(old))
                self._found.add(("stores", free, "url"), entry, origin)
            else:
                reason = f"there is no store {entry!r} in the file; a folder is written /{entry} or ./{entry}"
                self._found.refuse(origin, reason)

    def _free_name(self, number: int, *, taken: set[str]) -> str:
        name = "main" if number == 1 else f"store{number}"
        while name in taken:
            number += 1
            name = f"store{number}"
        return name

    def _take(self, name: str) -> dict[Path, tuple[object, Origin]]:
        paths = [path for path in self._found.values if path[:2] == ("stores", name)]
        return {path[2:]: (self._found.values.pop(path), self._found.origins.pop(path)) for path in paths}

    def _fill(self, name: str) -> None:
        """Add what the environment says of every S3 store and nobody said of this one."""
        if not str(self._found.values.get(("stores", name, "url"), "")).startswith("s3://"):
            return
        has_keys = any(("stores", name, key) in self._found.values for key in _KEYS)
        for each in store_leaves():
            path = ("stores", name, each.path[-1])
            shared = ("stores", ANY, each.path[-1])
            if path in self._found.values or (has_keys and path[-1] in _KEYS):
                continue
            if shared in self._shared.values:
                self._found.add(path, self._shared.values[shared], self._shared.origins[shared])
            elif said := read_ambient(self._environ, each.env):
                self._found.add(path, *said)


def _checked(found: Found) -> Settings:
    problems = list(found.problems)
    settings = None
    try:
        settings = Settings.model_validate(_tree(found.values))
    except ValidationError as error:
        problems += [_line(dict(each), found) for each in error.errors(include_url=False, include_input=False)]
    problems = list(dict.fromkeys(problems))
    if settings is not None and not problems:
        return settings
    if len(problems) == 1:
        raise ConfigurationError(problems[0], hint=_HINT)
    raise ConfigurationError(f"{len(problems)} settings are wrong", detail="\n".join(problems), hint=_HINT)


_HINT = "pgproof config --reference explains every setting"


def _tree(values: Mapping[Path, object]) -> dict[str, Any]:
    root: dict[str, Any] = {}
    for path, value in values.items():
        branch = root
        for step in path[:-1]:
            branch = branch.setdefault(step, {})
        branch[path[-1]] = value
    return root


def _line(error: Mapping[str, Any], found: Found) -> str:
    """One problem as a line: name and source, then what is wrong."""
    steps = tuple(str(step) for step in error["loc"])
    for length in range(len(steps), 0, -1):
        origin = found.origins.get(steps[:length])
        if origin:
            leaf = leaf_at(steps[:length])
            deeper = ".".join(steps[length:]) if leaf and leaf.shape == "tables" else ""
            return f"{origin}: {f'{deeper}: ' if deeper else ''}{explain(error, leaf)}"
    reason = explain(error, None)
    return f"{'.'.join(steps)}: {reason}" if steps else reason


_REASONS = {
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be text; put it in quotes",
    "tuple_type": "must be a list",
    "dict_type": "must be a map of names and values",
    "model_type": "must be a map of names and values",
    "extra_forbidden": "is not a setting",
    "path_type": "must be the path of a file",
}


def explain(error: Mapping[str, Any], leaf: Leaf | None) -> str:
    """What is wrong with a value, for people; never the value of a secret."""
    kind, context = error["type"], error.get("ctx") or {}
    size = leaf is not None and leaf.shape == "size"
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        return f"must be {context['expected']}".replace("'", "")
    if kind in {"greater_than_equal", "less_than_equal"}:
        word, bound = ("least", context["ge"]) if "ge" in context else ("most", context["le"])
        return f"must be at {word} {exact_size(bound) if size else bound}"
    if size and kind.startswith("int_"):
        return "must be a size such as 64MiB"
    return _REASONS.get(kind) or str(error["msg"])[:1].lower() + str(error["msg"])[1:]
