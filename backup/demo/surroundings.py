"""What the demo is kept apart from: the user's own databases and buckets.

Owns the names of the variables that could lead elsewhere. Must not set any.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

_LEADS_ELSEWHERE = re.compile(r"PG.*|AWS_.*|DATABASE_URL|.*_proxy", re.IGNORECASE)
"""libpq's and ours, S3's, and the proxies that urllib takes even for 127.0.0.1."""


@contextmanager
def kept_apart() -> Iterator[None]:
    """Within it the process has none of the variables that say where databases and buckets are.

    libpq reads them by itself: with PGHOSTADDR set, an address that names our own server leads to another one.
    """
    taken = {name: value for name, value in os.environ.items() if _LEADS_ELSEWHERE.fullmatch(name)}
    for name in taken:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(taken)
