"""`pgproof show`: show one backup in full."""

from __future__ import annotations

import click

from backup.cli.options import Invocation, command
from backup.cli.output import Fields, Table
from backup.cli.targets import find_backup
from backup.domain.manifest import Manifest
from backup.domain.sizes import show_seconds, show_size


@command("show")
@click.argument("backup", metavar="BACKUP")
def show(invocation: Invocation, *, backup: str) -> None:
    """Show one backup in full.

    BACKUP is an id, `latest`, or a time: the newest backup at or before it.
    """
    found, _store = find_backup(invocation, backup)
    invocation.emit(found, [_fields(found), _parts(found)])


def _fields(backup: Manifest) -> Fields:
    return Fields(
        values={
            "backup": backup.id,
            "target": backup.target,
            "status": backup.standing,
            "database": f"{backup.database.name}, {show_size(backup.database.bytes)} on the server",
            "server": f"PostgreSQL {backup.database.server_version}" + (", a standby" * backup.database.standby),
            "snapshot": backup.snapshot.time,
            "wal position": backup.snapshot.lsn or None,
            "dumped by": f"{backup.tool.name} {backup.tool.version}, pgproof {backup.pgproof}",
            "dumped": show_size(backup.raw_bytes),
            "stored": show_size(backup.stored_bytes),
            "took": ", ".join(
                [show_seconds(backup.duration), *(f"{name} {show_seconds(s)}" for name, s in backup.seconds.items())]
            ),
            "filtered": "yes, a setting left parts of the database out" if backup.filtered else None,
            "labels": backup.labels or None,
            "warnings": "; ".join(backup.warnings) or None,
        }
    )


def _parts(backup: Manifest) -> Table:
    rows = [
        (volume.name, part.role, show_size(volume.bytes), volume.sha256)
        for part in backup.parts
        for volume in part.volumes
    ]
    return Table(columns=("object", "role", "stored", "sha256"), rows=rows, right={"stored"})
