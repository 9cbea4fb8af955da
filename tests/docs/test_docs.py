"""The pages say what the program does: nothing missing, nothing of yesterday."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from backup import errors
from backup.cli import commands
from backup.cli.commands import option_variables
from backup.errors import Interrupted, PgproofError
from backup.settings.leaves import leaves
from tests.docs.generate import DOCS, pages

ROOT = DOCS.parent
PROSE = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
OTHER_NAMES = {"PGPROOF_CONFIG", "PGPROOF_TERMINATION_LOG"}


def everything_written() -> str:
    return "\n".join(page.read_text() for page in PROSE)


def every_failure() -> list[type[PgproofError]]:
    found = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, PgproofError)]
    return [each for each in found if each not in {PgproofError, Interrupted}]


@pytest.mark.parametrize("name", sorted(pages()))
def test_a_generated_page_is_current(name: str) -> None:
    assert (DOCS / name).read_text() == pages()[name], "run `make docs`"


EVERY_COMMAND = [
    pytest.param(table, name, id=f"{program}-{name}")
    for program, table in (("pgproof", commands.TABLE), ("kubectl", commands.PLUGIN_TABLE))
    for name in commands.names(table)
]


def is_named(table: commands.Table, name: str) -> bool:
    """Whether the pages name a command as it is called, or in the plugin's own table."""
    if table is commands.TABLE:
        return re.search(rf"(?<!kubectl )\bpgproof {name}\b", everything_written()) is not None
    row = re.search(rf"^\| `{name}\b", (DOCS / "kubectl.md").read_text(), re.MULTILINE)
    return row is not None or f"kubectl pgproof {name}" in everything_written()


@pytest.mark.parametrize(("table", "name"), EVERY_COMMAND)
def test_every_command_and_option_is_in_the_docs(table: commands.Table, name: str) -> None:
    assert is_named(table, name)
    written = everything_written()
    for parameter in commands.load(name, table).params:
        for spelling in (*parameter.opts, *parameter.secondary_opts):
            if isinstance(parameter, click.Option):
                assert spelling in written


@pytest.mark.parametrize(("table", "name"), EVERY_COMMAND)
def test_every_option_has_an_environment_variable_that_help_shows(table: commands.Table, name: str) -> None:
    command = commands.load(name, table)
    context = click.Context(command)
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            record = parameter.get_help_record(context)
            assert record, parameter.opts
            assert re.search(r"env var: .*(PGPROOF_|\bKUBECONFIG\b)", record[1], re.DOTALL), parameter.opts


@pytest.mark.parametrize(("table", "name"), EVERY_COMMAND)
def test_every_command_has_a_line_in_the_help(table: commands.Table, name: str) -> None:
    assert re.fullmatch(r"[A-Z].{8,70}\.", commands.short_help(name, table))


@pytest.mark.parametrize(
    ("table", "folder", "mark"),
    [(commands.TABLE, ".", "@command("), (commands.PLUGIN_TABLE, "plugin", "@plugin_command(")],
    ids=["pgproof", "kubectl"],
)
def test_every_command_module_is_in_the_table(table: commands.Table, folder: str, mark: str) -> None:
    files = (Path(commands.__file__).parent / folder).glob("*.py")
    with_a_command = {file.stem for file in files if file.stem != "options" and mark in file.read_text()}
    assert set() < with_a_command <= {module.rpartition(".")[2] for module in table.values()}


def known_variables() -> set[str]:
    ours = {each.env.name for each in leaves() if each.env.name}
    in_files = {f"{each.env.name}_FILE" for each in leaves() if each.env.name and each.secret}
    return ours | in_files | option_variables() | OTHER_NAMES


@pytest.mark.parametrize("page", PROSE, ids=lambda page: page.name)
def test_every_variable_in_the_docs_exists(page: Path) -> None:
    named = set(re.findall(r"\bPGPROOF_[A-Z0-9_]*[A-Z0-9]\b(?!_)", page.read_text()))
    assert named <= known_variables()


def test_every_variable_is_in_the_docs() -> None:
    written = everything_written()
    assert [name for name in sorted(known_variables()) if name not in written] == []


def table_of_exit_codes() -> set[tuple[int, str, bool]]:
    rows = re.findall(
        r"^\| (\d+) \| `(\w+)` \| [^|]+ \| (yes|no) \|$", (DOCS / "exit-codes.md").read_text(), re.MULTILINE
    )
    return {(int(status), name, retry == "yes") for status, name, retry in rows}


def test_the_exit_codes_are_those_of_the_tree() -> None:
    tree = {(each.exit_code, each("x").code, each.retryable) for each in every_failure()}
    stopped = {(status, "interrupted", True) for status in (130, 143)}
    assert table_of_exit_codes() == tree | stopped | {(1, "bug", True)}


def test_the_tree_is_drawn_with_every_failure() -> None:
    drawn = dict(re.findall(r"── (\w+) +(\d+)", errors.__doc__ or ""))
    assert {each.__name__: str(each.exit_code) for each in every_failure()} == {
        name: status for name, status in drawn.items() if name != "Interrupted"
    }
