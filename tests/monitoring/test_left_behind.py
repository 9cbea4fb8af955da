"""What a run leaves behind: at a real Pushgateway, and in a file of the node exporter; where it cannot, a warning."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from backup.errors import ConfigurationError
from backup.notify.metrics import Pushgateway
from tests.monitoring.conftest import HOUR, Shelf
from tests.monitoring.test_watch import figures
from tests.support.monitoring import free_port, get, pushgateway
from tests.support.services import program

NOWHERE = "postgresql://a:b@127.0.0.1:1/shop"
PASSWORD, QUOTED = "p@ss/word-of-the-gateway", "p%40ss%2Fword-of-the-gateway"
HASHED = "$2y$04$cbtP5jwZN7vAdr/Gy0PQeOfEM4C4BubLHHKxr6Lp1vXWKCxK4AvuO"
"""The same, by bcrypt, as a Pushgateway wants it."""


def at(gateway: str, *, without: str = "store") -> dict[str, float]:
    """What a Pushgateway has of ours, without its own labels and one more."""
    text = get(f"http://{gateway}/metrics")
    lines = [line for line in text.splitlines() if "pgproof_" in line and "instance" in line]
    return figures(
        "\n".join(line.replace('instance="",', "").replace('job="pgproof",', "") for line in lines) + "\n",
        without=without,
    )


def test_a_run_leaves_its_end_and_what_the_stores_have_at_the_pushgateway(shelf: Shelf, tmp_path: Path) -> None:
    shelf.put(HOUR)
    with pushgateway(tmp_path / "gateway") as gateway:
        ended = shelf.pgproof("prune", "--target", "shop", PGPROOF_PUSHGATEWAY=f"http://{gateway}")
        assert (ended.code, "not told" in ended.stderr) == (0, False)
        found = at(gateway)
        assert found['pgproof_run_last_exit_code{action="prune",target="shop"}'] == 0
        assert found["pgproof_store_up"] == 1
        assert found['pgproof_backup_last_success_timestamp_seconds{target="shop"}']
        assert not [name for name in found if "age_seconds" in name]


def test_a_run_that_failed_leaves_its_exit_code_beside_those_of_other_runs(shelf: Shelf, tmp_path: Path) -> None:
    shelf.put(HOUR)
    with pushgateway(tmp_path / "gateway") as gateway:
        address = {"PGPROOF_PUSHGATEWAY": f"http://{gateway}", "PGPROOF_TARGET": "shop"}
        assert shelf.pgproof("prune", **address).code == 0
        assert shelf.pgproof("backup", PGPROOF_DATABASE_URL=NOWHERE, **address).code == 4
        found = at(gateway)
        codes = {a: found[f'pgproof_run_last_exit_code{{action="{a}",target="shop"}}'] for a in ("prune", "backup")}
        assert codes == {"prune": 0, "backup": 4}


def test_a_store_that_is_down_is_told_and_what_it_said_last_stays(shelf: Shelf, tmp_path: Path) -> None:
    shelf.put(HOUR)
    with pushgateway(tmp_path / "gateway") as gateway:
        address = {"PGPROOF_PUSHGATEWAY": f"http://{gateway}", "PGPROOF_TARGET": "shop"}
        assert shelf.pgproof("prune", **address).code == 0
        before = at(gateway)
        shelf.disk.rename(shelf.disk.with_name("away"))
        ended = shelf.pgproof("prune", "-vv", **address)
        assert ended.code == 6
        assert "not told" not in ended.stderr
        found, by_store = at(gateway), at(gateway, without="")
    up = {name: value for name, value in by_store.items() if name.startswith("pgproof_store_up")}
    assert up == {f'pgproof_store_up{{store="{shelf.folder}"}}': 0}, ended.stderr
    kept = 'pgproof_backup_last_success_timestamp_seconds{target="shop"}'
    assert found[kept] == before[kept]


def test_a_user_and_a_password_open_it_and_are_never_shown(shelf: Shelf, tmp_path: Path) -> None:
    shelf.put(HOUR)
    web = f'basic_auth_users: {{me: "{HASHED}"}}'
    with pushgateway(tmp_path / "gateway", web_config=web) as gateway:
        said = {}
        for account in (f"me:{QUOTED}", "me:wrong-password"):
            ended = shelf.pgproof("prune", "--target", "shop", PGPROOF_PUSHGATEWAY=f"http://{account}@{gateway}")
            assert ended.code == 0
            said[account] = ended.stderr
        assert "not told" not in said[f"me:{QUOTED}"]
        assert "answered 401" in said["me:wrong-password"]
        shown = shelf.pgproof("config", "-v", PGPROOF_PUSHGATEWAY=f"http://me:{QUOTED}@{gateway}")
    for text in (*said.values(), shown.stdout, shown.stderr):
        assert not [each for each in (PASSWORD, QUOTED, "wrong-password") if each in text]


def test_a_pushgateway_that_is_not_there_is_one_warning(shelf: Shelf) -> None:
    shelf.put(HOUR)
    gateway = f"127.0.0.1:{free_port()}"
    ended = shelf.pgproof("prune", "--target", "shop", PGPROOF_PUSHGATEWAY=f"http://{gateway}")
    assert ended.code == 0
    assert ended.stderr.count("warning") == 1
    assert f"pushgateway at {gateway}" in ended.stderr


def test_an_address_that_cannot_be_one_is_told_before_anything_is_done(shelf: Shelf) -> None:
    shelf.put(HOUR)
    ended = shelf.pgproof("prune", "--target", "shop", PGPROOF_PUSHGATEWAY="http://gateway:many")
    assert ended.code == 3
    with pytest.raises(ConfigurationError):
        Pushgateway("http://:9091")


def test_a_dry_run_leaves_nothing(shelf: Shelf, tmp_path: Path) -> None:
    shelf.put(HOUR)
    file = tmp_path / "pgproof.prom"
    assert shelf.pgproof("prune", "--target", "shop", "--dry-run", PGPROOF_METRICS_FILE=str(file)).code == 0
    assert not file.exists()


def test_the_file_is_whole_for_all_to_read_and_has_every_run_and_target(shelf: Shelf, tmp_path: Path) -> None:
    file = tmp_path / "textfiles" / "pgproof.prom"
    file.parent.mkdir()
    shelf.put(HOUR)
    shelf.put(HOUR, target="crm")
    where = {"PGPROOF_METRICS_FILE": str(file)}
    assert shelf.pgproof("prune", "--target", "shop", **where).code == 0
    assert shelf.pgproof("prune", "--target", "crm", **where).code == 0
    failed = shelf.pgproof("backup", "--target", "shop", PGPROOF_DATABASE_URL=NOWHERE, **where)
    assert failed.code == 4
    text = file.read_text()
    check = subprocess.run([program("promtool"), "check", "metrics"], input=text.encode(), check=False)
    assert check.returncode == 0
    found = figures(text)
    assert {name: value for name, value in found.items() if "exit_code" in name} == {
        'pgproof_run_last_exit_code{action="prune",target="shop"}': 0,
        'pgproof_run_last_exit_code{action="prune",target="crm"}': 0,
        'pgproof_run_last_exit_code{action="backup",target="shop"}': 4,
    }
    assert found['pgproof_backups{status="complete",target="crm"}'] == 1
    assert "age_seconds" not in text
    assert (file.stat().st_mode & 0o777, [each.name for each in file.parent.iterdir()]) == (0o644, [file.name])


def test_a_file_that_cannot_be_written_is_a_warning(shelf: Shelf, tmp_path: Path) -> None:
    shelf.put(HOUR)
    file = tmp_path / "missing" / "pgproof.prom"
    ended = shelf.pgproof("prune", "--target", "shop", PGPROOF_METRICS_FILE=str(file))
    assert ended.code == 0
    assert ended.stderr.count("warning") == 1
    assert f"the metrics cannot be written to {file}" in ended.stderr


def test_a_file_with_nonsense_in_it_is_written_anew(shelf: Shelf, tmp_path: Path) -> None:
    shelf.put(HOUR)
    file = tmp_path / "pgproof.prom"
    file.write_bytes(b"\xff{nonsense")
    assert shelf.pgproof("prune", "--target", "shop", PGPROOF_METRICS_FILE=str(file)).code == 0
    assert figures(file.read_text())["pgproof_store_up"] == 1


def test_a_device_is_not_replaced_by_a_file(shelf: Shelf) -> None:
    ended = shelf.pgproof("list", PGPROOF_METRICS_FILE="/dev/null")
    assert (ended.code, "must end in .prom" in ended.complaint) == (3, True)
    assert not Path("/dev/null").is_file()
