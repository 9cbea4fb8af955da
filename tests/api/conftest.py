"""A service over a folder with backups that nobody made, and one over a shop's database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.monitoring.conftest import Shelf, shelf
from tests.rows.conftest import Shop, empty, shop
from tests.support.command import Command
from tests.support.serving import Service, serving

__all__ = ["empty", "shelf", "shop"]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One of an empty store without a database, for all tests of a module: to start one takes a second."""
    home = tmp_path_factory.mktemp("service")
    (home / "store").mkdir()
    with serving(Command(home=home, environ={"PGPROOF_STORE": str(home / "store")})) as found:
        yield found


@pytest.fixture
def own_service(shelf: Shelf) -> Iterator[Service]:
    """The same of a test's own, for those after which it is another."""
    with serving(shelf.pgproof) as found:
        yield found


@contextmanager
def serving_shop(shop: Shop) -> Iterator[Service]:
    """One with a shop's database, and an empty store."""
    store = shop.run.home / "store"
    store.mkdir()
    with serving(shop.run, PGPROOF_STORE=str(store)) as found:
        yield found


@pytest.fixture
def shop_service(shop: Shop) -> Iterator[Service]:
    with serving_shop(shop) as found:
        yield found
