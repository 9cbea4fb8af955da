"""Lanes that go through psql: nothing but SQL does, and nobody waits for what never comes."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from backup.domain.manifest import Manifest
from backup.errors import RestoreFailed
from backup.postgres.clients import find_clients
from backup.stores.directory import DirectoryStore
from tests.fixtures.postgres import NewDatabase, Server
from tests.support.pgproof import backed_up, lanes, make_restorer, restored_in_place, rows, run

LONG = "t" * 63


def two_lanes(server: Server, database: str, store: DirectoryStore) -> Manifest:
    run(server, database, f"CREATE TABLE {LONG} AS SELECT 1 AS id; CREATE TABLE two AS SELECT 1 AS id")
    backup = backed_up(server, database, store, dump=lanes(2))
    assert len(backup.lanes) == 1
    return backup


def forged(backup: Manifest, store: DirectoryStore, old: bytes, new: bytes) -> Manifest:
    """The same with other bytes in the first lane, as who may write to the store can make it."""
    first, *others = backup.parts
    (volume,) = first.volumes
    path = Path(store.url) / backup.target / backup.id / volume.name
    content = path.read_bytes()
    assert content.count(old) == 1
    assert len(old) == len(new)
    content = content.replace(old, new)
    path.write_bytes(content)
    volume = replace(volume, sha256=hashlib.sha256(content).hexdigest())
    return replace(backup, parts=(replace(first, volumes=(volume,)), *others))


def test_an_archive_cannot_have_psql_run_a_command(
    any_server: Server,
    new_database: NewDatabase,
    store: DirectoryStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = new_database(any_server)
    backup = two_lanes(any_server, name, store)
    drop = f"DROP TABLE public.{LONG};\n".encode()
    evil = b"DROP TABLE public.two;\n\\! touch owned\n-- ".ljust(len(drop) - 1, b"x") + b"\n"
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RestoreFailed) as told:
        restored_in_place(forged(backup, store, drop, evil), store, make_restorer(any_server, name))
    assert "restricted" in told.value.message
    assert not (tmp_path / "owned").exists()
    assert rows(any_server, name, "SELECT id FROM two") == [(1,)]


def test_a_script_of_an_unknown_form_is_not_waited_for(
    pg18: Server, new_database: NewDatabase, store: DirectoryStore, tmp_path: Path
) -> None:
    name = new_database(pg18)
    backup = two_lanes(pg18, name, store)
    programs = tmp_path / "programs"
    programs.mkdir()
    for program in ("pg_dump", "psql"):
        (programs / program).symlink_to(pg18.bin_dir / program)
    script = programs / "pg_restore"
    newer = 'case "$*" in *--single-transaction*) yes -- "-- of a version to come" | head -c 4000000; exit ;; esac'
    script.write_text(f'#!/bin/sh\n{newer}\nexec "{pg18.bin_dir}/pg_restore" "$@"\n')
    script.chmod(0o755)
    clients = tuple(client for client in find_clients([programs], {}) if client.folder == programs)
    with pytest.raises(RestoreFailed, match="wrote a script of an unknown form"):
        restored_in_place(backup, store, make_restorer(pg18, name, clients=clients))
    assert rows(pg18, name, "SELECT id FROM two") == [(1,)]
