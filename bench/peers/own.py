"""pgproof itself, in the settings that are measured. One line a setting."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.peers.ground import Database, Ground, Peer
from bench.peers.running import Command, Pipe, answer

FIRST = "pgproof"
"""The key of the setting that others are compared with."""
FOUR_LANES = "pgproof-4"
"""The key of the one whose memory is told besides."""

_NOTHING_FOUND = 9
_ALWAYS = ("--no-prune", "--no-fallback")
_ANALYZE = "PGPROOF_RESTORE_ANALYZE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Options of `pgproof backup`, and of `pgproof restore` where a restore of it is measured."""

    key: str
    name: str
    backup: tuple[str, ...]
    restore: tuple[str, ...] | None = None


SETTINGS = (
    Setting(key=FIRST, name="pgproof", backup=("--proof", "off"), restore=("--no-proof",)),
    Setting(
        key="pgproof-1",
        name="pgproof, one lane",
        backup=("--proof", "off", "--jobs", "1"),
        restore=("--no-proof",),
    ),
    Setting(key=FOUR_LANES, name="pgproof, four lanes", backup=("--proof", "off", "--jobs", "4")),
    Setting(key="pgproof-3", name="pgproof, zstd 3", backup=("--proof", "off", "--zstd-level", "3")),
    Setting(key="pgproof-0", name="pgproof, uncompressed", backup=("--proof", "off", "--compression", "none")),
    Setting(
        key="pgproof-0-1",
        name="pgproof, uncompressed, one lane",
        backup=("--proof", "off", "--compression", "none", "--jobs", "1"),
    ),
    Setting(key="pgproof-proof", name="pgproof, proof of all values", backup=()),
)


def program() -> str:
    """The command of this environment."""
    return str(Path(sys.executable).with_name("pgproof"))


def own_peers() -> list[Peer]:
    """One for each setting."""
    return [
        Peer(
            key=each.key,
            name=each.name,
            how=_how(each),
            backup=partial(_backup, each),
            restore=partial(_restore, each) if each.restore is not None else None,
            makes_database=True,
            listed=_listed,
        )
        for each in SETTINGS
    ]


def _how(setting: Setting) -> str:
    said = f"`pgproof {' '.join(('backup', *_ALWAYS, *setting.backup))}`"
    if setting.restore is None:
        return said
    return f"{said}; `pgproof {' '.join(('restore', 'latest', *setting.restore))}` with `{_ANALYZE}=off`"


def command(ground: Ground, *argv: str) -> Command:
    """pgproof with the settings of the bucket and the database."""
    env = {
        "PGPROOF_DATABASE_URL": ground.database.url,
        "PGPROOF_STORE": f"s3://{ground.bucket}",
        "PGPROOF_S3_ENDPOINT": ground.s3.endpoint,
        "PGPROOF_S3_REGION": "us-east-1",
        "PGPROOF_S3_ACCESS_KEY": ground.s3.access_key,
        "PGPROOF_S3_SECRET_KEY": ground.s3.secret_key.get_secret_value(),
        "PGPROOF_PG_BIN": str(ground.database.bin_dir),
        "PGPROOF_LOG_FORMAT": "json",
        _ANALYZE: "off",  # the others gather no statistics either
    }
    return ground.command(program(), *argv, env=env)


def _backup(setting: Setting, ground: Ground) -> Pipe:
    return (command(ground, "backup", *_ALWAYS, *setting.backup),)


def _restore(setting: Setting, ground: Ground, into: Database) -> Pipe:
    return (command(ground, "restore", "latest", "--into", into.name, *(setting.restore or ())),)


def _listed(ground: Ground) -> list[str]:
    said = answer(command(ground, "list", "--all", "--json"), cwd=ground.scratch, nothing=_NOTHING_FOUND)
    return [str(each["id"]) for each in json.loads(said)["backups"]] if said else []
