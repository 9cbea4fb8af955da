"""The demo's rows: as JSON in a file, and kept up to date in a second database. Owns which rows, and both places."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from backup import bootstrap
from backup.domain.row_sync import SyncedTable
from backup.settings import Settings
from backup.stream.new_file import new_file
from backup.workflow.export import Exported, export

SECOND = "reports"
"""The second database."""
CHOSEN = ("airlines", "airports", "planes")
"""What is exported."""
FILE = "fleet.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A JSON document: its file, its size, and how many rows it has of each table, all as of one moment."""

    file: Path
    bytes: int
    moment: datetime
    stats: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Synced:
    """What became of the rows of each table in the second database, and the moment of which they are there."""

    moment: datetime
    tables: tuple[SyncedTable, ...]


def write_rows(settings: Settings, folder: Path) -> Written:
    """Export the chosen tables into a file in a folder."""
    rows_settings = settings.rows.model_copy(update={"only": CHOSEN})
    done, file = Exported(), folder / FILE
    with bootstrap.open_rows(settings.model_copy(update={"rows": rows_settings})) as rows, new_file(file) as target:
        for piece in export(rows, done):
            target.write(piece)
    return Written(file=file, bytes=done.bytes, moment=rows.moment, stats=done.stats)


def sync_rows(settings: Settings) -> Synced:
    """Bring all tables into the second database."""
    second = bootstrap.make_sync(settings)
    with second.reserved() as target, bootstrap.open_rows(settings) as rows:
        return Synced(moment=rows.moment, tables=second.run(rows, target))
