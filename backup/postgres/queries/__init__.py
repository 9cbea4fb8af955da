"""The longer queries, one a file, named after what they find or after the first server that they are for."""

from __future__ import annotations

from functools import cache
from importlib import resources


@cache
def read_query(name: str) -> str:
    """The text of `<name>.sql`."""
    return (resources.files(__name__) / f"{name}.sql").read_text(encoding="utf-8")
