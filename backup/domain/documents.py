"""JSON documents of a store, checked as they are read. Pure.

Owns how a damaged document and one of a newer format are told apart and told.
"""

from __future__ import annotations

import json
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from backup.errors import DAMAGED, IntegrityFailed

T = TypeVar("T")


def read_document(data: bytes, adapter: TypeAdapter[T], *, newest: int, what: str) -> T:
    """The value that a document holds; keys that nobody knows are passed over.

    Args:
        data: UTF-8 JSON, an object with its `format`.
        adapter: of the value.
        newest: the highest format that is understood.
        what: it is, for messages, such as `the manifest shop/20261122T080000Z/manifest.json`.

    Raises:
        IntegrityFailed: it is damaged, or of a newer format.
    """
    try:
        version = json.loads(data)["format"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise IntegrityFailed(f"{what} is damaged", detail=str(error), hint=DAMAGED) from error
    if not isinstance(version, int) or version > newest:
        raise IntegrityFailed(
            f"{what} has format {version}, this pgproof reads up to {newest}", hint="use a newer pgproof"
        )
    try:
        return adapter.validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(step) for step in first["loc"])
        raise IntegrityFailed(f"{what} is damaged", detail=f"{place}: {first['msg']}", hint=DAMAGED) from error
