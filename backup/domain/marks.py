"""Small documents that say something of a run, beside its backup: held, accepted, failed, being read, under way. Pure.

Format version 1; readers ignore unknown keys. Owns their names, and which names in the folder of a run are ours at all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from pydantic import TypeAdapter

from backup.domain.documents import read_document
from backup.domain.drill import FOLDER as DRILLS
from backup.domain.ids import BackupId
from backup.domain.manifest import MANIFEST_NAME

FORMAT = 1
MARK_LIMIT = 1 << 16
"""Bytes that a reader takes."""

HOLD, ACCEPTED, FAILED = "hold.json", "accepted.json", "failed.json"
LEASE = "lease.json"
"""Stands beside the runs of a target, not in the folder of one."""
SHIELDS = "shields"
"""Folder of those who read the backup."""
CLAIM = "claim-"
"""What the name of a claim to an id begins with."""

_OURS = re.compile(
    rf"{re.escape(MANIFEST_NAME)}|{HOLD}|{ACCEPTED}|{FAILED}|{CLAIM}[0-9a-f]+|{DRILLS}/\d{{8}}T\d{{6}}(?:\.\d+)?Z\.json"
    rf"|{SHIELDS}/[0-9a-f]{{16}}\.json"
    r"|(?:dump|schema|data|globals|proof)\.[A-Za-z0-9._-]+\.\d{3,}"
)


_IN_THE_MAKING = re.compile(r"\.partial-[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What is said.

    Attributes:
        time: when it was.
        text: why, for people.
        host: of whoever said it.
        until: when it stops to hold; None where it does not by itself.
        source: the database that it is about, as its server tells itself apart from others; None where unknown.
        exit_code: of a run that failed.
    """

    format: int = FORMAT
    time: datetime
    text: str = ""
    host: str = ""
    until: datetime | None = None
    source: str | None = None
    exit_code: int | None = None

    def to_json(self) -> bytes:
        """As it is stored: UTF-8, indented."""
        return _ADAPTER.dump_json(self, indent=2, exclude_none=True) + b"\n"

    @classmethod
    def from_json(cls, data: bytes, *, where: str) -> Mark:
        """Read what `to_json` wrote. Raises IntegrityFailed where it cannot be read; `where` says which, for people."""
        return read_document(data, _ADAPTER, newest=FORMAT, what=where)

    def holds(self, now: datetime) -> bool:
        """Whether it still holds."""
        return self.until is None or self.until > now


def is_ours(name: str) -> bool:
    """Whether pgproof writes objects of this name into the folder of a run."""
    return _OURS.fullmatch(name) is not None


def is_in_the_making(name: str) -> bool:
    """Whether a directory calls so a file that it has not finished."""
    return _IN_THE_MAKING.fullmatch(name) is not None


def is_lasting(key: str) -> bool:
    """Whether an object is part of a backup or of what was found out about it, and no passing mark or probe."""
    _target, _, rest = key.partition("/")
    backup_id, _, name = rest.partition("/")
    passing = name in {HOLD, FAILED} or name.startswith((CLAIM, f"{SHIELDS}/"))
    return BackupId.parse(backup_id) is not None and is_ours(name) and not passing


_ADAPTER = TypeAdapter(Mark)
