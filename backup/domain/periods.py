"""Lengths of time and the beginning of a period, as people write and read them. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from backup.domain.sizes import show_seconds
from backup.errors import UsageError

_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_STEP = r"(\d+)\s*(min|[smhdw])"
_PERIOD = re.compile(rf"(?:{_STEP}\s*)+", re.ASCII)
_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)
_MINUTE = timedelta(minutes=1)


def parse_period(text: str) -> timedelta:
    """The length of a period such as `90d`, `12h`, `2w` or `1h30m`.

    Raises:
        UsageError: it is none, or no time at all.
    """
    try:
        if _PERIOD.fullmatch(text.strip()):
            seconds = sum(int(number) * _SECONDS[unit] for number, unit in re.findall(_STEP, text, re.ASCII))
            if seconds:
                return timedelta(seconds=seconds)
    except (OverflowError, ValueError):  # more days than a calendar has, more digits than Python reads
        pass
    raise UsageError(f"{text!r} is not a length of time", hint="give one such as 90d, 12h, 2w or 1h30m")


def write_period(length: timedelta) -> str:
    """A length of time of whole seconds in the largest unit that writes it exactly, as `parse_period` reads it."""
    seconds = int(length.total_seconds())
    unit = next(unit for unit in ("w", "d", "h", "m", "s") if seconds % _SECONDS[unit] == 0)
    return f"{seconds // _SECONDS[unit]}{unit}"


def parse_since(text: str, *, now: datetime) -> datetime:
    """The beginning of a period that ends `now`: its length, or a time.

    A time without an offset is UTC; a day alone means its beginning.

    Raises:
        UsageError: it is neither, or lies ahead, or before all calendars.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    try:
        if moment is None:
            return now.astimezone(UTC) - parse_period(text)
        since = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except OverflowError:
        raise UsageError(f"{text!r} is before all calendars", hint="give a shorter time, such as 90d") from None
    except UsageError:
        raise UsageError(
            f"{text!r} is no beginning of a period", hint="give 90d, 12h, 2w, or a time such as 2026-11-22T08:30Z"
        ) from None
    if since > now:
        raise UsageError(f"{text} lies ahead", hint="a report looks back")
    return since


def show_period(length: timedelta) -> str:
    """A length of time as in `42 s`, `5 min 20 s`, `36 h`, `47 h 59 min` or `12 days 4 h 5 min`; never less than 0."""
    if length < _HOUR:
        return show_seconds(max(length.total_seconds(), 0)).replace(" min 0 s", " min")
    days, rest = divmod(length, _DAY) if length >= 2 * _DAY else (0, length)
    hours, rest = divmod(rest, _HOUR)
    steps = ((days, "days"), (hours, "h"), (rest // _MINUTE, "min"))
    return " ".join(f"{count} {unit}" for count, unit in steps if count)
