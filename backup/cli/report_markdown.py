"""The page of a report as Markdown, whose tables also read well as they stand. Owns what is escaped."""

from __future__ import annotations

import re
from collections.abc import Sequence

from backup.cli.output import Fields, Table, cell
from backup.cli.report_pages import Page, Part, Timeline

_SPECIAL = re.compile(r"[\\`*\[\]<>|&~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
"""What may begin something in Markdown; an underscore within a word does not."""


def as_markdown(page: Page) -> str:
    """The whole document."""
    blocks = [f"# {_text(page.title)}", _part(page.head)]
    for section in page.sections:
        blocks.append(f"{'#' * section.level} {_text(section.title)}")
        blocks += [_part(each) for each in section.parts if not isinstance(each, Timeline)]
    return "\n\n".join(blocks) + "\n"


def _part(part: Part) -> str:
    match part:
        case Table():
            rows = [[_text(each) for each in row] for row in part.rows]
            return _aligned([_text(each) for each in part.columns], rows, [name in part.right for name in part.columns])
        case Fields():
            return "\n".join(
                f"- {_text(name)}: {_text(each)}" for name, each in part.values.items() if each is not None
            )
        case _:
            return _text(part)


def _aligned(head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    widths = [max(3, *map(len, column)) for column in zip(head, *rows, strict=True)]
    rule = [f"{'-' * (width - 1)}:" if figures else "-" * width for width, figures in zip(widths, right, strict=True)]
    lines = [
        " | ".join(
            each.rjust(width) if figures else each.ljust(width)
            for each, width, figures in zip(line, widths, right, strict=True)
        )
        for line in (head, rule, *rows)
    ]
    return "\n".join(f"| {line} |" for line in lines)


def _text(value: object) -> str:
    return _SPECIAL.sub(r"\\\g<0>", cell(value))
