"""Writes the pages that are made from the program: `make docs`. What they say comes from the model and from click.

Run as a module it writes them; `test_docs` compares.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from backup.cli import commands
from backup.settings.leaves import leaves
from backup.settings.reference import reference

DOCS = Path(__file__).parents[2] / "docs"
_MADE = "<!-- Made by `make docs`; do not edit. -->\n\n"


def pages() -> dict[str, str]:
    """The text of each page by its file's name."""
    return {"cli.md": cli_page(), "configuration.md": configuration_page()}


def cli_page() -> str:
    text = "# Commands\n\n" + _MADE
    text += "Every command also has `--help`. What an exit code means: [exit-codes.md](exit-codes.md).\n"
    for name in commands.names():
        text += "".join(f"{line}\n" for line in _command(name, commands.load(name)))
    return text


def configuration_page() -> str:
    secrets = ", ".join(f"`{each.env.name}`" for each in leaves() if each.secret)
    return (
        "# Configuration\n\n" + _MADE + "A setting is taken from a flag, else from the environment, else from the YAML "
        "file that `--config` or `PGPROOF_CONFIG` names,\nelse it has its default. All mistakes are told at once "
        "(exit code 3). `pgproof config` shows what is in effect and who said it.\n\n"
        f"Secrets ({secrets})\nmay stand in a file instead: add `_FILE` to the name and give its path. "
        "Names that do not begin with `PGPROOF_`\nare used where neither ours nor the file says anything.\n\n"
        "`PGPROOF_STORE` names all stores there are, by address or by their name in the file: the first address is "
        "called `main`, the next\n`store2`. The `PGPROOF_S3_…` variables hold for all of them; to an S3 store of the "
        "file they add what it leaves out.\n\n"
        "This is the output of `pgproof config --reference`:\n\n"
        f"```yaml\n{reference()}```\n"
    )


def _command(name: str, command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=f"pgproof {name}")
    yield f"\n## pgproof {name}\n"
    yield f"```\n{' '.join([context.command_path, *command.collect_usage_pieces(context)])}\n```\n"
    yield " ".join((command.help or "").split()) + "\n"
    yield "| option | what it does | environment | default |\n|---|---|---|---|"
    for parameter in command.get_params(context):
        if isinstance(parameter, click.Option) and "--help" not in parameter.opts:
            yield _row(context, parameter)


def _row(context: click.Context, option: click.Option) -> str:
    record = option.get_help_record(context)
    extra = option.get_help_extra(context)
    names = record[0].replace("|", "\\|") if record else ""
    variables = ", ".join(f"`{name}`" for name in extra.get("envvars", ()))
    return f"| `{names}` | {option.help} | {variables} | {extra.get('default', '')} |".replace("|  |", "| |")


def main() -> None:
    DOCS.mkdir(exist_ok=True)
    for name, text in pages().items():
        (DOCS / name).write_text(text)


if __name__ == "__main__":
    main()
