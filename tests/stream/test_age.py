"""Encryption by age: with the stock command, in both directions, and every mistake told for what it is."""

from __future__ import annotations

import os
import pty
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup.errors import ConfigurationError, IntegrityFailed
from backup.stream.age import Identity, Keyring, check_recipient, encrypted, sealed
from backup.stream.readers import ByteReader, BytesReader, read_exactly
from tests.support.services import program
from tests.support.streams import DumpBroke, Stream

OURS, OTHER = Identity.new(), Identity.new()
CONTENT = bytes(range(256)) * 1000


def all_of(reader: ByteReader, size: int = 1 << 20) -> bytes:
    return b"".join(iter(lambda: reader.read(size), b""))


def locked(data: bytes, *identities: Identity) -> bytes:
    with encrypted(BytesReader(data), [each.public for each in identities]) as reader:
        return all_of(reader)


def opened(data: bytes, *identities: Identity) -> bytes:
    with Keyring(identities).decrypted(BytesReader(data), name="dump") as reader:
        return all_of(reader)


def age(*arguments: str, data: bytes) -> bytes:
    return subprocess.run([program("age"), *arguments], input=data, capture_output=True, check=True).stdout


@pytest.fixture
def identity_file(tmp_path: Path) -> Path:
    path = tmp_path / "identity.txt"
    path.write_text(f"# mine\n{OURS.secret}\n")
    return path


@given(st.binary(max_size=200_000), st.integers(min_value=1, max_value=300_000))
def test_what_was_encrypted_is_opened_whatever_the_size_of_a_read(data: bytes, size: int) -> None:
    with encrypted(BytesReader(data), [OURS.public]) as reader:
        stored = all_of(reader, size)
    with Keyring((OTHER, OURS)).decrypted(BytesReader(stored), name="dump") as reader:
        assert all_of(reader, size) == data


def test_the_stock_command_opens_what_we_wrote_with_the_identity_of_each_recipient(tmp_path: Path) -> None:
    stored = locked(CONTENT, OURS, OTHER)
    for number, identity in enumerate((OURS, OTHER)):
        path = tmp_path / str(number)
        path.write_text(identity.secret)
        assert age("--decrypt", "--identity", str(path), data=stored) == CONTENT


@pytest.mark.parametrize("armor", [(), ("--armor",)], ids=["plain", "armored"])
def test_we_open_what_the_stock_command_wrote(armor: Sequence[str]) -> None:
    assert opened(age("--encrypt", *armor, "--recipient", OURS.public, data=CONTENT), OURS) == CONTENT


def test_a_file_of_age_keygen_is_an_identity_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "key.txt"
    subprocess.run([program("age-keygen"), "-o", str(path)], check=True, capture_output=True)
    (identity,) = Keyring.parse(path.read_text()).identities
    assert f"# public key: {identity.public}" in path.read_text()
    assert opened(age("--encrypt", "--recipient", identity.public, data=b"x"), identity) == b"x"


def test_an_identity_under_a_passphrase_is_opened_by_us_and_by_the_stock_command(tmp_path: Path) -> None:
    kept = sealed(OURS, "a horse")
    assert OURS.secret not in kept
    assert Keyring.parse(kept, passphrase="a horse").identities == (OURS,)
    with pytest.raises(ConfigurationError, match="the passphrase does not open"):
        Keyring.parse(kept, passphrase="a cow")
    with pytest.raises(ConfigurationError, match="kept under a passphrase, and there is none"):
        Keyring.parse(kept)
    (tmp_path / "identity.age").write_text(kept)
    (tmp_path / "dump.age").write_bytes(locked(CONTENT, OURS))
    assert age_at_a_terminal(tmp_path, "a horse") == CONTENT


def age_at_a_terminal(folder: Path, passphrase: str) -> bytes:
    """`age --decrypt` with the identity in a folder, which asks for its passphrase at a terminal."""
    command = program("age")
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        os.execv(command, [command, "--decrypt", "--identity", "identity.age", "--output", "dump", "dump.age"])  # noqa: S606 -- a list, no shell
    asked = b""
    while b"passphrase" not in asked:
        asked += os.read(terminal, 1000)
    os.write(terminal, passphrase.encode() + b"\n")
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0, asked
    return (folder / "dump").read_bytes()


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data[: 1 << 16],
        lambda data: data[:100],
        lambda data: data[:0],
        lambda data: data + b"x",
        lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:],
        lambda data: data[:5000] + bytes([data[5000] ^ 1]) + data[5001:],
    ],
    ids=["a byte short", "half", "in its head", "empty", "a byte more", "changed at its end", "changed"],
)
def test_every_damage_is_found(damage: object) -> None:
    assert callable(damage)
    with pytest.raises(IntegrityFailed, match="dump cannot be decrypted"):
        opened(damage(locked(CONTENT, OURS)), OURS)


def test_nothing_of_a_changed_piece_is_handed_out() -> None:
    stored = bytearray(locked(CONTENT, OURS))
    stored[150_000] ^= 1  # in the third piece of 64 KiB
    got = b""

    def read_all(reader: ByteReader) -> None:
        nonlocal got
        while piece := reader.read(1 << 20):
            got += piece

    with Keyring((OURS,)).decrypted(BytesReader(bytes(stored)), name="dump") as reader, pytest.raises(IntegrityFailed):
        read_all(reader)
    assert got == CONTENT[: len(got)]
    assert len(got) <= 2 << 16


def test_a_wrong_identity_is_no_damage() -> None:
    with pytest.raises(ConfigurationError, match="dump is encrypted to other keys"):
        opened(locked(CONTENT, OURS), OTHER)


def test_a_wrong_identity_is_known_from_the_recipients_alone() -> None:
    Keyring((OTHER, OURS)).require([OURS.public], what="it")
    Keyring().require([], what="it")
    with pytest.raises(ConfigurationError, match="it is encrypted, and there is no identity"):
        Keyring().require([OURS.public], what="it")
    with pytest.raises(ConfigurationError, match=f"encrypted to {OURS.public}") as raised:
        Keyring((OTHER,)).require([OURS.public], what="it")
    assert OTHER.public in str(raised.value.detail)
    assert OTHER.secret not in f"{raised.value.message}{raised.value.detail}{raised.value.hint}{Keyring((OTHER,))!r}"


def test_what_the_source_raises_comes_out_as_it_is_and_no_thread_stays() -> None:
    before = threading.active_count()
    with encrypted(Stream(3_000_000, failure=DumpBroke("it broke")), [OURS.public]) as reader, pytest.raises(DumpBroke):
        all_of(reader)
    assert threading.active_count() == before


def test_after_a_failure_every_read_fails_in_the_same_way() -> None:
    with encrypted(Stream(3_000_000, failure=DumpBroke("it broke")), [OURS.public]) as reader:
        for _ in range(3):
            with pytest.raises(DumpBroke):
                all_of(reader)
    with Keyring((OURS,)).decrypted(BytesReader(locked(CONTENT, OURS)[:-1]), name="dump") as reader:
        for _ in range(3):
            with pytest.raises(IntegrityFailed):
                all_of(reader)


def test_a_recipient_in_capitals_is_the_same() -> None:
    assert check_recipient(OURS.public.upper()) == OURS.public


@pytest.mark.parametrize("read", [0, 1, 100_000])
def test_whoever_leaves_early_leaves_no_thread(read: int) -> None:
    before = threading.active_count()
    with encrypted(BytesReader(b"x" * 30_000_000), [OURS.public]) as reader:
        assert len(read_exactly(reader, read)) == read
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("age1nothing", "is no public key of age"),
        (OURS.public[:-1] + "b", "is no public key of age"),
        (OURS.secret, "this is a secret key"),
        ("", "is no public key of age"),
    ],
    ids=["no key", "a wrong letter", "a secret", "nothing"],
)
def test_what_is_no_recipient_is_told_and_a_secret_is_not_repeated(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as raised:
        check_recipient(text)
    assert OURS.secret not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "there is no identity"),
        ("# nothing\n", "there is no identity"),
        (f"\n{OURS.public}", "line 2 .* is no iden"),
    ],
    ids=["nothing", "a comment", "a public key"],
)
def test_what_holds_no_identity_is_told(text: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        Keyring.parse(text)
