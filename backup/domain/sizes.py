"""Sizes and durations as people write and read them. Pure."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal

_STEPS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGTP]?)(?:i?B)?", re.IGNORECASE)
_KIB = 1024
_MINUTE = 60
_HOUR = 3600
_DAY = 86_400


def parse_size(text: str) -> int:
    """Bytes of a size such as `64MiB`, `4G` or `1048576`; every unit is a power of 1024.

    Raises:
        ValueError: it is no size.
    """
    match = _SIZE.fullmatch(text.strip())
    if not match:
        raise ValueError(f"{text!r} is not a size such as 64MiB")
    power = " KMGTP".index(match[2].upper() or " ")
    return int(Decimal(match[1]) * _KIB**power)


def show_size(size: int) -> str:
    """`size` bytes with three figures, as in `12.3 MiB`."""
    value = float(size)
    for unit in _STEPS:
        if value < _KIB or unit == _STEPS[-1]:
            break
        value /= _KIB
    return f"{size} B" if unit == "B" else f"{value:.3g} {unit}" if value < 999.5 else f"{value:.0f} {unit}"  # noqa: PLR2004


def show_age(age: timedelta) -> str:
    """An age as in `4 min`, `7 h` or `12 days`."""
    seconds = max(age.total_seconds(), 0)
    if seconds < _HOUR:
        return f"{seconds // _MINUTE:.0f} min"
    return f"{seconds // _HOUR:.0f} h" if seconds < 2 * _DAY else f"{seconds // _DAY:.0f} days"


def show_seconds(seconds: float) -> str:
    """A duration as in `0.42 s`, `12 s`, `3 min 20 s` or `2 h 5 min`."""
    if seconds < 10:  # noqa: PLR2004
        return f"{seconds:.2f} s"
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < _HOUR:
        return f"{int(seconds) // _MINUTE} min {int(seconds) % _MINUTE} s"
    return f"{int(seconds) // _HOUR} h {int(seconds) % _HOUR // _MINUTE} min"
