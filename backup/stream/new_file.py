"""A file that is there as a whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from backup.errors import UsageError

_OWNER_ONLY = 0o600


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Write a file under a passing name beside `path`, and at the end of the context let it take that name.

    It can be read by its owner alone, and is on the disk when the name is. Where the context raises, what stood under
    the name is as it was, and nothing else is left.

    Raises:
        UsageError: what stands under the name is no file, such as /dev/null, and must not be replaced by one.
    """
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is no file", hint="name a file, or leave it out for standard output")
    partial = path.with_name(f".{secrets.token_hex(8)}.partial")
    opened = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
    try:
        with os.fdopen(opened, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
