"""Keys of objects: which texts are keys, and which are prefixes of keys. Pure.

Keys also come from manifests, which somebody else may have written: nothing here trusts them.
"""

from __future__ import annotations

from backup.errors import UsageError

PARTIAL = ".partial-"
"""Names that begin so are of files in the making: never a key, never listed."""

_LONGEST = 1024
"""Bytes of a key: the limit of S3."""


def check_key(key: str) -> str:
    """`key` itself.

    Raises:
        UsageError: it is empty or too long, or a step of it is empty, `.`, `..` or the name of a file in the making.
    """
    if not all(_is_step(step) for step in key.split("/")) or not _is_text(key):
        raise UsageError(f"{key!r} is not a key of a store")
    return key


def check_prefix(prefix: str) -> str:
    """`prefix` itself, which may end anywhere in a key.

    Raises:
        UsageError: no key begins so.
    """
    *steps, _rest = prefix.split("/")
    if not all(_is_step(step) for step in steps) or not _is_text(prefix):
        raise UsageError(f"{prefix!r} is not the beginning of a key of a store")
    return prefix


def _is_step(step: str) -> bool:
    return step not in {"", ".", ".."} and not step.startswith(PARTIAL)


def _is_text(text: str) -> bool:
    try:
        return len(text.encode()) <= _LONGEST and "\0" not in text
    except UnicodeEncodeError:
        return False
