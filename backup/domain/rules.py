"""The rules of retention as a user writes them: `keep-within=24h, daily=14, min-proven=2`. Pure.

Owns their syntax and what they mean of one backup alone; which backups are kept by them, says `retention`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta, tzinfo
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from backup.domain.periods import parse_period, write_period
from backup.errors import UsageError

OFF = "off"
"""The word for rules that delete nothing."""

_LONGEST = timedelta(days=36_525)
Slot = tuple[object, ...]
"""A calendar period: backups with equal ones lie in the same."""


def _hour(local: datetime) -> Slot:
    """The offset tells apart the two hours of the same name at the end of summer time."""
    return (local.date(), local.hour, local.utcoffset())


CALENDAR: Mapping[str, Callable[[datetime], Slot]] = MappingProxyType(
    {
        "hourly": _hour,
        "daily": lambda local: (local.date(),),
        "weekly": lambda local: tuple(local.isocalendar())[:2],  # ISO 8601: from Monday on
        "monthly": lambda local: (local.year, local.month),
        "yearly": lambda local: (local.year,),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What retention keeps, each counted from the newest complete backup backwards.

    Attributes:
        keep_within: every backup that is not older than that by more than this; None without such a rule.
        keep_last: so many complete ones.
        hourly, daily, weekly, monthly, yearly: the newest complete one of so many hours, days … that have any.
        min_proven: so many of the newest that a drill has proven, whatever else is said.
        timezone: of the calendar.
        off: nothing is ever deleted.
    """

    keep_within: timedelta | None = None
    keep_last: int = 0
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0
    min_proven: int = 1
    timezone: tzinfo = UTC
    off: bool = False

    @property
    def text(self) -> str:
        """As it could be written."""
        if self.off:
            return OFF
        within = {"keep-within": write_period(self.keep_within)} if self.keep_within else {}
        counts = {name: getattr(self, name) for name in CALENDAR}
        counted = {name: count for name, count in {"keep-last": self.keep_last, **counts}.items() if count}
        zone = {} if self.timezone is UTC else {"timezone": str(self.timezone)}
        said = {**within, **counted, "min-proven": self.min_proven, **zone}
        return ", ".join(f"{name}={value}" for name, value in said.items())


DEFAULT = Rules(keep_within=timedelta(hours=24))
_COUNTS = {field.name.replace("_", "-"): field.name for field in fields(Rules) if field.type == "int"}
NAMES = ("keep-within", *_COUNTS, "timezone")


def parse_rules(said: Mapping[str, object]) -> Rules:
    """The rules that names and values say; `keep-daily` is `daily`. Where none keeps anything, the default one does.

    Raises:
        UsageError: a name or a value that cannot be.
    """
    if OFF in said and len(said) == 1:
        return Rules(off=True)
    values: dict[str, object] = {}
    for written, value in said.items():
        name = written.strip().replace("_", "-")
        name = name.removeprefix("keep-") if name.removeprefix("keep-") in CALENDAR else name
        if name not in NAMES:
            raise UsageError(f"{written!r} is no rule of retention", hint=f"there are {', '.join(NAMES)}, and {OFF}")
        if name in values:
            raise UsageError(f"{name} is said twice")
        values[name] = value
    counts: dict[str, Any] = {_COUNTS[name]: _count(name, value) for name, value in values.items() if name in _COUNTS}
    within = values.get("keep-within")
    keeps = within is not None or any(count for name, count in counts.items() if name != "min_proven")
    length = parse_period(str(within)) if within is not None else None if keeps else DEFAULT.keep_within
    if length and length > _LONGEST:
        raise UsageError(f"keep-within={within} is longer than a hundred years", hint=f"{OFF} keeps everything")
    return Rules(
        keep_within=length,
        timezone=_zone(str(values["timezone"])) if "timezone" in values else UTC,
        **counts,
    )


def _count(name: str, value: object) -> int:
    text = str(value).strip()
    if isinstance(value, bool) or not (text.isascii() and text.isdigit()):
        raise UsageError(f"{name}={value} is not a number", hint="give a whole number, 0 or more")
    return int(text)


def _zone(name: str) -> tzinfo:
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: the name of a folder of zones
        raise UsageError(f"{name!r} is no time zone", hint="give one such as UTC or Europe/Berlin") from None
