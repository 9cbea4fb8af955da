"""Writes what is made of the chart's values.yaml: its schema, and the table in its README (`make docs`).

Run as a module it writes them; `test_generated` compares.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from tests.chart.schema import schema_text
from tests.chart.values import CHART, Value, read_values

BEGIN = "<!-- Made of values.yaml by `make docs`; do not edit below. -->\n"


def files() -> dict[str, str]:
    """The text of each file by its name in the chart's folder."""
    readme, begin, _ = (CHART / "README.md").read_text().partition(BEGIN)
    table = "\n".join(_table(read_values())) + "\n"
    return {"values.schema.json": schema_text(), "README.md": f"{readme}{begin}\n{table}"}


def _table(values: dict[str, Value]) -> Iterator[str]:
    """A row for each value; parents have one where they say something."""
    yield "| value | what | default |"
    yield "|---|---|---|"
    for value in values.values():
        default = f"`{json.dumps(value.default, ensure_ascii=False)}`" if value.is_leaf else ""
        name = f"`{value.name}`" if value.is_leaf else f"**`{value.name}`**"
        yield f"| {name} | {value.description.replace('|', '&#124;')}{_said(value)} | {default} |".replace(
            "|  |", "| |"
        )


def _said(value: Value) -> str:
    """The rules that a user wants to know: what is possible, and what an entry may say."""
    if "entry" in value.rules:
        names = [name.removeprefix("database.").removeprefix("store.") for name in value.rules["entry"].split()]
        return " An entry may say: " + ", ".join(f"`{name}`" for name in names) + "."
    words = value.rules.get("enum") or value.rules.get("list")
    if not words:
        return ""
    return " One of " + ", ".join(f"`{word}`" for word in words.split()) + "."


def main() -> None:
    """Write them all."""
    for name, text in files().items():
        (CHART / name).write_text(text)


if __name__ == "__main__":
    main()
