"""Encryption by age: to recipients whose public keys are known, opened with an identity that nobody needs to write.

Owns the keys and what is said of a wrong one; the only importer of pyrage. The format is age's own, so the stock `age`
command reads what is written here and the other way round. Source: https://age-encryption.org/v1
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

import pyrage

from backup.errors import DAMAGED, ConfigurationError, IntegrityFailed
from backup.stream.pump import Writer, pumped
from backup.stream.readers import ByteReader

_ARMOR = "-----BEGIN AGE ENCRYPTED FILE-----"
_PREFIX = "AGE-SECRET-KEY-1"
_CHANGED = "the manifest names other keys than the content was encrypted to: one of them was changed since"
_NO_IDENTITY = "set PGPROOF_IDENTITY_FILE to the file that `pgproof key new` made, or restore where it is"


def check_recipient(text: str) -> str:
    """A public key, in small letters as its identity tells it. Raises ValueError where it is none."""
    try:
        return str(pyrage.x25519.Recipient.from_str(text))
    except pyrage.RecipientError as error:
        if text.upper().startswith("AGE-SECRET-KEY"):
            raise ValueError(
                "this is a secret key; the public one begins with age1, pgproof key show tells it"
            ) from None
        raise ValueError(f"{text!r} is no public key of age, which is age1 and 58 letters and digits") from error


def encrypted(source: ByteReader, recipients: Sequence[str]) -> AbstractContextManager[ByteReader]:
    """`source`, for these public keys; the context lets go of a thread.

    Each of their identities opens it, and nothing else does.
    """
    keys = [pyrage.x25519.Recipient.from_str(each) for each in recipients]

    def pump(reader: ByteReader, writer: Writer) -> None:
        pyrage.encrypt_io(reader, writer, keys)

    return pumped(source, pump)


@dataclass(frozen=True, slots=True)
class Identity:
    """A secret key, and the public one that belongs to it."""

    secret: str = field(repr=False)
    public: str

    @classmethod
    def new(cls) -> Identity:
        """One that nobody had before."""
        made = pyrage.x25519.Identity.generate()
        return cls(secret=str(made), public=str(made.to_public()))


@dataclass(frozen=True, slots=True)
class Keyring:
    """The identities that backups are opened with; there may be none."""

    identities: tuple[Identity, ...] = ()

    @classmethod
    def parse(cls, text: str, *, passphrase: str | None = None) -> Keyring:
        """The identities in a file as `age-keygen` and `pgproof key new` write it: one a line, comments begin with #.

        Args:
            text: the file; with a passphrase it is armored, as `age --armor --passphrase` writes it.
            passphrase: that opens it.

        Raises:
            ConfigurationError: there is none in it, a line is none, or the passphrase is missing or wrong.
        """
        if text.lstrip().startswith(_ARMOR):
            text = _opened(text, passphrase)
        lines = [line.strip() for line in text.splitlines()]
        found = tuple(_identity(line, number) for number, line in enumerate(lines, start=1) if _is_key(line))
        if not found:
            raise ConfigurationError(
                "there is no identity in PGPROOF_IDENTITY", hint="a line of it is AGE-SECRET-KEY-1…"
            )
        return cls(found)

    def require(self, recipients: Sequence[str], *, what: str) -> None:
        """See to it that one of them opens what was encrypted to `recipients`, before anything of it is read.

        Raises:
            ConfigurationError: none does.
        """
        if not recipients:
            return
        if not self.identities:
            raise ConfigurationError(f"{what} is encrypted, and there is no identity to open it", hint=_NO_IDENTITY)
        if not any(each.public in recipients for each in self.identities):
            ours = ", ".join(each.public for each in self.identities)
            raise ConfigurationError(
                f"{what} cannot be opened with this identity: it is encrypted to {', '.join(recipients)}",
                detail=f"the public key of the identity is {ours}",
                hint="take the identity that was in use then, see docs/rotation.md; if the manifest was changed, age"
                " itself may still open it: docs/restore-by-hand.md",
            )

    @contextmanager
    def decrypted(self, source: ByteReader, *, name: str) -> Iterator[ByteReader]:
        """What was encrypted in `source`; each 64 KiB of it are authentic before they are handed out.

        The reader raises IntegrityFailed where it was changed or cut, ConfigurationError where no identity opens it.
        """
        keys = [pyrage.x25519.Identity.from_str(each.secret) for each in self.identities]

        def pump(reader: ByteReader, writer: Writer) -> None:
            try:
                pyrage.decrypt_io(reader, writer, keys)
            except pyrage.DecryptError as error:
                if "No matching keys" in str(error):
                    raise ConfigurationError(
                        f"{name} is encrypted to other keys than these identities have",
                        hint=_CHANGED if keys else _NO_IDENTITY,
                    ) from error
                raise _damaged(name, error) from error
            except OSError as error:
                raise _damaged(name, error) from error

        with pumped(source, pump) as reader:
            yield reader


NO_KEYS = Keyring()


def sealed(identity: Identity, passphrase: str) -> str:
    """The lines of an identity file that only a passphrase opens; takes a second and half a gigabyte of memory."""
    made: bytes = pyrage.passphrase.encrypt(identity.secret.encode() + b"\n", passphrase, armored=True)
    return made.decode()


def _opened(text: str, passphrase: str | None) -> str:
    if passphrase is None:
        raise ConfigurationError(
            "the identity is kept under a passphrase, and there is none", hint="set PGPROOF_IDENTITY_PASSPHRASE_FILE"
        )
    try:
        opened: bytes = pyrage.passphrase.decrypt(text.encode(), passphrase)
    except pyrage.DecryptError as error:
        raise ConfigurationError("the passphrase does not open the identity", detail=str(error)) from error
    return opened.decode(errors="replace")


def _is_key(line: str) -> bool:
    return bool(line) and not line.startswith("#")


def _identity(line: str, number: int) -> Identity:
    try:
        key = pyrage.x25519.Identity.from_str(line)
    except pyrage.IdentityError as error:
        raise ConfigurationError(
            f"line {number} of PGPROOF_IDENTITY is no identity of age", hint=f"it begins with {_PREFIX}"
        ) from error
    return Identity(secret=line, public=str(key.to_public()))


def _damaged(name: str, error: Exception) -> IntegrityFailed:
    return IntegrityFailed(f"{name} cannot be decrypted, it is not what was written", detail=str(error), hint=DAMAGED)
