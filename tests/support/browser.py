"""A real browser without a window: Debian's Chromium, driven by playwright. Owns how it is started."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from typing import Any

from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from tests.support.services import program

DESKTOP: ViewportSize = {"width": 1200, "height": 900}
PHONE: ViewportSize = {"width": 375, "height": 800}


@contextmanager
def browser() -> Iterator[Browser]:
    """One, as long as the context lasts."""
    chromium = program("chromium")
    # Root may not use its sandbox; these pages are our own.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=chromium, args=arguments)
        try:
            yield started
        finally:
            started.close()


def serious_faults(page: Page) -> list[str]:
    """What axe-core finds on a page that keeps people out: rule and place, of serious and critical faults."""
    script = (resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
    page.evaluate(f"() => {{ {script} }}")  # by the driver: the page's own policy lets in no script
    found: dict[str, Any] = json.loads(page.evaluate("async () => JSON.stringify(await axe.run())"))
    assert found["passes"], "axe-core has looked at nothing"
    return [
        f"{fault['id']}: {', '.join(str(node['target']) for node in fault['nodes'])}"
        for fault in found["violations"]
        if fault["impact"] in {"serious", "critical"}
    ]
