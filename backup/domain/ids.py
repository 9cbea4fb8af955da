"""Names of backups and targets, and the references by which a user means one. Owns their syntax; pure."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from backup.errors import UsageError

_ID = re.compile(r"(\d{8}T\d{6}Z)(?:-([1-9]\d*))?", re.ASCII)
_STAMP = "%Y%m%dT%H%M%SZ"
_TARGET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True, order=True)
class BackupId:
    """The UTC second in which a run started, and a number from 2 where that second was taken already."""

    started: datetime
    number: int = 1

    @classmethod
    def at(cls, moment: datetime, number: int = 1) -> BackupId:
        """The id of a run that starts at `moment` (aware)."""
        return cls(moment.astimezone(UTC).replace(microsecond=0), number)

    @classmethod
    def parse(cls, text: str) -> BackupId | None:
        """The id that `text` writes, or None where it writes none."""
        match = _ID.fullmatch(text)
        if not match:
            return None
        try:
            started = datetime.strptime(match[1], _STAMP).replace(tzinfo=UTC)
        except ValueError:
            return None
        number = int(match[2] or 1)
        return cls(started, number) if number > 1 or match[2] is None else None

    def next(self) -> BackupId:
        """The id to try where this one is taken."""
        return BackupId(self.started, self.number + 1)

    def __str__(self) -> str:
        stamp = self.started.strftime(_STAMP)
        return stamp if self.number == 1 else f"{stamp}-{self.number}"


@dataclass(frozen=True, slots=True)
class Latest:
    """A reference to the newest backup."""


@dataclass(frozen=True, slots=True)
class LatestProven:
    """A reference to the newest backup that a drill has proven."""


@dataclass(frozen=True, slots=True)
class AtOrBefore:
    """A reference to the newest backup whose snapshot is not younger than `moment`."""

    moment: datetime


Reference = BackupId | Latest | LatestProven | AtOrBefore


def parse_reference(text: str) -> Reference:
    """What a user means by BACKUP: an id, `latest`, `latest-proven`, or a time.

    A time without an offset is UTC; one without seconds (or minutes) means its whole minute (or day).

    Raises:
        UsageError: it is none of them.
    """
    if text == "latest":
        return Latest()
    if text == "latest-proven":
        return LatestProven()
    backup = BackupId.parse(text)
    if backup:
        return backup
    try:
        return AtOrBefore(last_moment(text))
    except (ValueError, OverflowError):
        raise UsageError(
            f"{text!r} names no backup",
            hint="give an id such as 20261122T080000Z, latest, latest-proven, or a time such as 2026-11-22T08:30Z",
        ) from None


def last_moment(text: str) -> datetime:
    """The last moment that a time means, in UTC. Raises ValueError or OverflowError where it means none."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    clock = re.split(r"[T ]", text, maxsplit=1)[1:]
    if not clock:
        moment += timedelta(days=1) - timedelta(microseconds=1)
    elif not re.match(r"\d\d:?\d\d:?\d\d", clock[0]):
        moment += timedelta(minutes=1) - timedelta(microseconds=1)
    return moment.astimezone(UTC)


def check_target(name: str) -> str:
    """`name`, if it can be a target: 1 to 100 letters, digits, dots, dashes and underscores, no dot first.

    Raises:
        UsageError: it cannot.
    """
    if not _TARGET.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot name a target",
            hint="use 1 to 100 letters, digits, dots, dashes and underscores, a letter or digit first",
        )
    return name


def target_of_database(database: str) -> str:
    """The target's name where the user gave none: the database's, made fit for a path.

    Two databases never share one: where characters had to go, a piece of the name's hash stands behind it.
    """
    if _TARGET.fullmatch(database):
        return database
    mark = hashlib.sha256(database.encode()).hexdigest()[:8]
    return f"{_UNFIT.sub('-', database).strip('.-_')[:80] or 'database'}-{mark}"
