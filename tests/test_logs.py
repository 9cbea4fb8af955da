from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from backup import logs
from backup.logs import MASK, hide, log, redact, setup


@pytest.fixture(autouse=True)
def _afresh() -> Iterator[None]:
    yield
    logs.forget()


def test_an_event_is_a_line_of_text(capsys: pytest.CaptureFixture[str]) -> None:
    setup()
    log.info("backup stored", id="20261122T080000Z", note="two words", none=None, lines="a\nb")
    written = capsys.readouterr()
    assert written.out == ""
    assert re.fullmatch(
        r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ info    backup stored id=20261122T080000Z note="two words" lines=a\\nb\n',
        written.err,
    )


def test_an_event_is_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    setup(format="json")
    log.warning("left out", bytes=3, path=Path("/x"), names=("a", "b"), ok=True)
    event = json.loads(capsys.readouterr().err)
    assert event.pop("time").endswith("Z")
    assert event == {
        "event": "left out",
        "level": "warning",
        "bytes": 3,
        "path": "/x",
        "names": ["a", "b"],
        "ok": True,
    }


def test_details_are_told_only_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    setup()
    log.debug("a step")
    logging.getLogger("urllib3").error("a library")
    assert capsys.readouterr().err == ""
    setup(verbose=True)
    log.debug("a step")
    logging.getLogger("urllib3").debug("a step of a library")
    logging.getLogger("urllib3").warning("a %s", "library")
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith("debug   a step")
    assert second.endswith("warning a library library=urllib3")


@pytest.mark.parametrize("look", ["text", "json"])
def test_a_secret_never_passes(capsys: pytest.CaptureFixture[str], look: logs.Format) -> None:
    secret = 'hun\'ter/2 "x" ü'
    setup(format=look, secrets=[secret])
    log.info(
        f"event {secret}",
        text=f"before {secret} after",
        quoted=f"https://host/?q={quote(secret, safe='')}",
        nested={"a": [{"b": secret}]},
        thing=ValueError(secret),
    )
    with pytest.raises(ValueError, match="hun") as caught:
        int(secret)
    log.error("failed", exc_info=caught.value)
    written = capsys.readouterr().err
    assert written.count(MASK) == 6
    assert "ValueError" in written
    assert "hun" not in written


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at postgresql://me:p@s:s@host/db?x=1", f"at postgresql://me:{MASK}@host/db?x=1"),
        ("host=h password=abc dbname=d", f"host=h password={MASK} dbname=d"),
        ("password = 'a b' x", f"password = {MASK} x"),
        ("PGPASSWORD=abc pg_dump", f"PGPASSWORD={MASK} pg_dump"),
        ("x?user=u&password=abc&sslmode=require", f"x?user=u&password={MASK}&sslmode=require"),
        ("PUT /b/k?X-Amz-Signature=abc&y=1", f"PUT /b/k?X-Amz-Signature={MASK}&y=1"),
        ('password authentication failed for user "me"', 'password authentication failed for user "me"'),
        ("postgresql://me@host:5432/db", "postgresql://me@host:5432/db"),
        ("http://host:9000/bucket, mail me@example.org", "http://host:9000/bucket, mail me@example.org"),
    ],
)
def test_what_looks_like_a_password_is_masked(text: str, shown: str) -> None:
    assert redact(text) == shown


def test_the_longest_secret_is_masked_whole() -> None:
    hide(["abc+123/", "abc+123/def", "x", ""])
    assert redact("abc+123/def abc+123/ x") == f"{MASK} {MASK} x"


@pytest.mark.parametrize("word", ["orders", "postgres", "password", "customer_orders", "5432", "x"])
def test_a_secret_that_looks_like_a_word_is_masked_only_where_it_stands_as_a_password(word: str) -> None:
    hide([word])
    hint = f"GRANT SELECT ON TABLE public.{word} TO plain; the {word} of {word}@h:5433"
    assert redact(hint) == hint
    for before, after in [
        ("postgresql://me:", "@h/d"),
        ("me:", "@h"),
        ("password=", " x"),
        ("PGPASSWORD=", ""),
        ("Password: ", "."),
        ("{'password': '", "'}"),
        ("ALTER ROLE me PASSWORD '", "'"),
    ]:
        assert redact(f"{before}{word}{after}").rstrip("'") == f"{before}{MASK}{after}".rstrip("'"), before
    assert redact(f"postgresql://me:{word}@h/{word}") == f"postgresql://me:{MASK}@h/{word}"


@pytest.mark.parametrize(
    "secret", ["wJalrXUtnFEMI/K7MDENG", "Secr3t-of-me", "correct-horse-battery", "kfhqpwzzmvbnatrx"]
)
def test_a_secret_that_looks_like_no_word_is_masked_everywhere(secret: str) -> None:
    hide([secret])
    assert redact(f"a {secret}.x") == f"a {MASK}.x"


def test_it_is_cheap_to_import() -> None:
    script = "import sys, backup.logs; print([m for m in ('structlog', 'rich', 'logging') if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
