"""The table of commands. A command's module is imported when it is called, not before.

Owns which commands there are and in which order they are shown: those of the table whose file is there. Its line
in `pgproof --help` is the first line of its module's docstring, after the colon.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
from importlib.machinery import SourceFileLoader

import click

TABLE = {
    "backup": "backup.cli.backup",
    "list": "backup.cli.list",
    "show": "backup.cli.show",
    "verify": "backup.cli.verify",
    "restore": "backup.cli.restore",
    "doctor": "backup.cli.doctor",
    "config": "backup.cli.config",
    "demo": "backup.cli.demo",
}


def names() -> list[str]:
    """The commands that work."""
    return [name for name, module in TABLE.items() if importlib.util.find_spec(module)]


def load(name: str) -> click.Command:
    """The command of this name. Raises KeyError where there is none."""
    module = importlib.import_module(TABLE[name])
    for each in vars(module).values():
        if isinstance(each, click.Command) and each.name == name:
            return each
    raise KeyError(name)


def short_help(name: str) -> str:
    """What a command is for, in one line, without importing it."""
    spec = importlib.util.find_spec(TABLE[name])
    if spec is None or not isinstance(spec.loader, SourceFileLoader):
        raise KeyError(name)
    source = spec.loader.get_source(spec.name) or ""
    first = source.partition("\n")[0]
    line = ast.literal_eval(first if first.count('"""') == 2 else f'{first}"""')  # noqa: PLR2004 -- opened and closed
    text = str(line).partition(": ")[2].rstrip(".")
    return text[:1].upper() + text[1:] + "."


def option_variables() -> frozenset[str]:
    """The environment names of all options that are not settings."""
    found = set()
    for name in names():
        for parameter in load(name).params:
            listed = parameter.envvar
            found |= {listed} if isinstance(listed, str) else set(listed or ())
    return frozenset(found)


class Commands(click.Group):
    """The group of all commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- click's signature
        """Their names, in the order of the table."""
        return names()

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 -- the same
        """The command of this name, if there is one."""
        return load(cmd_name) if cmd_name in names() else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 -- the same
        """Their names and lines."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, short_help(name)) for name in names()])
