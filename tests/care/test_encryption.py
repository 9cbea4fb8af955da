"""Encrypted backups through the command: made without a secret, opened with an identity alone."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from backup.stores.directory import DirectoryStore
from backup.stream.age import Identity
from tests.care.conftest import HOUR, ROWS, Shop, all_of, plant, reasons
from tests.support.command import Finished

OURS, SPARE, OTHER = Identity.new(), Identity.new(), Identity.new()
TO = f"{OURS.public},{SPARE.public}"
MARKER = "a customer who must not be found"
NAMES = ("customers", "orders", MARKER)


@pytest.fixture(scope="session")
def encrypted_once(made_once: Shop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one encrypted backup, which nobody may change."""
    folder = tmp_path_factory.mktemp("encrypted") / "store"
    made_once.back_up(PGPROOF_STORE=str(folder), PGPROOF_ENCRYPT_TO=TO, PGPROOF_GLOBALS="roles")
    return folder


@pytest.fixture
def locked(shop: Shop, encrypted_once: Path) -> Shop:
    """The database, and a copy of that store."""
    shutil.rmtree(shop.folder)
    shutil.copytree(encrypted_once, shop.folder)
    return shop


@pytest.fixture
def into(locked: Shop) -> Iterator[str]:
    """The name of a database that is not there yet, and is gone afterwards."""
    name = f"{locked.database}_opened"
    yield name
    with locked.server.connect() as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'.encode())


def refused(ended: Finished, *words: str) -> None:
    assert (ended.code, ended.error["code"]) == (3, "configuration_error"), ended
    for word in words:
        assert word in f"{ended.complaint} {ended.error['detail']}", ended


def test_nothing_that_the_store_holds_tells_what_the_database_holds(own: Shop) -> None:
    own.run(f"INSERT INTO customers VALUES (11, '{MARKER}')")
    own.back_up(PGPROOF_ENCRYPT_TO=OURS.public, PGPROOF_COMPRESSION="none", PGPROOF_GLOBALS="roles")
    plain = own.back_up(PGPROOF_COMPRESSION="none", PGPROOF_STORE=str(own.folder) + "-plain")
    stored = all_of(own.store)
    parts = {key.rsplit("/", 1)[1]: content for key, content in stored.items() if not key.endswith("manifest.json")}
    assert parts.keys() == {"dump.pgc.age.000", "globals.sql.age.000", "proof.json.age.000"}
    assert all(content.startswith(b"age-encryption.org/v1\n") for content in parts.values())
    everything = b"".join(stored.values())
    assert not [name for name in NAMES if name.encode() in everything]
    readable = b"".join(path.read_bytes() for path in Path(f"{own.folder}-plain").rglob(f"{plain}/*"))
    assert all(name.encode() in readable for name in NAMES)  # so the look above can find them
    (manifest,) = (json.loads(content) for key, content in stored.items() if key.endswith("manifest.json"))
    assert manifest["recipients"] == [OURS.public]
    assert {part["encryption"] for part in manifest["parts"]} == {"age"}


def test_whoever_has_no_identity_can_do_all_but_read(locked: Shop, tmp_path: Path) -> None:
    (backup,) = locked.ids()
    assert locked("show", backup).result["recipients"] == TO.split(",")
    (verified,) = locked("verify", "--all").result["verified"]
    assert (verified["id"], verified["opened"]) == (backup, False)
    assert "good, not opened" in locked.pgproof("verify", backup).stdout
    assert locked("copy", backup, "--to", str(tmp_path / "other")).code == 0
    assert all_of(DirectoryStore(tmp_path / "other")) == all_of(locked.store)
    assert locked("hold", backup).code == 0
    assert locked("release", backup).code == 0
    assert list(reasons(locked.prune())) == [backup]


@pytest.mark.parametrize("identity", [OURS, SPARE], ids=["the first", "the second"])
def test_each_recipient_can_restore_and_the_rows_are_those_that_were_there(
    locked: Shop, into: str, identity: Identity
) -> None:
    done = locked("restore", "latest", "--into", into, PGPROOF_IDENTITY=identity.secret)
    assert done.code == 0, done
    assert done.result["proven"] is True
    with locked.server.connect(into) as connection:
        assert connection.execute("SELECT count(*) FROM orders").fetchone() == (ROWS,)


def test_with_the_identity_all_of_it_is_verified_and_compared(locked: Shop) -> None:
    (verified,) = locked("verify", "latest", PGPROOF_IDENTITY=OURS.secret).result["verified"]
    assert verified["opened"] is True
    assert locked("diff", "latest", PGPROOF_IDENTITY=OURS.secret).result["differences"] == []
    against = locked("show", "latest", "--against", "latest", PGPROOF_IDENTITY=OURS.secret)
    assert against.result["differences"] == []


@pytest.mark.parametrize(
    "arguments",
    [("restore", "latest"), ("restore", "latest", "--dry-run"), ("drill", "latest"), ("diff", "latest")],
    ids=["restore", "dry run", "drill", "diff"],
)
def test_a_missing_or_wrong_identity_is_told_before_anything_is_downloaded(
    locked: Shop, arguments: tuple[str, ...]
) -> None:
    for path in locked.of(locked.ids()[0]).glob("*.age.*"):
        path.unlink()  # what is read of them would end with 7
    refused(locked(*arguments), "is encrypted, and there is no identity to open it")
    refused(locked(*arguments, PGPROOF_IDENTITY=OTHER.secret), OURS.public, SPARE.public, OTHER.public)
    refused(locked("verify", "latest", PGPROOF_IDENTITY=OTHER.secret), OTHER.public)


def test_a_drill_proves_it_and_what_is_kept_of_the_drill_names_nothing(locked: Shop) -> None:
    done = locked("drill", "latest", PGPROOF_IDENTITY=OURS.secret)
    assert (done.code, done.result["verdict"]) == (0, "proven"), done
    backup = locked("show", "latest-proven").result
    wrong = "SELECT count(*) = 0 FROM customers"
    failed = locked("drill", "latest", "--check", wrong, PGPROOF_IDENTITY=OURS.secret)
    assert failed.code == 7
    assert "customers" in json.dumps(failed.result)
    kept = {path: path.read_text() for path in (locked.of(backup["id"]) / "drills").iterdir()}
    assert not [name for name in NAMES for text in kept.values() if name in text]
    (drill,) = (json.loads(text) for text in kept.values() if "differs" in text)
    assert (drill["text"], drill["checks"][0]["passed"]) == ("1 of 1 checks failed", False)


def test_after_a_rotation_each_backup_is_opened_by_the_identity_of_its_time(locked: Shop, into: str) -> None:
    (old,) = locked.ids()
    new = locked.back_up(PGPROOF_ENCRYPT_TO=OTHER.public)
    refused(locked("restore", old, "--into", into, PGPROOF_IDENTITY=OTHER.secret))
    refused(locked("restore", new, "--into", into, PGPROOF_IDENTITY=OURS.secret))
    both = f"# of last month\n{OURS.secret}\n# of this month\n{OTHER.secret}\n"
    for backup in (old, new):
        (verified,) = locked("verify", backup, PGPROOF_IDENTITY=both).result["verified"]
        assert verified["opened"] is True


def test_a_malformed_recipient_is_refused_before_anything_is_done_and_names_the_setting(own: Shop) -> None:
    ended = own("backup", PGPROOF_ENCRYPT_TO=f"{OURS.public},{OTHER.public[:-1]}")
    refused(ended, "PGPROOF_ENCRYPT_TO", OTHER.public[:-1])
    ended = own("backup", PGPROOF_ENCRYPT_TO=OURS.secret)
    refused(ended, "PGPROOF_ENCRYPT_TO", "this is a secret key")
    assert OURS.secret not in f"{ended.stdout}{ended.stderr}"
    refused(own("backup", PGPROOF_ENCRYPT_TO=","), "PGPROOF_ENCRYPT_TO", "names no key")
    assert not own.folder.exists()


def test_a_backup_that_is_not_encrypted_any_more_is_told(locked: Shop) -> None:
    ended = locked("backup")
    assert ended.code == 0
    assert "this backup is not encrypted, and the one before it was" in ended.stderr
    assert "is not encrypted" not in locked("backup").stderr


def test_an_encrypted_backup_that_was_damaged_is_found_with_and_without_the_identity(locked: Shop) -> None:
    dump = next(locked.of(locked.ids()[0]).glob("dump.*"))
    content = bytearray(dump.read_bytes())
    content[len(content) // 2] ^= 1
    dump.write_bytes(bytes(content))
    assert locked("verify", "latest").code == 7
    assert locked("verify", "latest", PGPROOF_IDENTITY=OURS.secret).code == 7
    assert locked("restore", "latest", PGPROOF_IDENTITY=OURS.secret).code == 7


def test_the_guard_of_a_job_that_cannot_read_its_backups_still_sees_rows_that_are_gone(own: Shop) -> None:
    first = own.back_up(PGPROOF_ENCRYPT_TO=OURS.public)
    plant(own.store, first, 20 * HOUR, 10 * HOUR)
    counts = json.loads((own.of(first) / "manifest.json").read_text())["counts"]
    assert list(counts["rows"].values()) == [ROWS]
    own.run(f"DELETE FROM orders WHERE id > {ROWS // 3}")
    own.run(
        "CREATE TABLE filler AS SELECT md5(n::text) FROM generate_series(1, 9000) n"
    )  # so that its size is as usual
    ended = own("backup", PGPROOF_ENCRYPT_TO=OURS.public)
    assert (ended.code, ended.error["code"]) == (12, "backup_suspect"), ended
    assert f"rows public.orders: expected {ROWS:,}, found {ROWS // 3:,}" in ended.stderr
    own.run("DROP TABLE orders")
    assert own("backup", PGPROOF_ENCRYPT_TO=OURS.public).code == 12


def test_an_identity_is_never_shown(locked: Shop, into: str) -> None:
    file = locked.pgproof.home / "identity.txt"
    file.write_text(f"# mine\n{OURS.secret}\n")
    for arguments in (("config",), ("restore", "latest", "--into", into, "-v"), ("key", "show")):
        ended = locked(*arguments, PGPROOF_IDENTITY_FILE=str(file))
        assert ended.code == 0, ended
        assert OURS.secret not in f"{ended.stdout}{ended.stderr}"
        assert OURS.secret[20:] not in f"{ended.stdout}{ended.stderr}"


def test_key_new_writes_what_key_show_and_a_restore_read_and_overwrites_nothing(own: Shop) -> None:
    file = own.pgproof.home / "new.txt"
    made = own("key", "new", str(file))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "AGE-SECRET-KEY" not in f"{made.stdout}{made.stderr}"
    public = made.result["public"]
    assert own("key", "show", PGPROOF_IDENTITY_FILE=str(file)).result == {"public": [public]}
    before = file.read_text()
    again = own("key", "new", str(file))
    assert (again.code, file.read_text()) == (2, before)
    assert own("key", "new").code == 2
    assert own("key", "show").code == 3
    own.back_up(PGPROOF_ENCRYPT_TO=public)
    assert own("verify", "latest", PGPROOF_IDENTITY_FILE=str(file)).result["verified"][0]["opened"] is True


def test_an_identity_under_a_passphrase_opens_a_backup_with_it_alone(own: Shop) -> None:
    file = own.pgproof.home / "kept.txt"
    public = own("key", "new", str(file), "--passphrase", PGPROOF_IDENTITY_PASSPHRASE="a horse").result["public"]
    own.back_up(PGPROOF_ENCRYPT_TO=public)
    refused(own("verify", "latest", PGPROOF_IDENTITY_FILE=str(file)), "kept under a passphrase")
    opened = own("verify", "latest", PGPROOF_IDENTITY_FILE=str(file), PGPROOF_IDENTITY_PASSPHRASE="a horse")
    assert opened.result["verified"][0]["opened"] is True
    nobody = own("key", "new", f"{file}2", "--passphrase")
    assert (nobody.code, nobody.complaint) == (2, "there is nobody to ask for the passphrase")
