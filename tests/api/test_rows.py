"""The JSON document over HTTP: whole or visibly not, and no query without a reader."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.rows.conftest import Shop
from tests.support.command import wait_until
from tests.support.serving import Service, serving

_BUSY = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


def sessions(shop: Shop) -> int:
    return int(shop.sql(_BUSY)[0][0])


def test_the_document_is_that_of_the_command(shop: Shop, shop_service: Service) -> None:
    answer = shop_service.get("/api/backup")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    found, written = answer.json(), shop.export()
    assert found["success"] is True
    assert {**found, "timestamp": ""} == {**written, "timestamp": ""}
    assert found["left_out"]["users"] == ["password_hash", "API_Key"]


def test_the_settings_choose_tables_columns_and_limits(shop: Shop) -> None:
    chosen = shop.configured(
        {"tables": {"users": {"columns": ["id", "name"]}, "transactions": {"limit": 3, "order_by": "created_at desc"}}}
    )
    (shop.run.home / "store").mkdir()
    with serving(chosen.run, PGPROOF_STORE=str(shop.run.home / "store")) as service:
        found = service.get("/api/backup").json()
    assert found["stats"] == {"transactions": 3, "users": 5}
    assert [each["id"] for each in found["data"]["transactions"]] == [40, 39, 38]
    assert found["data"]["users"][0] == {"id": 1, "name": "User 1"}


def test_a_reader_that_leaves_while_the_server_thinks_cancels_the_query(shop: Shop) -> None:
    slow = shop.configured({"tables": {"wallets": {"where": "pg_catalog.pg_sleep(100) IS NOT NULL"}}})
    (shop.run.home / "store").mkdir()
    with serving(slow.run, PGPROOF_STORE=str(shop.run.home / "store")) as service:
        with service.caller() as caller, caller.stream("GET", "/api/backup") as answer:
            assert answer.status_code == 200
            wait_until(lambda: sessions(shop) == 2)
        wait_until(lambda: sessions(shop) == 0, limit=10)
        assert service.running.processes("psql") == []


def test_a_reader_that_leaves_in_the_middle_ends_the_query(shop: Shop) -> None:
    shop.sql("CREATE TABLE large AS SELECT n AS id, repeat('x', 1000) AS text FROM generate_series(1, 100000) n")
    (shop.run.home / "store").mkdir()
    with serving(shop.run, PGPROOF_STORE=str(shop.run.home / "store")) as service:
        with service.caller() as caller, caller.stream("GET", "/api/backup") as answer:
            next(answer.iter_raw(1000))
        wait_until(lambda: sessions(shop) == 0, limit=10)
        assert service.get("/api/backup").json()["stats"]["large"] == 100_000


def test_an_export_that_fails_half_way_is_cut_and_not_ended(shop: Shop) -> None:
    failing = shop.configured({"tables": {"wallets": {"where": "1 / (user_id - 5) IS NOT NULL"}, "users": {}}})
    (shop.run.home / "store").mkdir()
    with serving(failing.run, PGPROOF_STORE=str(shop.run.home / "store")) as service:
        with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
            service.get("/api/backup")
        assert service.get("/healthz").status_code == 200
    wait_until(lambda: sessions(shop) == 0)


def test_a_choice_that_does_not_fit_and_a_database_that_is_gone_are_told(shop: Shop) -> None:
    wrong = shop.configured({"tables": {"walets": {}}})
    (shop.run.home / "store").mkdir()
    with serving(wrong.run, PGPROOF_STORE=str(shop.run.home / "store")) as service:
        answer = service.get("/api/backup")
        assert (answer.status_code, "walets" in answer.text) == (503, True)
    gone = shop.server.url("no_such_database")
    with serving(shop.run, PGPROOF_STORE=str(shop.run.home / "store"), PGPROOF_DATABASE_URL=gone) as service:
        answer = service.get("/api/backup")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "database_missing")
        assert shop.server.password not in answer.text


def test_the_first_byte_comes_at_once_and_too_many_at_a_time_are_turned_away(shop: Shop) -> None:
    slow = shop.configured({"tables": {"wallets": {"where": "pg_catalog.pg_sleep(100) IS NOT NULL"}}})
    (shop.run.home / "store").mkdir()
    with serving(slow.run, PGPROOF_STORE=str(shop.run.home / "store")) as service:
        callers = [service.caller() for _ in range(4)]
        streams = [caller.stream("GET", "/api/backup") for caller in callers]
        begun = time.monotonic()
        streams[0].__enter__()
        assert time.monotonic() - begun < 3  # half a second on an idle machine: bench/serve.py
        for each in streams[1:]:
            each.__enter__()
        busy = service.get("/api/backup")
        assert (busy.status_code, busy.json()["error"]["code"]) == (503, "busy")
        for each, caller in zip(streams, callers, strict=True):
            each.__exit__(None, None, None)
            caller.close()
        wait_until(lambda: sessions(shop) == 0, limit=15)


def test_a_service_that_is_stopped_leaves_no_query_of_an_export(shop: Shop) -> None:
    slow = shop.configured({"tables": {"wallets": {"where": "pg_catalog.pg_sleep(100) IS NOT NULL"}}})
    (shop.run.home / "store").mkdir()
    with (
        serving(slow.run, PGPROOF_STORE=str(shop.run.home / "store")) as service,
        service.caller() as caller,
        caller.stream("GET", "/api/backup") as answer,
    ):
        wait_until(lambda: sessions(shop) == 2)
        service.running.signal(signal.SIGTERM)
        ended = service.running.finish(limit=40)
        assert (ended.code, ended.left, sessions(shop)) == (0, (), 0)
        with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
            answer.read()


def test_exports_beside_each_other_are_all_whole(shop_service: Service) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: shop_service.get("/api/backup").json()["stats"], range(4)))
    assert found == [{"profiles": 7, "transactions": 40, "users": 5, "wallets": 5}] * 4
