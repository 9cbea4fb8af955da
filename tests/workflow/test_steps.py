"""What -v tells of a backup and of its verification."""

from __future__ import annotations

import json

import pytest

from backup.logs import setup
from backup.workflow.verify import verify
from tests.contracts.memory_store import MemoryStore
from tests.fixtures.postgres import NewDatabase, Server
from tests.support.pgproof import backed_up, make_restorer


def test_verbose_tells_the_steps_of_pgproof_and_no_library(
    pg18: Server, new_database: NewDatabase, capsys: pytest.CaptureFixture[str]
) -> None:
    store = MemoryStore()
    setup(verbose=True, format="json")
    try:
        backup = backed_up(pg18, new_database(pg18), store)
        verify(backup, store, make_restorer(pg18))
    finally:
        setup()
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [event for event in events if "library" in event] == []
    told = [(event["event"], event.get("name")) for event in events if event["level"] == "debug"]
    volume = backup.parts[0].volumes[0]
    steps = [
        ("client chosen", None),
        ("stored", volume.name),
        ("stored", "manifest.json"),
        ("part verified", backup.parts[0].name),
    ]
    assert [each for each in told if each in steps] == steps
    stored = next(event for event in events if event.get("name") == volume.name)
    assert stored["bytes"] == volume.bytes
    assert stored["seconds"] >= 0
