"""What a restore is asked to do: by the command line, or by a request, a folder with a file for each key.

Owns the keys of a request and the rule that one that overwrites holds for a day at most: it may be left behind.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from backup.domain.ids import BackupId, parse_reference
from backup.errors import ConfigurationError, UsageError

_LONGEST = timedelta(hours=24)
_LARGEST = 1 << 16
"""Bytes of one value; far more than any name takes (a guess)."""
_TRUTH = {"true": True, "false": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A restore as it is wanted; see the options of `pgproof restore`."""

    backup: str
    into: str | None = None
    tables: tuple[str, ...] = ()
    in_place: bool = False
    replace: bool = False
    disconnect: bool = False
    confirm: str | None = None
    no_safety_backup: bool = False
    no_owner: bool = False
    no_privileges: bool = False
    dry_run: bool = False
    upsert: bool = False
    disable_triggers: bool = False

    @property
    def of_rows(self) -> tuple[str, ...]:
        """Keys that say how rows come back into tables that are there; of no use to a dump of pg_dump."""
        said = {"upsert": self.upsert, "disable-triggers": self.disable_triggers}
        return tuple(key for key, is_said in said.items() if is_said)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contradiction:
    """Keys that exclude each other; or one that says nothing without any of `needed`."""

    keys: tuple[str, ...]
    needed: tuple[str, ...] = ()


def contradiction(wanted: Wanted) -> Contradiction | None:
    """What of a restore cannot be wanted together, if there is something."""
    places = {"into": bool(wanted.into), "in-place": wanted.in_place, "replace": wanted.replace}
    given = tuple(key for key, is_given in places.items() if is_given)
    if len(given) > 1:
        return Contradiction(keys=given)
    if wanted.replace and wanted.tables:
        return Contradiction(keys=("table", "replace"))
    if wanted.disconnect and not wanted.replace:
        return Contradiction(keys=("disconnect",), needed=("replace",))
    stray = "confirm" if wanted.confirm else "no-safety-backup" if wanted.no_safety_backup else None
    if stray and not (wanted.in_place or wanted.replace):
        return Contradiction(keys=(stray,), needed=("in-place", "replace"))
    if wanted.of_rows and not wanted.in_place:
        return Contradiction(keys=wanted.of_rows[:1], needed=("in-place",))
    return None


def read_request(folder: Path, *, now: datetime) -> Wanted:
    """The restore that the files of `folder` ask for, such as a mounted ConfigMap; an empty file says nothing.

    Raises:
        ConfigurationError: it cannot be read, has a key or value that cannot be, or asks to overwrite without an id,
            the database's name, and a time at most 24 hours ahead until which it holds.
    """
    values = _read(folder)
    flags = {key: _boolean(folder, key, values.pop(key, "false")) for key in _FLAGS}
    until = values.pop("until", None)
    wanted = Wanted(
        backup=values.pop("backup", "latest"),
        into=values.pop("into", None),
        tables=tuple(name for piece in values.pop("table", "").split(",") if (name := piece.strip())),
        in_place=flags["in-place"],
        replace=flags["replace"],
        disconnect=flags["disconnect"],
        confirm=values.pop("confirm", None),
        no_safety_backup=flags["no-safety-backup"],
        no_owner=flags["no-owner"],
        no_privileges=flags["no-privileges"],
        dry_run=flags["dry-run"],
        upsert=flags["upsert"],
        disable_triggers=flags["disable-triggers"],
    )
    _check(folder, wanted, until=until, now=now)
    return wanted


_FLAGS = (
    "in-place",
    "replace",
    "disconnect",
    "no-safety-backup",
    "no-owner",
    "no-privileges",
    "dry-run",
    "upsert",
    "disable-triggers",
)
KEYS = ("backup", "into", "table", "confirm", "until", *_FLAGS)
"""What a request may say."""


def _read(folder: Path) -> dict[str, str]:
    try:
        files = [file for file in sorted(folder.iterdir()) if not file.name.startswith(".")]
        unknown = [file.name for file in files if file.name not in KEYS]
        if unknown:
            raise ConfigurationError(
                f"the restore request in {folder} has unknown keys: {', '.join(unknown)}",
                hint=f"it may say {', '.join(KEYS)}",
            )
        found = {file.name: file.read_bytes()[:_LARGEST].decode().strip() for file in files}
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(f"the restore request in {folder} cannot be read", detail=str(error)) from error
    return {key: value for key, value in found.items() if value}


def _boolean(folder: Path, key: str, text: str) -> bool:
    value = _TRUTH.get(text.lower())
    if value is None:
        raise ConfigurationError(
            f"{key} in the restore request is {text!r}", hint=f'"true" or "false", in {folder}/{key}'
        )
    return value


def _check(folder: Path, wanted: Wanted, *, until: str | None, now: datetime) -> None:
    try:
        reference = parse_reference(wanted.backup)
    except UsageError as error:
        raise ConfigurationError(f"backup in the restore request: {error.message}", hint=error.hint) from None
    end = _moment(until) if until else None
    if end and end <= now:
        raise ConfigurationError(
            f"the restore request in {folder} was good until {_show(end)}; it is {_show(now)}",
            hint=f'if it is wanted again, set until to a time to come, such as "{_show(now + timedelta(hours=1))}"',
        )
    if wanted.in_place or wanted.replace:
        missing = _missing(wanted, end, named=isinstance(reference, BackupId), now=now)
        if missing:
            raise ConfigurationError(
                "a restore request that overwrites a database must say which backup, which database, and until when",
                detail="\n".join(missing),
            )
    wrong = contradiction(wanted)
    if wrong and wrong.needed:
        raise ConfigurationError(
            f"{wrong.keys[0]} in the restore request goes with {' or '.join(wrong.needed)}, and says nothing without",
            hint=f'empty {wrong.keys[0]}, or set {wrong.needed[0]} to "true"',
        )
    if wrong:
        raise ConfigurationError(f"{' and '.join(wrong.keys)} in the restore request exclude each other")


def _missing(wanted: Wanted, end: datetime | None, *, named: bool, now: datetime) -> list[str]:
    lines = []
    if not named:
        lines.append(f"backup is {wanted.backup!r}: give an id such as 20261122T080000Z; pgproof list shows them")
    if not wanted.confirm:
        lines.append("confirm is empty: give the name of the database that is overwritten")
    soon = f'give a time at most 24 hours ahead, such as "{_show(now + timedelta(hours=1))}"'
    if end is None:
        lines.append(f"until is empty: {soon}")
    elif end > now + _LONGEST:
        lines.append(f"until is {_show(end)}: {soon}")
    return lines


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):  # the latter of one that UTC has no year for
        raise ConfigurationError(
            f"until in the restore request is {text!r}", hint='give a time such as "2026-11-22T08:30Z"'
        ) from None


def _show(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
