"""A folder as a store, with backups that nobody made, and the command for it. No database is needed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backup.domain.drill import Drill, Verdict, key_of
from backup.domain.manifest import Manifest, Purpose, Status
from backup.domain.proof import Totals
from backup.stores.directory import DirectoryStore
from backup.stream.readers import BytesReader
from tests.support.command import Command
from tests.support.manifests import a_manifest, stored

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """A store and the command for it."""

    pgproof: Command
    folder: Path

    @property
    def store(self) -> DirectoryStore:
        return DirectoryStore(self.folder)

    @property
    def disk(self) -> Path:
        """What the store is on: without it the store is not there, while a missing folder on it is an empty store."""
        return self.folder.parent

    def beside(self, name: str) -> Shelf:
        """Another store, which the command does not know."""
        folder = self.folder.with_name(name)
        folder.mkdir()
        return replace(self, folder=folder)

    def put(
        self,
        age: timedelta,
        *,
        target: str = "shop",
        status: Status = Status.COMPLETE,
        purpose: Purpose = "backup",
    ) -> Manifest:
        """A backup whose snapshot is so old."""
        made = a_manifest(datetime.now(UTC) - age, target=target)
        rows = Totals(mode="rows", tables=2, rows=1234, fingerprinted=0, counted=2, unproven=0, seconds=0.5)
        seconds = {"dump": 1.5, "proof": 0.5}
        return stored(self.store, replace(made, status=status, purpose=purpose, proof=rows, seconds=seconds))

    def drill(self, backup: Manifest, verdict: Verdict = "proven", *, age: timedelta = HOUR) -> None:
        """The result of a drill of a backup."""
        result = Drill(
            backup=backup.id,
            target=backup.target,
            time=datetime.now(UTC) - age,
            verdict=verdict,
            text="as a test has it",
            seconds={"load": 2.0},
            restore_seconds=2.5,
            pgproof="0.1.0",
        )
        self.store.put(key_of(result), BytesReader(result.to_json()))


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    (tmp_path / "home").mkdir()
    folder = tmp_path / "disk" / "store"
    folder.mkdir(parents=True)
    return Shelf(pgproof=Command(home=tmp_path / "home", environ={"PGPROOF_STORE": str(folder)}), folder=folder)
