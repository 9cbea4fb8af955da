"""pgproof watch: what it tells of a store, and while the store is not there."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from http.client import HTTPConnection

import pytest
from prometheus_client.parser import text_string_to_metric_families

from backup.domain.manifest import Status
from backup.domain.metrics import DEFINITIONS
from backup.stream.readers import BytesReader
from tests.monitoring.conftest import DAY, HOUR, Shelf
from tests.support.command import wait_until
from tests.support.monitoring import get, watching
from tests.support.services import program


def figures(text: str, *, without: str = "store") -> dict[str, float]:
    """Values by name and labels, as in `name{status="complete",target="shop"}`."""
    found = {}
    for family in text_string_to_metric_families(text):
        for each in family.samples:
            labels = ",".join(f'{k}="{v}"' for k, v in sorted(each.labels.items()) if k != without)
            found[f"{each.name}{{{labels}}}" if labels else each.name] = each.value
    return found


def seen(address: str) -> dict[str, float]:
    return figures(get(f"http://{address}/metrics"))


def test_it_tells_of_every_target_of_the_store_with_nothing_but_the_store(shelf: Shelf) -> None:
    old = shelf.put(2 * DAY)
    shelf.drill(old, age=DAY)
    shelf.put(3 * HOUR)
    shelf.put(HOUR, status=Status.SUSPECT)
    shelf.put(HOUR / 2, purpose="safety")
    shelf.put(5 * HOUR, target="crm")
    shelf.store.put("shop/outbox/20261122T080000Z-a.json", BytesReader(b"{}"))
    with watching(shelf.pgproof, PGPROOF_WATCH_TARGETS="wiki") as (_, address):
        text = get(f"http://{address}/metrics")
    assert subprocess.run([program("promtool"), "check", "metrics"], input=text.encode(), check=False).returncode == 0
    found = figures(text)
    of_shop = {re.sub(',?target="shop",?', "", name): value for name, value in found.items()}
    assert found["pgproof_store_up"] == 1
    assert found["pgproof_store_free_bytes"] < found["pgproof_store_size_bytes"]
    assert of_shop["pgproof_backup_age_seconds{}"] == pytest.approx(3 * 3600, abs=60)
    assert of_shop["pgproof_backup_proven_age_seconds{}"] == pytest.approx(2 * 86400, abs=60)
    assert of_shop["pgproof_backup_last_success_timestamp_seconds{}"] == pytest.approx(time.time() - 3 * 3600, abs=60)
    assert of_shop["pgproof_backup_unproven_since_timestamp_seconds{}"] == pytest.approx(time.time() - 3 * 3600, abs=60)
    assert of_shop['pgproof_backup_last_status{status="suspect"}'] == 1
    assert of_shop['pgproof_backup_last_status{status="complete"}'] == 0
    assert {s: of_shop[f'pgproof_backups{{status="{s}"}}'] for s in ("complete", "suspect", "safety", "degraded")} == {
        "complete": 2,
        "suspect": 1,
        "safety": 1,
        "degraded": 0,
    }
    assert (of_shop["pgproof_backup_rows{}"], of_shop["pgproof_backup_stored_bytes{}"]) == (1234, 30)
    assert of_shop['pgproof_backup_phase_duration_seconds{phase="dump"}'] == 1.5
    assert of_shop["pgproof_backups_stored_bytes{}"] == 120
    assert (of_shop["pgproof_backups_proven{}"], of_shop["pgproof_backups_held{}"]) == (1, 0)
    assert of_shop['pgproof_drill_last_verdict{verdict="proven"}'] == 1
    assert of_shop["pgproof_drill_restore_seconds{}"] == 2.5
    assert of_shop["pgproof_outbox_messages{}"] == 1
    assert found['pgproof_backup_age_seconds{target="crm"}'] == pytest.approx(5 * 3600, abs=60)
    assert found['pgproof_backups{status="complete",target="wiki"}'] == 0
    told = {re.split(r"[{ ]", line)[0] for line in text.splitlines() if not line.startswith("#")}
    assert told == {name for name in DEFINITIONS if not name.startswith("pgproof_run_")}


def test_a_named_target_is_seen_alone(shelf: Shelf) -> None:
    shelf.put(HOUR)
    shelf.put(HOUR, target="crm")
    with watching(shelf.pgproof, "--target", "crm") as (_, address):
        text = get(f"http://{address}/metrics")
    assert 'target="crm"' in text
    assert 'target="shop"' not in text


def test_a_new_backup_and_a_new_hold_are_seen_without_a_restart(shelf: Shelf) -> None:
    made = shelf.put(3 * HOUR)
    with watching(shelf.pgproof) as (_, address):
        assert seen(address)['pgproof_backups_held{target="shop"}'] == 0
        assert shelf.pgproof("hold", made.id, "--target", "shop").code == 0
        shelf.put(HOUR)
        wait_until(lambda: seen(address)['pgproof_backups_held{target="shop"}'] == 1)
        wait_until(lambda: seen(address)['pgproof_backup_age_seconds{target="shop"}'] < 3700)


def test_while_the_store_is_gone_ages_go_on_and_that_is_said_once(shelf: Shelf) -> None:
    shelf.put(HOUR)
    away = shelf.disk.with_name("away")
    with watching(shelf.pgproof) as (running, address):
        before = seen(address)
        shelf.disk.rename(away)
        wait_until(lambda: seen(address)["pgproof_store_up"] == 0)
        age, moment = (f'pgproof_backup_{each}_seconds{{target="shop"}}' for each in ("age", "last_success_timestamp"))
        wait_until(lambda: seen(address)[age] > before[age] + 2.5)  # so that it has looked more than once
        down = seen(address)
        assert down[moment] == before[moment]
        assert down[age] > before[age] + 2
        assert down["pgproof_store_read_timestamp_seconds"] < time.time() - 2
        away.rename(shelf.disk)
        wait_until(lambda: seen(address)["pgproof_store_up"] == 1)
        running.signal(signal.SIGTERM)
        ended = running.finish()
    assert ended.stderr.count("the store cannot be read") == 1
    assert ended.stderr.count("the store can be read again") == 1


def test_a_store_that_was_never_there_is_down_and_the_watch_answers_all_the_same(shelf: Shelf) -> None:
    with watching(shelf.pgproof, PGPROOF_STORE=str(shelf.folder / "no" / "disk")) as (_, address):
        assert seen(address) == {"pgproof_store_up": 0}


def test_a_target_that_lost_its_last_backup_is_not_forgotten(shelf: Shelf) -> None:
    made = shelf.put(HOUR)
    with watching(shelf.pgproof) as (_, address):
        assert seen(address)['pgproof_backups{status="complete",target="shop"}'] == 1
        shelf.store.delete(f"shop/{made.id}/manifest.json")
        wait_until(lambda: seen(address)['pgproof_backups{status="complete",target="shop"}'] == 0)
        assert 'pgproof_backup_age_seconds{target="shop"}' not in seen(address)


def test_it_answers_get_and_head_on_two_pages_and_nothing_else(shelf: Shelf) -> None:
    with watching(shelf.pgproof) as (_, address):
        found = {}
        for method, path in (
            ("GET", "/healthz"),
            ("HEAD", "/metrics"),
            ("GET", "/metrics?x=1"),
            ("GET", "/"),
            ("POST", "/metrics"),
        ):
            connection = HTTPConnection(address, timeout=10)
            connection.request(method, path)
            answer = connection.getresponse()
            found[method, path] = (answer.status, bool(answer.read()))
            connection.close()
    assert found == {
        ("GET", "/healthz"): (200, True),
        ("HEAD", "/metrics"): (200, False),
        ("GET", "/metrics?x=1"): (200, True),
        ("GET", "/"): (404, True),
        ("POST", "/metrics"): (405, True),
    }


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_at_once_and_well_when_it_is_stopped(shelf: Shelf, signum: signal.Signals) -> None:
    with watching(shelf.pgproof) as (running, _):
        running.signal(signum)
        ended = running.finish(limit=10)
    assert (ended.code, ended.left) == (0, ())
    assert "Traceback" not in ended.stderr


def test_a_port_that_is_taken_is_a_mistake_of_the_settings(shelf: Shelf) -> None:
    with watching(shelf.pgproof) as (_, address):
        ended = shelf.pgproof("watch", "--port", address.split(":")[1])
    assert (ended.code, ended.complaint) == (3, f"cannot listen at {address}")
