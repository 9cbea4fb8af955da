"""Why a connection is not made: mistakes in the address are told from servers that do not answer."""

from __future__ import annotations

import pytest

from backup.errors import AccessDenied, ConfigurationError
from backup.postgres.address import Address
from backup.postgres.connection import connect
from tests.fixtures.postgres import Server


@pytest.mark.parametrize(
    "text",
    [
        "service=nosuch",
        "host=127.0.0.1 port=99999",
        "host=127.0.0.1 port=abc",
        "host=127.0.0.1 port=1,2",
        "host=127.0.0.1 sslmode=bogus",
        "host=127.0.0.1 target_session_attrs=any-one",
        "host=127.0.0.1 ssl_min_protocol_version=TLSv9",
        "host=127.0.0.1 sslrootcert=system sslmode=require",
        "hostaddr=no-number",
        "host=127.0.0.1 connect_timeout=soon",
    ],
)
def test_a_mistake_in_the_address_is_3_and_not_worth_a_retry(text: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot use the address") as caught, connect(Address.parse(text)):
        raise AssertionError("it connected")
    assert (caught.value.exit_code, caught.value.retryable) == (3, False)
    assert caught.value.detail
    assert "service file" in (caught.value.hint or "")


def test_a_database_that_takes_no_connections_is_told(pg18: Server) -> None:
    address = Address.parse(pg18.url("template0"))
    with pytest.raises(AccessDenied, match=r"takes no connections: .*/template0") as caught, connect(address):
        raise AssertionError("it connected")
    assert "another database" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", "local socket"),
        ("port=5433", "local socket:5433"),
        ("dbname=shop", "local socket/shop"),
        ("postgresql://me:secret@h:1/shop", "me@h:1/shop"),
        ("postgresql://me@h", "me@h"),
        ("service=mine", "service mine"),
    ],
)
def test_an_address_is_shown_as_far_as_it_says_something(text: str, shown: str) -> None:
    assert str(Address.parse(text)) == shown
