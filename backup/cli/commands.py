"""The table of commands. A command's module is imported when it is called, not before.

Owns which commands there are and in which order they are shown: those of the table whose file is there. Its line
in `pgproof --help` is the first line of its module's docstring, after the colon.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
from collections.abc import Mapping
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

import click

Table = Mapping[str, str]
"""Names of commands and of their modules."""

TABLE = {
    "backup": "backup.cli.backup",
    "list": "backup.cli.list",
    "show": "backup.cli.show",
    "verify": "backup.cli.verify",
    "restore": "backup.cli.restore",
    "drill": "backup.cli.drill",
    "diff": "backup.cli.diff",
    "report": "backup.cli.report",
    "check": "backup.cli.check",
    "watch": "backup.cli.watch",
    "serve": "backup.cli.serve",
    "prune": "backup.cli.prune",
    "hold": "backup.cli.hold",
    "release": "backup.cli.release",
    "accept": "backup.cli.accept",
    "copy": "backup.cli.copy",
    "export": "backup.cli.export",
    "sync": "backup.cli.sync",
    "key": "backup.cli.key",
    "notify": "backup.cli.notify",
    "doctor": "backup.cli.doctor",
    "config": "backup.cli.config",
    "demo": "backup.cli.demo",
}
PLUGIN_TABLE = {
    "status": "backup.cli.plugin.status",
    "backup": "backup.cli.plugin.backup",
    "list": "backup.cli.plugin.list",
    "restore": "backup.cli.plugin.restore",
    "drill": "backup.cli.plugin.drill",
    "run": "backup.cli.plugin.run",
    "logs": "backup.cli.plugin.logs",
}
"""Those of `kubectl pgproof`."""

_VARIABLE = re.compile(r'envvar="(\w+)"')


def names(table: Table = TABLE) -> list[str]:
    """The commands that work."""
    return [name for name, module in table.items() if importlib.util.find_spec(module)]


def load(name: str, table: Table = TABLE) -> click.Command:
    """The command of this name. Raises KeyError where there is none."""
    module = importlib.import_module(table[name])
    for each in vars(module).values():
        if isinstance(each, click.Command) and each.name == name:
            return each
    raise KeyError(name)


def short_help(name: str, table: Table = TABLE) -> str:
    """What a command is for, in one line, without importing it."""
    spec = importlib.util.find_spec(table[name])
    if spec is None or not isinstance(spec.loader, SourceFileLoader):
        raise KeyError(name)
    source = spec.loader.get_source(spec.name) or ""
    first = source.partition("\n")[0]
    line = ast.literal_eval(first if first.count('"""') == 2 else f'{first}"""')  # noqa: PLR2004 -- opened and closed
    text = str(line).partition(": ")[2].rstrip(".")
    return text[:1].upper() + text[1:] + "."


def option_variables() -> frozenset[str]:
    """The environment names of options that are not settings, as the sources have them: to import all takes memory."""
    package = Path(__file__).parent
    return frozenset(name for file in package.rglob("*.py") for name in _VARIABLE.findall(file.read_text("utf-8")))


class Commands(click.Group):
    """The group of all commands of a table."""

    def __init__(self, *arguments: Any, table: Table = TABLE, **attributes: Any) -> None:  # noqa: ANN401 -- click's
        super().__init__(*arguments, **attributes)
        self._table = table

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- click's signature
        """Their names, in the order of the table."""
        return names(self._table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 -- the same
        """The command of this name, if there is one."""
        return load(cmd_name, self._table) if cmd_name in names(self._table) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 -- the same
        """Their names and lines."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, short_help(name, self._table)) for name in names(self._table)])
