"""What is made of settings."""

from __future__ import annotations

import pytest

from backup.bootstrap import make_restorer, make_source
from backup.settings import load


def test_a_pooler_of_neon_is_told_and_the_checks_still_see_it(capfd: pytest.CaptureFixture[str]) -> None:
    settings = load({}, {"PGPROOF_DATABASE_URL": "postgresql://me@ep-cool-1-pooler.neon.invalid/shop"})
    for make in (make_source, make_restorer):
        address = make(settings).address
        assert address.keywords["host"] == "ep-cool-1-pooler.neon.invalid"
        assert address.direct().keywords["host"] == "ep-cool-1.neon.invalid"
        assert "host=ep-cool-1.neon.invalid" in capfd.readouterr().err
