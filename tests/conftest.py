"""Only the list of fixture plugins; each owns its fixtures."""

from __future__ import annotations

pytest_plugins = [
    "tests.fixtures.logs",
    "tests.fixtures.postgres",
    "tests.fixtures.pgbouncer",  # after what it imports
    "tests.fixtures.s3",
]
