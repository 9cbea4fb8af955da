"""`pgproof key`: make the keys that backups are encrypted with."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from backup.bootstrap import make_keys, now
from backup.cli.options import Invocation, command, option
from backup.errors import ConfigurationError, UsageError
from backup.stream.age import Identity, sealed


@command("key")
@click.argument("action", metavar="new|show", type=click.Choice(["new", "show"]))
@click.argument("file", metavar="[FILE]", required=False, type=click.Path(path_type=Path, dir_okay=False))
@option(
    "--passphrase",
    "with_passphrase",
    is_flag=True,
    envvar="PGPROOF_KEY_WITH_PASSPHRASE",
    help="Keep the new identity under a passphrase: PGPROOF_IDENTITY_PASSPHRASE, else it is asked for.",
)
def key(invocation: Invocation, *, action: str, file: Path | None, with_passphrase: bool) -> None:
    """Make a pair of keys, or show the public ones.

    `key new FILE` writes a new identity, the secret key, into FILE, which nobody else can read, and prints the public
    key: PGPROOF_ENCRYPT_TO takes it, and is all that the job needs. Keep FILE away from the job, and where you find it
    in the night in which you need it: without it no backup can be read. `key show` prints the public keys of the
    identities in PGPROOF_IDENTITY.

    The files are those of age-keygen.
    """
    if action == "show":
        if file or with_passphrase:
            raise UsageError("key show takes nothing", hint="the identity comes from PGPROOF_IDENTITY_FILE")
        _show(invocation)
        return
    if file is None or str(file) in {"", ".", "-"}:
        raise UsageError("key new needs a file to write the identity into", hint="pgproof key new identity.txt")
    identity = Identity.new()
    _write(file, identity, _passphrase(invocation) if with_passphrase else None)
    invocation.emit({"public": identity.public, "file": str(file)}, identity.public)


def _show(invocation: Invocation) -> None:
    identities = make_keys(invocation.settings).identities
    if not identities:
        raise ConfigurationError(
            "there is no identity", hint="set PGPROOF_IDENTITY_FILE to the file that `pgproof key new` made"
        )
    public = [each.public for each in identities]
    invocation.emit({"public": public}, "\n".join(public))


def _passphrase(invocation: Invocation) -> str:
    said = invocation.settings.encryption.identity_passphrase
    if said:
        return said.get_secret_value()
    if not sys.stdin.isatty():
        raise UsageError("there is nobody to ask for the passphrase", hint="set PGPROOF_IDENTITY_PASSPHRASE_FILE")
    return str(click.prompt("Passphrase", hide_input=True, confirmation_prompt=True, err=True))


def _write(file: Path, identity: Identity, passphrase: str | None) -> None:
    """Write it for ourselves alone; a file that is there is not overwritten."""
    comments = f"# created: {now():%Y-%m-%dT%H:%M:%SZ}\n# public key: {identity.public}\n"
    content = f"{comments}{identity.secret}\n" if passphrase is None else sealed(identity, passphrase)
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as opened:
            opened.write(content)
    except FileExistsError as error:
        raise UsageError(
            f"{file} is there already", hint="what it opens could not be opened any more: choose another name"
        ) from error
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be written", detail=str(error)) from error
