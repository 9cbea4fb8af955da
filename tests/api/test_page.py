"""The status page without a browser: what it says, and whom it lets do what."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from backup.domain.access import make_session, parse_tokens
from backup.domain.manifest import Status
from tests.monitoring.conftest import DAY, HOUR, Shelf
from tests.rows.conftest import Shop
from tests.support.command import wait_until
from tests.support.serving import READER, TOKENS, USUAL, Service, serving


@contextmanager
def signed_in(service: Service, token: str = USUAL) -> Iterator[httpx.Client]:
    with service.caller(None) as caller:
        answer = caller.post("/sign-in", data={"token": token})
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        yield caller


def words(page: httpx.Response) -> str:
    """What a reader sees."""
    assert page.status_code == 200, page.text
    return " ".join(re.sub(r"<[^>]*>", " ", page.text).split())


def form_key(caller: httpx.Client, path: str = "/") -> str:
    found = re.search(r'name="key" value="([0-9a-f]{64})"', caller.get(path).text)
    assert found
    return found[1]


def test_it_says_what_is_protected_how_old_it_is_and_what_was_proven(shelf: Shelf) -> None:
    old = shelf.put(26 * HOUR)
    shelf.drill(old)
    new = shelf.put(3 * HOUR)
    shelf.put(HOUR, status=Status.SUSPECT)
    with serving(shelf.pgproof, PGPROOF_RETENTION="keep-within=24h") as service, signed_in(service) as caller:
        said = words(caller.get("/"))
    assert "Newest complete backup 3 h old" in said
    assert "Newest proven backup 26 h old" in said
    assert "median of 1 drill worst 2.50 s" in said
    assert f"pgproof restore {new.id} --target shop" in said
    assert "suspect" in said
    assert "What would be deleted next" in said
    assert "is suspect" in said  # why nothing is deleted


def test_what_would_be_deleted_is_the_plan_of_prune(shelf: Shelf) -> None:
    made = [shelf.put(DAY * n) for n in (0.1, 3, 5)]
    shelf.drill(made[0])
    with serving(shelf.pgproof, PGPROOF_RETENTION="keep-within=24h") as service, signed_in(service) as caller:
        page = caller.get("/")
    planned = shelf.pgproof("prune", "--dry-run", "--json", "--target", "shop", PGPROOF_RETENTION="keep-within=24h")
    (pruning,) = planned.result["prunings"]
    gone = [each["id"] for each in pruning["runs"] if not each["keep"]]
    assert gone == [made[1].id, made[2].id]
    for each in gone:
        assert re.search(rf"<li><code>{each}</code>, [^<]*: no rule keeps it</li>", page.text)
    assert shelf.pgproof("list", "--target", "shop").stdout.count("complete") == 3


def test_several_targets_each_have_their_page(shelf: Shelf) -> None:
    shelf.put(HOUR)
    shelf.put(5 * HOUR, target="crm")
    with serving(shelf.pgproof) as service, signed_in(service) as caller:
        assert "<h1>crm</h1>" in caller.get("/").text
        assert "<h1>shop</h1>" in caller.get("/?target=shop").text
        assert caller.get("/?target=<script>").status_code == 404


def test_a_backup_is_offered_of_what_this_service_backs_up_alone(shelf: Shelf) -> None:
    shelf.put(HOUR)
    shelf.put(5 * HOUR, target="crm")
    address = "postgresql://backup@127.0.0.1:1/shop"
    with serving(shelf.pgproof, PGPROOF_DATABASE_URL=address) as service, signed_in(service) as caller:
        assert ">Back up now<" in caller.get("/?target=shop").text
        page = caller.get("/?target=crm").text
        assert (">Back up now<" in page, ">Drill the newest<" in page) == (False, True)


def test_without_any_backup_it_says_so(service: Service) -> None:
    with signed_in(service) as caller:
        assert "No backup yet" in words(caller.get("/"))


def test_while_the_store_is_gone_it_says_so_with_the_time_of_what_it_knows(shelf: Shelf) -> None:
    made = shelf.put(3 * HOUR)
    with serving(shelf.pgproof) as service, signed_in(service) as caller:
        shelf.disk.rename(shelf.disk.with_name("away"))
        wait_until(lambda: "cannot be read now" in words(caller.get("/")))
        said = words(caller.get("/"))
    assert "What is said of it here is of" in said
    assert made.id in said
    assert "Not known now: the store does not answer." in said


def test_who_is_not_signed_in_sees_nothing(service: Service) -> None:
    for path in ("/", "/runs/x", "/?target=shop"):
        answer = service.get(path)  # a bearer token opens the API, not the page
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert service.get("/runs/x/log", token=None).status_code == 401
    assert service.get("/sign-in", token=None).status_code == 200


def test_a_cookie_opens_no_route_of_the_api(service: Service) -> None:
    with signed_in(service) as caller:
        for path in ("/api/backups", "/api/backup", "/api/runs", "/metrics", "/api/cron/backup"):
            assert caller.get(path).status_code == 401
        assert caller.post("/api/backups").status_code == 401


def test_the_cookie_is_for_this_page_alone_and_is_not_the_token(service: Service) -> None:
    answer = service.post("/sign-in", token=None, data={"token": USUAL})
    cookie = answer.headers["set-cookie"]
    assert USUAL not in cookie
    assert {"HttpOnly", "SameSite=strict", "Path=/", "Max-Age=43200"} <= set(cookie.split("; "))


def test_a_wrong_token_at_the_door_is_refused_and_counted(own_service: Service) -> None:
    found = [own_service.post("/sign-in", token=None, data={"token": f"guess-number-{n}"}) for n in range(12)]
    assert [each.status_code for each in found] == [401] * 10 + [429] * 2
    assert "This token is not known." in found[0].text
    assert "set-cookie" not in found[0].headers


def test_a_session_that_is_over_or_forged_is_none(service: Service) -> None:
    token = parse_tokens(TOKENS)[0]
    other = parse_tokens("another-token-of-nobody")[0]
    soon, ago = int(time.time()) + 100, int(time.time()) - 1
    nonce = "0" * 32
    good = make_session(token, expires=soon, nonce=nonce)
    for cookie, status in (
        (good, 200),
        (make_session(token, expires=ago, nonce=nonce), 303),
        (make_session(other, expires=soon, nonce=nonce), 303),
        (good.replace(str(soon), str(soon + 100_000)), 303),
        (good[:-1] + ("0" if good[-1] != "0" else "1"), 303),
        ("x", 303),
    ):
        assert service.get("/", token=None, headers={"Cookie": f"pgproof_session={cookie}"}).status_code == status


def test_a_session_ends_when_its_token_is_withdrawn(shelf: Shelf) -> None:
    with serving(shelf.pgproof) as service, signed_in(service) as caller:
        cookie = caller.cookies["pgproof_session"]
    with serving(shelf.pgproof, PGPROOF_API_TOKENS=READER) as service:
        answer = service.get("/", token=None, headers={"Cookie": f"pgproof_session={cookie}"})
    assert answer.status_code == 303


def test_forms_of_other_sites_and_other_sessions_start_nothing(service: Service) -> None:
    with signed_in(service) as caller, signed_in(service) as other:
        key, foreign = form_key(caller), form_key(other)
        for data, headers in (
            ({}, {}),
            ({"key": ""}, {}),
            ({"key": foreign}, {}),
            ({"key": key}, {"Origin": "https://evil.example.com"}),
            ({"key": key}, {"Origin": "null"}),
            ({"key": key}, {"Sec-Fetch-Site": "cross-site"}),
        ):
            for path in ("/start/backup", "/start/drill", "/sign-out"):
                assert caller.post(path, data=data, headers=headers).status_code == 403
        assert service.get("/api/runs").json() == {"runs": []}
        assert caller.get("/start/backup").status_code == 405
        assert caller.post("/sign-out", data={"key": key}).status_code == 303
        caller.cookies.clear()
        assert caller.get("/").status_code == 303


def test_the_door_takes_no_form_of_another_site(service: Service) -> None:
    answer = service.post("/sign-in", token=None, data={"token": USUAL}, headers={"Origin": "https://evil.example.com"})
    assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)


def test_a_form_or_an_origin_that_is_none_is_refused_and_breaks_nothing(service: Service) -> None:
    many = {f"field{n}": "x" for n in range(21)}
    assert service.post("/sign-in", token=None, data={"token": USUAL, **many}).status_code == 400
    for origin in ("http://[", "http://[::1", "x", ""):
        answer = service.post("/sign-in", token=None, data={"token": USUAL}, headers={"Origin": origin})
        assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)
    with signed_in(service) as caller:
        assert caller.post("/start/backup", data=many).status_code == 400


def test_a_reader_sees_no_buttons_and_starts_nothing(shelf: Shelf) -> None:
    shelf.put(HOUR)
    with serving(shelf.pgproof) as service, signed_in(service, READER) as caller:
        page = caller.get("/").text
        assert "Back up now" not in page
        assert "/start/" not in page
        assert caller.post("/start/backup", data={"key": form_key(caller)}).status_code == 403


def test_without_any_script_a_backup_is_started_and_followed(shop: Shop, shop_service: Service) -> None:
    with signed_in(shop_service) as caller:
        answer = caller.post("/start/backup", data={"key": form_key(caller)})
        assert answer.status_code == 303
        run = answer.headers["location"]
        assert 'http-equiv="refresh"' in caller.get(run).text
        wait_until(lambda: "succeeded" in caller.get(run).text)
        page = caller.get(run).text
        assert "backup started" in page
        assert "refresh" not in page
        wait_until(lambda: "<h1>" + shop.name in caller.get("/").text)
        answer = caller.post("/start/drill", data={"key": form_key(caller), "backup": "latest"})
        wait_until(lambda: "succeeded" in caller.get(answer.headers["location"]).text)
        wait_until(lambda: "Newest proven backup 0 min old" in words(caller.get("/")))


@pytest.mark.parametrize("name", ["style.css", "page.js", "icon.svg"])
def test_the_pages_own_files_are_there_and_no_others(service: Service, name: str) -> None:
    assert service.get(f"/static/{name}", token=None).status_code == 200
    for other in ("status.html", "..%2ftemplates.py", "%2e%2e/page.py", "/etc/passwd"):
        assert service.get(f"/static/{other}", token=None).status_code == 404


def test_what_a_backup_is_called_is_nothing_but_text(shelf: Shelf) -> None:
    made = shelf.put(HOUR)
    evil = made.to_json().replace(b'"name": "shop"', b'"name": "<script>alert(1)</script>"')
    (shelf.folder / "shop" / made.id / "manifest.json").write_bytes(evil)
    with serving(shelf.pgproof) as service, signed_in(service) as caller:
        page = caller.get("/").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_only_a_proxy_that_is_named_is_believed_about_its_callers(shelf: Shelf) -> None:
    said = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.7"}
    for proxy, believed in (("127.0.0.0/8", True), ("192.0.2.1", False)):
        with serving(shelf.pgproof, "--proxy", proxy) as service:
            cookie = service.post("/sign-in", token=None, data={"token": USUAL}, headers=said).headers["set-cookie"]
            service.get("/api/backups", token="a-token-of-nobody-here", headers=said)
            service.running.signal(signal.SIGTERM)
            told = service.running.finish().stderr
        assert ("Secure" in cookie) is believed
        assert ("address=203.0.113.7" in told) is believed
