"""The status page as people use it: in Chromium, by mouse and by keyboard, wide and narrow, light and dark."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, ViewportSize, expect

from tests.monitoring.conftest import DAY, HOUR, Shelf
from tests.rows.conftest import Shop
from tests.support.browser import DESKTOP, PHONE, browser, serious_faults
from tests.support.serving import USUAL, Service, serving

pytestmark = pytest.mark.xdist_group("browser")  # one browser is enough for two cores


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as started:
        yield started


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A tab of its own, in which nothing complains and nothing is loaded from elsewhere."""
    context = chromium.new_context(viewport=DESKTOP)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    opened = context.new_page()
    complaints: list[str] = []
    hosts: set[str] = set()

    def hear(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            complaints.append(message.text)

    opened.on("console", hear)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda request: hosts.add(re.sub(r"^\w+://([^/:]*).*$", r"\1", request.url)))
    yield opened
    context.close()
    assert complaints == []
    assert hosts <= {"127.0.0.1"}


def sign_in(page: Page, service: Service) -> None:
    page.goto(service.url)
    expect(page).to_have_url(f"{service.url}/sign-in")
    page.get_by_label("Token").fill(USUAL)
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(f"{service.url}/")


@pytest.fixture
def furnished(shelf: Shelf) -> Iterator[Service]:
    """A service with things to show."""
    for day in (9, 8, 7, 6, 2, 1):
        made = shelf.put(day * DAY)
    shelf.drill(made)
    shelf.put(HOUR)
    shelf.put(HOUR, target="crm")
    with serving(shelf.pgproof, "--target", "shop", PGPROOF_RETENTION="keep-within=3d") as found:
        yield found


def test_a_backup_is_started_followed_to_its_end_and_its_restore_command_copied(
    page: Page, shop: Shop, shop_service: Service
) -> None:
    sign_in(page, shop_service)
    expect(page.get_by_role("heading", name="No backup yet")).to_be_visible()
    page.get_by_role("button", name="Back up now").click()
    expect(page.get_by_role("heading", name="Backup")).to_be_visible()
    expect(page.locator("#log")).to_contain_text("ended with exit code 0", timeout=60_000)
    expect(page.locator("#state")).to_have_text("succeeded", timeout=60_000)
    page.get_by_role("link", name="Overview").click()
    expect(page.get_by_role("heading", name=shop.name)).to_be_visible()
    page.get_by_role("button", name=re.compile("Copy the restore command")).first.click()
    expect(page.get_by_role("button", name=re.compile("Copy the restore command")).first).to_have_text("Copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert re.fullmatch(rf"pgproof restore \d{{8}}T\d{{6}}Z --target {shop.name}", copied)
    page.get_by_role("button", name="Drill the newest").click()
    expect(page.locator("#state")).to_have_text("succeeded", timeout=60_000)
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(f"{shop_service.url}/sign-in")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_nothing_keeps_people_out_and_nothing_is_cut_off(
    page: Page, furnished: Service, size: ViewportSize, scheme: Literal["light", "dark"]
) -> None:
    page.set_viewport_size(size)
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{furnished.url}/sign-in")
    assert serious_faults(page) == []
    sign_in(page, furnished)
    expect(page.get_by_role("heading", name="shop")).to_be_visible()
    for each in page.locator("summary").all():
        each.click()
    assert serious_faults(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    expect(page.get_by_text("No backup for 4 days")).to_be_visible()
    expect(page.locator("rect.gap")).to_have_count(2)
    expect(page.locator("rect.bar")).to_have_count(14)


def test_all_of_it_is_reached_by_keyboard(page: Page, furnished: Service) -> None:
    page.goto(f"{furnished.url}/sign-in")
    expect(page.get_by_label("Token")).to_be_focused()
    page.keyboard.type(USUAL)
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{furnished.url}/")
    reached = []
    for _ in range(30):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.innerText.trim().split('\\n')[0]"))
    assert reached[:5] == ["Skip to the content", "pgproof", "Sign out", "Back up now", "Drill the newest"]
    assert "Copy" in reached


def test_it_reads_the_same_without_any_script(chromium: Browser, furnished: Service) -> None:
    context = chromium.new_context(java_script_enabled=False)
    opened = context.new_page()
    sign_in(opened, furnished)
    expect(opened.get_by_text("Newest complete backup")).to_be_visible()
    expect(opened.get_by_text(re.compile("^pgproof restore")).first).to_be_visible()
    expect(opened.get_by_role("button", name=re.compile("Copy"))).to_have_count(0)
    context.close()


def test_no_other_page_may_frame_it(page: Page, furnished: Service) -> None:
    sign_in(page, furnished)
    framed = page.context.new_page()
    framed.set_content(f'<iframe src="{furnished.url}/"></iframe>')
    framed.wait_for_timeout(500)
    content = framed.frames[-1].content()
    assert "Newest complete backup" not in content
    assert "Token" not in content
