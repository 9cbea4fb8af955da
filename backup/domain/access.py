"""Who may ask the HTTP service for what: bearer tokens, each with its scopes and perhaps an end. Pure.

Owns how tokens are written and compared. A token is known by its SHA-256 alone, and never shown; people are told its
place in the list.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from backup.domain.ids import last_moment

SHORTEST = 16
"""Characters of a token; less can be guessed over a network in a lifetime. A guess itself."""

_PRINTABLE = re.compile(r"[\x21-\x2b\x2d-\x7e]+")
"""What can stand in a header: ASCII without spaces, and without the comma that separates tokens."""
_SESSION = re.compile(r"(?P<expires>[0-9]{1,12})\.(?P<nonce>[0-9a-f]{16,64})\.(?P<mac>[0-9a-f]{64})")
_SCOPED = re.compile(r"(?P<token>.+?)=(?P<scopes>[a-z][a-z+]*)")
_ENDING = re.compile(r"(?P<rest>.+)@(?P<end>[0-9]{4}-[^@]*)")
_SCOPED_ENDING = re.compile(r"(?P<rest>.+=[a-z][a-z+]*)@(?P<end>[^@]*)")
"""Before a year or behind scopes an @ begins an end; elsewhere in a token it is a character like others."""


class Scope(StrEnum):
    """What a token is good for."""

    READ = "read"
    DATA = "data"
    TRIGGER = "trigger"
    RESTORE = "restore"


USUAL = frozenset({Scope.READ, Scope.DATA, Scope.TRIGGER})
"""Of a token that names none: all but restores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One token.

    Attributes:
        number: its place in the list, from 1.
        end: after which it is good for nothing; None for one that is good until it is withdrawn.
        digest: SHA-256 of its text.
    """

    number: int
    scopes: frozenset[Scope]
    end: datetime | None = None
    digest: bytes = field(repr=False)

    @property
    def name(self) -> str:
        """For people and logs."""
        return f"token {self.number}"

    def has_ended(self, now: datetime) -> bool:
        """Whether its time is over."""
        return self.end is not None and self.end < now


def parse_tokens(text: str) -> tuple[Token, ...]:
    """The tokens that one setting writes: `token[=scope+scope][@end]`, separated by commas, spaces or lines.

    A base64 text may end in `=`; what stands behind one counts as scopes where it is lower case. An end is a time as
    for a backup: without an offset it is UTC, and a date means its whole day.

    Raises:
        ValueError: one of them is none; nothing of its text is shown.
    """
    found: list[Token] = []
    for number, entry in enumerate(_entries(text), start=1):
        secret, scopes, end = _parts(entry)
        if len(secret) < SHORTEST or not _PRINTABLE.fullmatch(secret):
            raise ValueError(
                f"token {number} is too short or has characters that no header takes: {SHORTEST} or more are needed; "
                "openssl rand -hex 32 makes one"
            )
        digest = digest_of(secret)
        if any(each.digest == digest for each in found):
            raise ValueError(f"token {number} is there already")
        found.append(
            Token(
                number=number,
                scopes=USUAL if scopes is None else _scopes(scopes, number),
                end=None if end is None else _end(end, number),
                digest=digest,
            )
        )
    return tuple(found)


def _entries(text: str) -> list[str]:
    return re.split(r"[,\s]+", text.strip(", \t\r\n"))


def _parts(entry: str) -> tuple[str, str | None, str | None]:
    """A token, its scopes and its end, as they are written."""
    ending = _ENDING.fullmatch(entry) or _SCOPED_ENDING.fullmatch(entry)
    rest, end = (ending["rest"], ending["end"]) if ending else (entry, None)
    scoped = _SCOPED.fullmatch(rest)
    return (scoped["token"], scoped["scopes"], end) if scoped else (rest, None, end)


def _scopes(text: str, number: int) -> frozenset[Scope]:
    words = text.split("+")
    strange = [word for word in words if word not in {each.value for each in Scope}]
    if strange:
        known = ", ".join(Scope)
        raise ValueError(f"token {number}: there is no such scope; the scopes are {known}, with + between them")
    return frozenset(Scope(word) for word in words)


def _end(text: str, number: int) -> datetime:
    try:
        return last_moment(text)
    except (ValueError, OverflowError):
        raise ValueError(
            f"token {number}: its end is no time; write @2026-12-31 for the end of that day, or @2026-12-31T18:00Z"
        ) from None


def secrets_of(text: str) -> tuple[str, ...]:
    """The tokens themselves, without their scopes and ends; for masking."""
    return tuple(_parts(each)[0] for each in _entries(text))


def digest_of(secret: str) -> bytes:
    """By what a token is known."""
    return hashlib.sha256(secret.encode()).digest()


def find_token(tokens: tuple[Token, ...], presented: str) -> Token | None:
    """The token that was presented, be its time over or not; in a time that tells nothing of those that are known."""
    digest = digest_of(presented)
    found = None
    for each in tokens:
        if hmac.compare_digest(each.digest, digest):
            found = each
    return found


def make_session(token: Token, *, expires: int, nonce: str) -> str:
    """What a browser keeps in the place of a token, until `expires` (seconds since 1970): signed with the token.

    So it ends with the token itself, is known to every replica, and tells nothing of it.
    """
    return f"{expires}.{nonce}.{_signed(token, f'session {expires} {nonce}')}"


def find_session(tokens: tuple[Token, ...], session: str, *, now: datetime) -> Token | None:
    """The token by which a session was begun; None where the session or the token is over, or it is none of ours."""
    match = _SESSION.fullmatch(session)
    if not match or int(match["expires"]) < now.timestamp():
        return None
    found = None
    for each in tokens:
        if hmac.compare_digest(_signed(each, f"session {match['expires']} {match['nonce']}"), match["mac"]):
            found = each
    return None if found and found.has_ended(now) else found


def form_key(token: Token, session: str) -> str:
    """What the forms of a session's pages hold, and nobody else knows."""
    return _signed(token, f"form {session}")


def is_form_key(token: Token, session: str, presented: str) -> bool:
    """Whether a form came from a page of this session."""
    return hmac.compare_digest(form_key(token, session).encode(), presented.encode("utf-8", "replace"))


def _signed(token: Token, text: str) -> str:
    return hmac.new(token.digest, text.encode(), hashlib.sha256).hexdigest()
