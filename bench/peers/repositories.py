"""Dumps into repositories that find duplicates: restic in the bucket, borgmatic in a local folder.

Each round has a new repository: a second backup of a database that has not changed would store next to nothing.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from bench.peers.ground import Ground, Peer
from bench.peers.pipes import on_the_shelf
from bench.peers.running import Command, Pipe, answer

_DUMP = "bench.dump"
_FROM_COMMAND = (0, 17)
"""The first version of restic that starts pg_dump itself and learns of its failure."""


def repositories() -> list[Peer]:
    """All of them."""
    return [
        Peer(
            key="restic",
            name="pg_dump, restic",
            how="`pg_dump -Fc -Z0 | restic backup --stdin`, or `--stdin-from-command` where restic has it (0.17); "
            "repository version 2, its own zstd; `restic dump | pg_restore`. It always encrypts",
            needs=("restic",),
            backup=_restic_backup,
            restore=lambda ground, into: (_restic(ground, "dump", "latest", f"/{_DUMP}"), ground.load(into)),
            prepare=lambda ground: _ask(ground, _restic(ground, "init", "--repository-version", "2")),
            listed=_restic_listed,
        ),
        Peer(
            key="borgmatic",
            name="borgmatic, a local folder",
            how="its PostgreSQL hook: custom format, `compression: none`, for borg has `compression: zstd,3`; "
            "borg knows no S3: its repository is a local folder, not encrypted. Its restore is not measured",
            needs=("borgmatic", "borg"),
            backup=lambda ground: (_borgmatic(ground, "create"),),
            prepare=_borg_prepare,
            stored=on_the_shelf,
            listed=_borg_listed,
        ),
    ]


def _ask(ground: Ground, command: Command) -> None:
    answer(command, cwd=ground.scratch)


def _restic(ground: Ground, *argv: str) -> Command:
    env = {
        **ground.keys,
        "RESTIC_REPOSITORY": f"s3:{ground.s3.endpoint}/{ground.bucket}",
        "RESTIC_PASSWORD": "bench",
    }
    return ground.command(ground.programs.path("restic"), *argv, env=env)


def _restic_backup(ground: Ground) -> Pipe:
    dump = ground.dump("-Z0")
    options = ("backup", "--quiet", "--stdin-filename", _DUMP)
    version = re.search(r"(\d+)\.(\d+)", ground.programs.version("restic"))
    if version and (int(version[1]), int(version[2])) >= _FROM_COMMAND:
        restic = _restic(ground, *options, "--stdin-from-command", "--", *dump.argv)
        return (Command(argv=restic.argv, env={**dump.env, **restic.env}),)
    return (dump, _restic(ground, *options, "--stdin"))


def _restic_listed(ground: Ground) -> list[str]:
    snapshots = json.loads(answer(_restic(ground, "snapshots", "--json", "--no-lock"), cwd=ground.scratch))
    return [str(each["short_id"]) for each in snapshots or ()]


def _repository(ground: Ground) -> Path:
    return ground.shelf / "repository"


def _settings(ground: Ground) -> Path:
    return ground.scratch / "borgmatic.yaml"


def _borg_env(ground: Ground) -> dict[str, str]:
    return {
        "BORG_BASE_DIR": str(ground.scratch),
        "BORG_REPO": str(_repository(ground)),
        "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
    }


def _borgmatic(ground: Ground, *argv: str) -> Command:
    """With the settings written anew: a database with another password is another file."""
    database = ground.database
    settings = {
        "repositories": [{"path": str(_repository(ground))}],
        "compression": "zstd,3",
        "local_path": ground.programs.path("borg"),
        "unknown_unencrypted_repo_access_is_ok": True,
        "user_runtime_directory": str(ground.scratch),
        "user_state_directory": str(ground.scratch),
        "borg_base_directory": str(ground.scratch),
        "postgresql_databases": [
            {
                "name": database.name,
                "hostname": database.host,
                "port": database.port,
                "username": database.user,
                "password": database.password,
                "format": "custom",
                "compression": "none",
                "pg_dump_command": database.program("pg_dump"),
                "psql_command": database.program("psql"),
            }
        ],
    }
    file = _settings(ground)
    file.touch(mode=0o600)
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    options = ("--config", str(file), "--no-color")
    return ground.command(ground.programs.path("borgmatic"), *options, *argv, env=_borg_env(ground))


def _borg(ground: Ground, *argv: str) -> Command:
    return ground.command(ground.programs.path("borg"), *argv, env=_borg_env(ground))


def _borg_prepare(ground: Ground) -> None:
    _ask(ground, _borgmatic(ground, "repo-create", "--encryption", "none"))


def _borg_listed(ground: Ground) -> list[str]:
    archives = json.loads(answer(_borg(ground, "list", "--json"), cwd=ground.scratch))["archives"]
    return [str(each["name"]) for each in archives]
