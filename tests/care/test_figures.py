"""A real backup and a real drill leave their figures at a real Pushgateway."""

from __future__ import annotations

from pathlib import Path

from tests.care.conftest import Shop
from tests.failures.conftest import TARGET
from tests.monitoring.test_left_behind import at
from tests.support.monitoring import pushgateway


def test_a_backup_and_a_drill_are_seen_at_the_pushgateway_as_soon_as_they_have_ended(own: Shop, tmp_path: Path) -> None:
    with pushgateway(tmp_path / "gateway") as gateway:
        where = {"PGPROOF_PUSHGATEWAY": f"http://{gateway}"}
        own.back_up(**where)
        found = at(gateway)
        assert found[f'pgproof_run_last_exit_code{{action="backup",target="{TARGET}"}}'] == 0
        assert found[f'pgproof_run_last_duration_seconds{{action="backup",target="{TARGET}"}}'] > 0
        assert found[f'pgproof_backups{{status="complete",target="{TARGET}"}}'] == 1
        assert found[f'pgproof_backup_rows{{target="{TARGET}"}}'] > 0
        assert found[f'pgproof_backups_proven{{target="{TARGET}"}}'] == 0
        assert own("drill", "latest", **where).code == 0
        found = at(gateway)
        assert found[f'pgproof_run_last_exit_code{{action="drill",target="{TARGET}"}}'] == 0
        assert found[f'pgproof_backups_proven{{target="{TARGET}"}}'] == 1
        assert found[f'pgproof_drill_restore_seconds{{target="{TARGET}"}}'] > 0
