from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup.domain.access import SHORTEST, USUAL, Scope, digest_of, find_token, parse_tokens, secrets_of

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
