"""The lines of docs/rotation.md that change the keys of backups, run as they stand."""

from __future__ import annotations

from pathlib import Path

from backup.stream.age import Identity
from tests.docs.pages import DOCS, blocks, run_bash
from tests.fixtures.postgres import NewDatabase, Server

PAGE = DOCS / "rotation.md"


def test_after_the_lines_new_backups_are_for_the_new_key_and_all_are_opened(
    pg18: Server, new_database: NewDatabase, tmp_path: Path
) -> None:
    old, spare = Identity.new(), Identity.new()
    (tmp_path / "identities.txt").write_text(f"{old.secret}\n")
    environ = {
        "PGPROOF_DATABASE_URL": pg18.url(new_database(pg18)),
        "PGPROOF_STORE": str(tmp_path / "store"),
        "PGPROOF_TARGET": "shop",
        "PGPROOF_PG_BIN": str(pg18.bin_dir),
        "PGPROOF_ENCRYPT_TO": f"{old.public},{spare.public}",
        "SPARE": spare.public,
    }
    assert run_bash("pgproof backup", tmp_path, pg18, **environ).returncode == 0

    done = run_bash("".join(blocks(PAGE).values()), tmp_path, pg18, **environ)

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("  good  ") == 2
    assert "not opened" not in done.stdout
    last = run_bash("pgproof show latest", tmp_path, pg18, **environ).stdout
    assert old.public not in last
    assert spare.public in last
    assert (
        run_bash("PGPROOF_IDENTITY_FILE=identity-new.txt pgproof verify latest", tmp_path, pg18, **environ).returncode
        == 0
    )
