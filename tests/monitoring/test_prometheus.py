"""A real Prometheus that scrapes the watch, with the rules and the dashboard of the chart."""

from __future__ import annotations

from pathlib import Path

from tests.chart.test_monitoring import dashboard, queries, rules
from tests.monitoring.conftest import DAY, HOUR, Shelf
from tests.support.command import wait_until
from tests.support.monitoring import prometheus, pushgateway, watching


def asked_at_once() -> dict[str, object]:
    """The rules of the chart, without the time for which something must be so."""
    return {"groups": [{"name": "pgproof", "rules": [{**each, "for": "0s"} for each in rules()]}]}


def test_the_missed_rule_fires_where_the_only_backup_is_old_and_until_there_is_a_new_one(
    shelf: Shelf, tmp_path: Path
) -> None:
    shelf.put(5 * HOUR)
    with watching(shelf.pgproof) as (_, address), prometheus(tmp_path / "p", asked_at_once(), address) as found:
        wait_until(lambda: "PgproofBackupMissed" in found.alerts())
        (sample,) = found.query('ALERTS{alertname="PgproofBackupMissed"}')
        assert (sample["metric"]["target"], sample["metric"]["store"]) == ("shop", str(shelf.folder))
        assert not {"PgproofNoBackup", "PgproofBackupFailing", "PgproofStoreDown"} & found.alerts()
        shelf.put(HOUR)
        wait_until(lambda: "PgproofBackupMissed" not in found.alerts())


def test_every_query_of_the_dashboard_has_an_answer(shelf: Shelf, tmp_path: Path) -> None:
    made = shelf.put(2 * DAY)
    shelf.drill(made, age=DAY)
    shelf.put(HOUR)
    with (
        watching(shelf.pgproof) as (_, address),
        pushgateway(tmp_path / "g") as gateway,
        prometheus(tmp_path / "p", asked_at_once(), address, gateway) as found,
    ):
        pushed = {"PGPROOF_PUSHGATEWAY": f"http://{gateway}", "PGPROOF_RETENTION": "off"}
        assert shelf.pgproof("prune", "--target", "shop", **pushed).code == 0
        wait_until(lambda: found.query("pgproof_run_last_exit_code"))
        wait_until(lambda: found.query("pgproof_backup_age_seconds"))
        empty = []
        for query in queries(dashboard()):
            if query.startswith("label_values("):
                name, label = query.removeprefix("label_values(").removesuffix(")").split(", ")
                assert all(label in each["metric"] for each in found.query(name))
            elif not found.query(query.replace("$target", ".*").replace("$store", ".*")):
                empty.append(query)
    assert empty == []
