"""Who is let in, and what is answered to those who are not."""

from __future__ import annotations

import signal
from datetime import UTC, datetime, timedelta

import pytest

from tests.monitoring.conftest import Shelf
from tests.support.command import Command, wait_until
from tests.support.serving import MASTER, READER, TOKENS, USUAL, Service, serving

ROUTES = ["/api/backups", "/api/backups/latest", "/api/backup", "/metrics"]


@pytest.mark.parametrize("path", ROUTES)
def test_without_a_token_nothing_is_told(service: Service, path: str) -> None:
    answer = service.get(path, token=None)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="pgproof"'
    assert answer.json()["error"]["message"] == "a token is needed"


@pytest.mark.parametrize("header", ["Basic dXNlcjpwYXNz", "Bearer", "usual-token-of-a-test", "Token x"])
def test_another_kind_of_credentials_is_no_token(service: Service, header: str) -> None:
    assert service.get("/api/backups", token=None, headers={"Authorization": header}).status_code == 401


def test_a_wrong_token_is_told_to_be_wrong(service: Service) -> None:
    answer = service.get("/api/backups", token=USUAL[:-1])
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


def test_each_token_may_do_what_its_scopes_say(service: Service) -> None:
    assert service.get("/api/backups", token=READER).status_code == 200
    assert service.get("/api/backups", token=USUAL).status_code == 200
    refused = service.get("/api/backup", token=READER)
    assert refused.status_code == 403
    assert 'error="insufficient_scope", scope="data"' in refused.headers["www-authenticate"]


def test_a_token_whose_time_is_over_opens_nothing_and_is_told_so(shelf: Shelf) -> None:
    tokens = f"{READER}=read@2020-12-31,{USUAL}@2999-12-31"
    with serving(shelf.pgproof, PGPROOF_API_TOKENS=tokens) as service:
        for _ in range(12):  # and it is no guess: it is never answered with 429
            answer = service.get("/api/backups", token=READER)
            assert (answer.status_code, answer.json()["error"]["message"]) == (401, "the time of this token is over")
        door = service.post("/sign-in", token=None, data={"token": READER})
        assert (door.status_code, "set-cookie" in door.headers) == (401, False)
        assert "The time of this token is over." in door.text
        assert service.get(f"/api/backups?q={READER}").status_code == 400
        assert service.get("/api/backups").status_code == 200
        service.running.signal(signal.SIGTERM)
        told = service.running.finish().stderr
    assert 'a token whose time is over token="token 1" ended=2020-12-31T23:59:59Z' in told
    assert READER not in told


def test_a_token_and_its_session_end_while_the_service_runs(shelf: Shelf) -> None:
    end = datetime.now(UTC) + timedelta(seconds=20)  # to start the service takes long on a busy machine
    tokens = f"{USUAL}@{end:%Y-%m-%dT%H:%M:%SZ}"
    with serving(shelf.pgproof, PGPROOF_API_TOKENS=tokens) as service, service.caller(None) as browser:
        assert browser.post("/sign-in", data={"token": USUAL}).status_code == 303
        assert (browser.get("/").status_code, service.get("/api/backups").status_code) == (200, 200)
        wait_until(lambda: service.get("/api/backups").status_code == 401)
        assert datetime.now(UTC) > end - timedelta(seconds=1)
        assert browser.get("/").headers["location"] == "/sign-in"


def test_an_end_that_is_no_time_is_a_mistake_of_the_settings(shelf: Shelf) -> None:
    ended = shelf.pgproof("serve", PGPROOF_API_TOKENS=f"{USUAL}=read@soon")
    assert (ended.code, "its end is no time" in ended.stderr, USUAL in ended.stderr) == (3, True, False)


def test_probes_need_no_token(service: Service) -> None:
    assert [service.get(path, token=None).status_code for path in ("/healthz", "/readyz")] == [200, 200]


def test_too_many_wrong_tokens_are_turned_away_and_the_right_one_still_passes(own_service: Service) -> None:
    found = [own_service.get("/api/backups", token=f"guess-number-{n}-of-many") for n in range(13)]
    assert [each.status_code for each in found] == [401] * 10 + [429] * 3
    assert 1 <= int(found[-1].headers["retry-after"]) <= 61
    assert own_service.get("/api/backups").status_code == 200


def test_a_token_in_the_address_is_refused_whatever_it_is_called(service: Service) -> None:
    for query in ("token=whatever", "access_token=x", f"q={USUAL}", "API_KEY=y", USUAL, f"auth=Bearer%20{USUAL}"):
        answer = service.get(f"/api/backups?{query}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "token_in_address")


def test_no_token_is_ever_logged(shelf: Shelf) -> None:
    with serving(shelf.pgproof, "-v") as service:
        service.get("/api/backups")
        service.get("/api/backups", token="wrong-token-of-somebody")
        service.get("/api/backup", token=READER)
        service.get(f"/api/backups?token={MASTER}")
        service.get(f"/api/backups/{MASTER}")
        service.running.signal(signal.SIGTERM)
        ended = service.running.finish()
    assert ended.code == 0
    assert "a wrong token" in ended.stderr
    assert 'token="token 2"' in ended.stderr
    for secret in (USUAL, READER, MASTER, "wrong-token-of-somebody"):
        assert secret not in ended.stderr


def test_without_a_token_in_the_settings_it_does_not_begin(shelf: Shelf) -> None:
    ended = shelf.pgproof("serve")
    assert (ended.code, ended.complaint) == (3, "no token is set, so nobody could be let in")


def test_a_token_that_is_too_short_is_a_mistake_and_is_not_shown(shelf: Shelf) -> None:
    ended = shelf.pgproof("serve", PGPROOF_API_TOKENS="hunter2")
    assert (ended.code, "hunter2" in ended.stderr) == (3, False)


def test_tokens_may_stand_in_a_file(shelf: Shelf) -> None:
    file = shelf.folder.parent / "tokens"
    file.write_text(f"{TOKENS}\n")
    with serving(shelf.pgproof, PGPROOF_API_TOKENS=None, PGPROOF_API_TOKENS_FILE=str(file)) as service:
        assert service.get("/api/backups", token=READER).status_code == 200


def test_the_settings_do_not_show_tokens(shelf: Shelf) -> None:
    shown = Command(home=shelf.pgproof.home, environ={"PGPROOF_API_TOKENS": TOKENS})("config")
    assert shown.code == 0
    assert USUAL not in shown.stdout


def test_what_was_just_answered_to_one_is_not_told_to_another(service: Service) -> None:
    for _ in range(2):
        assert service.get("/api/backups?limit=7", token=READER).status_code == 200
    assert service.get("/api/backups?limit=7", token=None).status_code == 401
    assert service.get("/api/backups?limit=7", token=READER[:-1]).status_code == 401
    assert service.get("/api/backups?limit=7", token=None, headers={"Authorization": READER}).status_code == 401
    same = service.get("/api/backups?limit=7", token=None, headers={"Authorization": f"bEARER  {READER}"})
    assert (same.status_code, same.headers["x-content-type-options"]) == (200, "nosniff")
