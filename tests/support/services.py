"""What to do where a service that a test needs is not on this machine. Owns the rule, knows no service."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def missing(reason: str) -> NoReturn:
    """Skip the test on a laptop, fail it in CI."""
    if os.environ.get("CI"):
        pytest.fail(f"{reason} (CI is set, so nothing may be missing)", pytrace=False)
    pytest.skip(reason)


def program(name: str) -> str:
    """The path of a program of this machine."""
    found = shutil.which(name)
    if found is None:
        missing(f"there is no {name}")
    return found
