"""The kinds of values that settings have, as they are written in an environment, in YAML and as flags.

Owns how one value is read from text; knows no setting by name.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, SecretStr
from pydantic.functional_validators import AfterValidator

from backup.domain.events import EventType, events_of
from backup.domain.ids import check_target
from backup.domain.rules import OFF, parse_rules
from backup.domain.sizes import parse_size
from backup.errors import UsageError
from backup.stream.age import check_recipient

_UNITS = (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10))
_STORE_URL = re.compile(r"s3://[A-Za-z0-9][A-Za-z0-9._-]{2,62}(/[^?#]*)?|file:///[^?#]*|\.{0,2}/.*|\.{1,2}")
_MEMORY = re.compile(r"\d+\s*(kB|MB|GB|TB)")
_SHORTEST_KEY = 24
"""Bytes; the least that Standard Webhooks allows."""
_ADDRESS = re.compile(r"(?:(?P<words>[A-Za-z.,]+)=)?(?P<address>[A-Za-z][A-Za-z0-9+.-]*://\S+)")
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,62}")


@dataclass(frozen=True, slots=True)
class Env:
    """How a leaf of the model is called in an environment.

    Attributes:
        name: ours, begins with `PGPROOF_`; None where only the file can say it.
        ambient: names of others that are used where neither ours nor the file says anything, in order.
        shown_default: what stands in the reference where the default depends on the machine.
    """

    name: str | None
    ambient: tuple[str, ...] = ()
    shown_default: str | None = None


def exact_size(size: int) -> str:
    """`size` in the largest unit that writes it exactly, as `parse_size` reads it."""
    for unit, factor in _UNITS:
        if size and size % factor == 0:
            return f"{size // factor}{unit}"
    return str(size)


def looks_like_url(text: str) -> bool:
    """Whether `text` means a place (a path or an address), not the name of a store."""
    return "/" in text or text in {".", ".."}


def _size(value: object) -> object:
    return parse_size(value) if isinstance(value, str) else value


def _split(value: object) -> object:
    return tuple(piece.strip() for piece in value.split(",") if piece.strip()) if isinstance(value, str) else value


def _split_each(value: object) -> object:
    """Of a flag that may be given several times, with several names each time; not at commas between double quotes."""
    pieces = [value] if isinstance(value, str) else value
    if not isinstance(pieces, tuple | list) or not all(isinstance(each, str) for each in pieces):
        return value
    return tuple(
        name.strip() for each in pieces for name in re.findall(r'(?:"(?:[^"]|"")*"|[^",])+', each) if name.strip()
    )


def _pairs(value: object) -> object:
    pieces = _split(value)
    if isinstance(pieces, Mapping):
        return {str(name): str(text) for name, text in pieces.items()}
    if not isinstance(pieces, tuple | list):
        return pieces
    pairs: dict[str, str] = {}
    for piece in pieces:
        name, sign, text = str(piece).partition("=")
        if not sign:
            raise ValueError(f"{piece!r} is not name=value")
        pairs[name.strip()] = text.strip()
    return pairs


def _rules(value: object) -> object:
    """The rules of retention; YAML reads a bare `off` as a boolean."""
    if isinstance(value, tuple | list) and len(value) == 1:  # of a flag
        value = value[0]
    if value is False or (isinstance(value, str) and value.strip().lower() == OFF):
        return {OFF: "true"}
    return _pairs(value)


def _check_rules(rules: dict[str, str]) -> dict[str, str]:
    try:
        parse_rules(rules)
    except UsageError as error:
        raise ValueError(f"{error.message}; {error.hint}" if error.hint else error.message) from None
    return rules


def _all(value: object) -> object:
    return None if isinstance(value, str) and value.strip().lower() == "all" else value


def _auto(value: object) -> object:
    return None if isinstance(value, str) and value.strip().lower() == "auto" else value


def _check_labels(labels: dict[str, str]) -> dict[str, str]:
    for name in labels:
        if not _LABEL.fullmatch(name):
            raise ValueError(
                f"{name!r} cannot name a label: use letters, digits, dots, dashes, slashes and underscores"
            )
    return labels


def _word(value: object) -> object:
    """YAML reads a bare `on` or `off` as a boolean."""
    return ("on" if value else "off") if isinstance(value, bool) else value


def _target(name: str) -> str:
    try:
        return check_target(name)
    except UsageError as error:
        raise ValueError(f"{error.message}: {error.hint}") from None


def _store_url(url: str) -> str:
    if not _STORE_URL.fullmatch(url):
        raise ValueError("must be a path that begins with / or ./, file:///path, or s3://bucket/prefix")
    return url


def _http_url(url: str) -> str:
    if not re.fullmatch(r"https?://[^/@\s]+/?", url):
        raise ValueError("must be http://host:port or https://host:port")
    return url.rstrip("/")


def _sts_url(url: str) -> str:
    if not re.fullmatch(r"https?://[^@\s]+", url):
        raise ValueError("must be an http:// or https:// address")
    return url


def _keys(value: object) -> object:
    keys = _split(value)
    if isinstance(value, str) and value and not keys:
        raise ValueError("names no key: leave it out to store backups unencrypted")
    return keys


def _recipients(keys: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(check_recipient(each) for each in dict.fromkeys(keys))


def _webhook_url(secret: SecretStr) -> SecretStr:
    if not re.fullmatch(r"https?://[^/?#\s]+([/?][^#\s]*)?", secret.get_secret_value()):
        raise ValueError("must be an http:// or https:// address")
    return secret


def _webhook_secrets(secret: SecretStr) -> SecretStr:
    for each in webhook_secrets(secret):
        try:
            key = base64.b64decode(each.removeprefix("whsec_"), validate=True)
        except ValueError:
            key = b""
        if len(key) < _SHORTEST_KEY:
            raise ValueError(
                f"must be whsec_ and {_SHORTEST_KEY} bytes or more in base64; openssl rand -base64 32 makes them"
            )
    return secret


def webhook_secrets(secret: SecretStr) -> tuple[str, ...]:
    """The secrets that are written in one setting, separated by commas or spaces."""
    return tuple(re.split(r"[,\s]+", secret.get_secret_value().strip()))


def _events(words: tuple[str, ...]) -> tuple[str, ...]:
    events_of(words)
    return words


def _addresses(secret: SecretStr) -> SecretStr:
    addresses(secret)
    return secret


def addresses(secret: SecretStr) -> tuple[tuple[frozenset[EventType], str], ...]:
    """The addresses that are written in one setting, separated by spaces or lines, each with what it is told.

    As in apprise's own files: `ADDRESS`, which is told of failures, or `WORD,WORD=ADDRESS`; lines that begin with # are
    comments. Raises ValueError for what is none; of an address it shows nothing.
    """
    lines = [line for line in secret.get_secret_value().splitlines() if not line.lstrip().startswith("#")]
    found = []
    for number, entry in enumerate(" ".join(lines).split(), start=1):
        match = _ADDRESS.fullmatch(entry)
        if not match:
            raise ValueError(f"entry {number} is no address, such as mailto://… or failure,drill.proven=discord://…")
        found.append((events_of((match["words"] or "failure").split(",")), match["address"]))
    return tuple(found)


def _textfile(path: Path) -> Path:
    if path.suffix != ".prom":
        raise ValueError("must end in .prom: the node exporter reads no other, and it is replaced as a whole each time")
    return path


def _memory(text: str) -> str:
    if not _MEMORY.fullmatch(text):
        raise ValueError("must be a size as PostgreSQL writes it, such as 256MB")
    return text.replace(" ", "")


def _conninfo(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    if text and not re.match(r"postgres(ql)?://", text) and not re.match(r"\s*[a-z_]+\s*=", text):
        raise ValueError("must begin with postgresql://, or be keywords such as host=… dbname=…")
    return secret


Size = Annotated[int, BeforeValidator(_size)]
"""Bytes, written as `64MiB`."""
Names = Annotated[tuple[str, ...], BeforeValidator(_split)]
"""A list, in an environment separated by commas."""
Patterns = Annotated[tuple[str, ...], BeforeValidator(_split_each)]
"""Names or patterns of tables, wherever written with commas between."""
Recipients = Annotated[tuple[str, ...], BeforeValidator(_keys), AfterValidator(_recipients)]
"""Public keys of age, in an environment separated by commas."""
Labels = Annotated[dict[str, str], BeforeValidator(_pairs), AfterValidator(_check_labels)]
"""A map, in an environment `name=value,name=value`."""
Retention = Annotated[dict[str, str], BeforeValidator(_rules), AfterValidator(_check_rules)]
"""Rules of retention, in an environment `keep-within=24h,daily=14`, or `off`."""
OrAll = BeforeValidator(_all)
"""For a number in whose place `all` may stand."""
OrAuto = BeforeValidator(_auto)
"""A number, in whose place `auto` may stand."""
Word = BeforeValidator(_word)
"""For choices among words of which one is `on` or `off`."""
Target = Annotated[str, AfterValidator(_target)]
StoreUrl = Annotated[str, AfterValidator(_store_url)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
StsUrl = Annotated[str, AfterValidator(_sts_url)]
Events = Annotated[tuple[str, ...], BeforeValidator(_split), AfterValidator(_events)]
"""Kinds of events, in an environment separated by commas."""
Addresses = Annotated[SecretStr, AfterValidator(_addresses)]
"""Of chat and mail; see `addresses`."""
Textfile = Annotated[Path, AfterValidator(_textfile)]
"""A file of the node exporter."""
WebhookUrl = Annotated[SecretStr, AfterValidator(_webhook_url)]
WebhookSecrets = Annotated[SecretStr, AfterValidator(_webhook_secrets)]
"""Several, separated by commas or spaces: each signs, so that one can be changed for another."""
Memory = Annotated[str, AfterValidator(_memory)]
Conninfo = Annotated[SecretStr, AfterValidator(_conninfo)]
"""How libpq is told where a database is; empty where its own `PG*` variables say it all."""
