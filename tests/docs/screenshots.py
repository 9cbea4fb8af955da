"""Makes the pictures of the status page that the docs show: `python -m tests.docs.screenshots docs/images`."""

from __future__ import annotations

import os
import random
import sys
import tempfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from playwright.sync_api import ViewportSize

from backup.domain.drill import Drill, key_of
from backup.domain.manifest import Status
from backup.domain.proof import Totals
from backup.stores.directory import DirectoryStore
from backup.stream.readers import BytesReader
from tests.support.browser import DESKTOP, PHONE, browser
from tests.support.command import Command
from tests.support.manifests import a_manifest, stored
from tests.support.serving import USUAL, serving

HOUR = timedelta(hours=1)
VIEWS: tuple[tuple[str, ViewportSize, Literal["light", "dark"]], ...] = (
    ("light", DESKTOP, "light"),
    ("dark", DESKTOP, "dark"),
    ("phone", PHONE, "light"),
)


def fill(folder: Path) -> None:
    """A store with a month of nightly backups, two nights missing, and a drill each week."""
    store, now, dice = DirectoryStore(folder), datetime.now(UTC).replace(minute=2), random.Random(7)  # noqa: S311
    for day in range(30, -1, -1):
        if day in {12, 13}:
            continue
        made = a_manifest(now - timedelta(days=day) - 3 * HOUR)
        size = int((9 + (30 - day) * 0.12 + dice.random()) * (1 << 30))
        volume = replace(made.parts[0].volumes[0], bytes=size)
        rows = Totals(
            mode="full",
            tables=42,
            rows=18_400_000 - day * 31_000,
            fingerprinted=42,
            counted=0,
            unproven=0,
            seconds=31.0,
        )
        backup = replace(
            made,
            database=replace(made.database, name="shop", server_version="18.1"),
            parts=(replace(made.parts[0], volumes=(volume,), raw_bytes=size * 4),),
            finished=made.started + timedelta(seconds=190 + (30 - day) * 2 + dice.randrange(25)),
            proof=rows,
            status=Status.SUSPECT if day == 5 else Status.COMPLETE,
        )
        stored(store, backup)
        os.truncate(folder / "shop" / backup.id / "dump.pgc.000", size)  # a file full of nothing, as large as is said
        if day % 7 == 1:
            result = Drill(
                backup=backup.id,
                target="shop",
                time=backup.finished + HOUR,
                verdict="proven",
                text=f"is what its snapshot held: every value of 42 tables, {rows.rows:,} rows",
                seconds={"load": 300.0},
                restore_seconds=402.0 - day,
                pgproof="0.1.0",
            )
            store.put(key_of(result), BytesReader(result.to_json()))
    stored(store, a_manifest(now - 5 * HOUR, target="crm"))


def main() -> None:
    with tempfile.TemporaryDirectory() as home, browser() as chromium:
        folder = Path(home) / "backups"
        folder.mkdir()
        fill(folder)
        rules = {"PGPROOF_RETENTION": "keep-within=24h,daily=26,min-proven=2"}
        with serving(Command(home=Path(home), environ={"PGPROOF_STORE": str(folder), **rules})) as service:
            for name, size, scheme in VIEWS:
                page = chromium.new_page(viewport=size, color_scheme=scheme)
                page.goto(f"{service.url}/sign-in")
                page.get_by_label("Token").fill(USUAL)
                page.get_by_role("button", name="Sign in").click()
                page.wait_for_url(f"{service.url}/")
                page.goto(f"{service.url}/?target=shop")
                page.screenshot(path=Path(sys.argv[1]) / f"status-{name}.png", full_page="full" in sys.argv)
                page.close()


if __name__ == "__main__":
    main()
