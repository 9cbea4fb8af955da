"""A store for each test of dumps and restores."""

from __future__ import annotations

from pathlib import Path

import pytest

from backup.stores.directory import DirectoryStore


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "store")
