from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup.domain.access import (
    SHORTEST,
    USUAL,
    Scope,
    digest_of,
    find_session,
    find_token,
    make_session,
    parse_tokens,
    secrets_of,
)

SECRET = st.text("abcdefXYZ0123456789+/-_.", min_size=SHORTEST, max_size=60)
SCOPES = st.sets(st.sampled_from(list(Scope)), min_size=1)


@given(SECRET, SCOPES)
def test_what_is_written_is_read(secret: str, scopes: set[Scope]) -> None:
    (bare,) = parse_tokens(secret)
    assert bare.scopes == USUAL
    text = f"{secret}={'+'.join(scopes)}"
    (scoped,) = parse_tokens(text)
    assert (set(scoped.scopes), scoped.digest) == (scopes, digest_of(secret))
    assert secrets_of(text) == (secret,)


def test_a_base64_token_keeps_its_end() -> None:
    first, second = parse_tokens("MDEyMzQ1Njc4OTAxMjM0NQ==,\nMDEyMzQ1Njc4OTAxMjM0Ng===read")
    assert first.digest == digest_of("MDEyMzQ1Njc4OTAxMjM0NQ==")
    assert (second.digest, second.scopes) == (digest_of("MDEyMzQ1Njc4OTAxMjM0Ng=="), frozenset({Scope.READ}))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("short", "token 1 is too short"),
        ("a-long-enough-token,", ""),
        ("a-long-enough-token=reed", "token 1: there is no such scope"),
        ("a-long-enough-token,a-long-enough-token=read", "token 2 is there already"),
        ("a-long-enough-tökén", "token 1 is too short or has characters"),
        ("", "token 1 is too short"),
    ],
)
def test_a_mistake_is_told_by_its_place_and_without_the_token(text: str, reason: str) -> None:
    if not reason:
        assert len(parse_tokens(text)) == 1
        return
    with pytest.raises(ValueError, match=reason) as caught:
        parse_tokens(text)
    assert "long-enough" not in str(caught.value)


def test_a_token_never_prints_itself_and_only_the_whole_of_it_is_found() -> None:
    tokens = parse_tokens("first-token-of-ours,second-token-of-ours=read")
    assert "of-ours" not in repr(tokens)
    assert find_token(tokens, "second-token-of-ours") == tokens[1]
    for other in ("", "second-token-of-our", "second-token-of-ours ", "second-token-of-ours=read"):
        assert find_token(tokens, other) is None


@pytest.mark.parametrize(
    ("entry", "scopes", "end"),
    [
        ("a-long-enough-token@2026-12-31", USUAL, datetime(2026, 12, 31, 23, 59, 59, 999_999, UTC)),
        ("a-long-enough-token=read@2026-12-31T18:00Z", {Scope.READ}, datetime(2026, 12, 31, 18, 0, 59, 999_999, UTC)),
        ("a-long-enough-token@2026-12-31T18:00:00+02:00", USUAL, datetime(2026, 12, 31, 16, tzinfo=UTC)),
    ],
)
def test_a_token_may_have_an_end(entry: str, scopes: set[Scope], end: datetime) -> None:
    (token,) = parse_tokens(entry)
    assert (token.digest, set(token.scopes), token.end) == (digest_of("a-long-enough-token"), set(scopes), end)
    assert secrets_of(entry) == ("a-long-enough-token",)
    assert not token.has_ended(end)
    assert token.has_ended(end + timedelta(microseconds=1))


@pytest.mark.parametrize("end", ["2026-13-01", "2026-", "2026-12-31T", "2026-12-31T25:00"])
def test_an_end_that_is_no_time_is_a_mistake(end: str) -> None:
    with pytest.raises(ValueError, match="token 2: its end is no time") as caught:
        parse_tokens(f"another-token-of-ours,a-long-enough-token@{end}")
    assert "long-enough" not in str(caught.value)


@pytest.mark.parametrize("entry", ["a-long-enough-token=read@tomorrow", "a-long-enough-token=read@"])
def test_what_stands_behind_scopes_is_an_end_or_a_mistake(entry: str) -> None:
    with pytest.raises(ValueError, match="its end is no time"):
        parse_tokens(entry)


@pytest.mark.parametrize("secret", ["p@ssword-of-somebody", "somebody@example.com-0001", "ends-with-an-at-sign-@"])
def test_an_at_sign_elsewhere_belongs_to_the_token(secret: str) -> None:
    (token,) = parse_tokens(secret)
    assert (token.digest, token.end) == (digest_of(secret), None)


def test_a_session_ends_with_its_token() -> None:
    now = datetime(2026, 12, 31, 18, tzinfo=UTC)
    (token,) = parse_tokens("a-long-enough-token@2026-12-31")
    session = make_session(token, expires=int(now.timestamp()) + 12 * 3600, nonce="0" * 32)
    assert find_session((token,), session, now=now) == token
    assert find_session((token,), session, now=now + timedelta(hours=6)) is None
    assert find_session((token,), session, now=now + timedelta(hours=13)) is None
