"""The pages' templates and files. Owns how text gets in: every word is escaped, and what is missing is a bug."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from backup import __version__
from backup.domain.periods import show_period
from backup.domain.sizes import show_age, show_seconds, show_size

_FOLDER = Path(__file__).parent / "pages"
_KINDS = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that pages load."""

    content: bytes
    kind: str


def render(name: str, **values: object) -> str:
    """A page."""
    return _environment().get_template(name).render(version=__version__, **values)


def asset(name: str) -> Asset | None:
    """A file by its name, where there is such; no other file is ever opened."""
    return _assets().get(name)


@cache
def _assets() -> dict[str, Asset]:
    return {
        path.name: Asset(path.read_bytes(), _KINDS[path.suffix]) for path in _FOLDER.iterdir() if path.suffix in _KINDS
    }


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "size": show_size,
        "seconds": show_seconds,
        "age": show_age,
        "period": show_period,
        "moment": _moment,
        "iso": _iso,
    }
    return made


def _moment(value: datetime) -> str:
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _iso(value: datetime) -> str:
    return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
