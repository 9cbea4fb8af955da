"""A service over a folder with backups that nobody made, and one over a shop's database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.monitoring.conftest import Shelf, shelf
from tests.rows.conftest import Shop, empty, shop
from tests.support.serving import Service, serving

__all__ = ["empty", "shelf", "shop"]


@pytest.fixture
def service(shelf: Shelf) -> Iterator[Service]:
    """One that needs no database."""
    with serving(shelf.pgproof) as found:
        yield found


@pytest.fixture
def shop_service(shop: Shop) -> Iterator[Service]:
    """One with a shop's database."""
    store = shop.run.home / "store"
    store.mkdir()
    with serving(shop.run, PGPROOF_STORE=str(store)) as found:
        yield found
