"""Backups that are not what was written, or not there: found by verify and before a restore, and never restored."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from backup.errors import IntegrityFailed, NotFound, PgproofError, UsageError
from tests.failures.conftest import TARGET, DirectoryPlace, Shop, check_failure
from tests.support.command import Command

Damage = Callable[[Path], str]
"""Spoils a backup in this folder, and returns a word that the complaint must hold."""


def _shorten(backup: Path) -> str:
    volume = backup / "dump.pgc.zst.000"
    volume.write_bytes(volume.read_bytes()[:-1])
    return "dump.pgc.zst.000"


def _lengthen(backup: Path) -> str:
    volume = backup / "dump.pgc.zst.002"
    volume.write_bytes(volume.read_bytes() + b"\0")
    return "dump.pgc.zst.002"


def _flip(backup: Path) -> str:
    """One bit of the last volume, which comes when nearly all is loaded."""
    volume = max(backup.glob("dump.pgc.zst.*"))
    content = bytearray(volume.read_bytes())
    content[len(content) // 2] ^= 1
    volume.write_bytes(content)
    return "dump.pgc"


def _lose(backup: Path) -> str:
    (backup / "dump.pgc.zst.001").unlink()
    return "dump.pgc.zst.001"


def _swap(backup: Path) -> str:
    one, two, aside = backup / "dump.pgc.zst.001", backup / "dump.pgc.zst.002", backup / "aside"
    one.rename(aside)
    two.rename(one)
    aside.rename(two)
    return "dump.pgc"


def _break_manifest(backup: Path) -> str:
    manifest = backup / "manifest.json"
    manifest.write_bytes(manifest.read_bytes()[:-20])
    return "manifest.json"


def _forget_a_field(backup: Path) -> str:
    manifest = backup / "manifest.json"
    content = json.loads(manifest.read_bytes())
    del content["parts"][0]["volumes"][0]["sha256"]
    manifest.write_text(json.dumps(content))
    return "manifest.json"


_DAMAGES = [_shorten, _lengthen, _flip, _lose, _swap, _break_manifest, _forget_a_field]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, shop: Shop) -> tuple[Path, str]:
    """A store with one backup in several volumes, and its id; to be copied."""
    base = tmp_path_factory.mktemp("kept")
    store, home = base / "store", base / "home"
    home.mkdir()
    environ = {
        "PGPROOF_DATABASE_URL": shop.url,
        "PGPROOF_PG_BIN": str(shop.server.bin_dir),
        "PGPROOF_TARGET": TARGET,
        "PGPROOF_STORE": str(store),
        "PGPROOF_VOLUME_SIZE": "4MiB",
    }
    made = Command(home=home, environ=environ)("backup", "--json")
    assert made.code == 0, made
    return store, made.result["id"]


@pytest.fixture
def backup(kept: tuple[Path, str], folder: DirectoryPlace) -> Path:
    """The folder of a backup that a test may spoil."""
    store, name = kept
    shutil.copytree(store, folder.folder, dirs_exist_ok=True)
    return folder.folder / TARGET / name


@pytest.mark.parametrize("damage", _DAMAGES, ids=lambda each: each.__name__.strip("_"))
def test_what_was_damaged_is_7_for_verify_and_for_restore_and_nothing_is_restored(
    pgproof: Command, backup: Path, shop: Shop, damage: Damage
) -> None:
    word = damage(backup)
    verified = pgproof("verify", backup.name, "--json")
    assert verified.code == IntegrityFailed.exit_code, verified
    assert word in verified.stdout + verified.stderr
    restored = pgproof("restore", backup.name, "--json")
    check_failure(restored, IntegrityFailed, says=word, hint="another backup", retryable=False)
    assert shop.databases() == [shop.database]
    assert shop.sessions() == []


def test_a_whole_backup_beside_a_damaged_one_is_listed_found_and_verified(pgproof: Command, backup: Path) -> None:
    made = pgproof("backup", "--json")
    assert made.code == 0, made
    word = _break_manifest(backup)
    listed = pgproof("list", "--json")
    assert listed.code == 0, listed
    assert [each["id"] for each in listed.result["backups"]] == [made.result["id"]]
    assert [each["id"] for each in listed.result["unreadable"]] == [backup.name]
    assert "cannot be used" in listed.stderr
    assert pgproof("show", "latest", "--json").result["id"] == made.result["id"]
    every = pgproof("verify", "--all", "--json")
    assert every.code == IntegrityFailed.exit_code, every
    assert word in every.stdout + every.stderr


@pytest.mark.parametrize(
    ("command", "reference", "kind", "word"),
    [
        ("show", "20200101T000000Z", NotFound, "20200101T000000Z"),
        ("verify", "20200101T000000Z", NotFound, "20200101T000000Z"),
        ("restore", "20200101T000000Z", NotFound, "20200101T000000Z"),
        ("restore", "2020-01-01T00:00Z", NotFound, "at or before 2020-01-01"),
        ("restore", "yesterday", UsageError, "yesterday"),
    ],
)
@pytest.mark.usefixtures("backup")
def test_a_backup_that_is_not_there_is_9(
    pgproof: Command, command: str, reference: str, kind: type[PgproofError], word: str
) -> None:
    ended = pgproof(command, reference, "--json")
    check_failure(ended, kind, says=word, hint="", retryable=False)
    assert ended.error["hint"]


@pytest.mark.parametrize("arguments", [["list"], ["show", "latest"], ["verify", "--all"], ["restore", "latest"]])
def test_an_empty_store_is_9(pgproof: Command, arguments: list[str]) -> None:
    ended = pgproof(*arguments, "--json")
    check_failure(ended, NotFound, says="no backup", hint="pgproof backup makes one", retryable=False)


def test_objects_without_a_manifest_are_no_backup(pgproof: Command, backup: Path) -> None:
    (backup / "manifest.json").unlink()
    assert pgproof("list", "--json").code == NotFound.exit_code
    check_failure(
        pgproof("restore", backup.name, "--json"), NotFound, says=backup.name, hint="pgproof list", retryable=False
    )
