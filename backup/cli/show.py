"""`pgproof show`: show one backup in full."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from backup.bootstrap import make_keys
from backup.cli.drift import described, drift_view
from backup.cli.options import Invocation, command, option
from backup.cli.output import Fields, Table, jsonable
from backup.cli.targets import find_backup
from backup.domain.comparison import differences
from backup.domain.drill import Drill
from backup.domain.manifest import Manifest, Part, Role
from backup.domain.proof import Proof, Totals
from backup.domain.sizes import show_seconds, show_size
from backup.domain.stages import STAGES
from backup.errors import NotFound
from backup.ports import Store
from backup.workflow.catalog import Catalog


@command("show")
@click.argument("backup", metavar="BACKUP")
@option(
    "--against",
    metavar="BACKUP",
    envvar="PGPROOF_SHOW_AGAINST",
    help="Show instead what is different from this one: rows, tables, schema.",
)
def show(invocation: Invocation, *, backup: str, against: str | None) -> None:
    """Show one backup in full.

    BACKUP is an id, `latest`, `latest-proven`, or a time: the newest backup at or before it.
    """
    found, store = find_backup(invocation, backup)
    if against:
        _show_against(invocation, found, store, against)
        return
    drills = Catalog(store).drills(found.target, found.id)
    views: list[str | Table | Fields] = [_fields(found), _parts(found), *_stages(found)]
    if drills:
        views.append(_drills(drills))
    invocation.emit({**jsonable(found), "drills": drills}, views)


def _show_against(invocation: Invocation, found: Manifest, store: Store, against: str) -> None:
    """What is different in `found` from an older backup."""
    older, older_store = find_backup(invocation, against)
    keys = make_keys(invocation.settings)
    before, after = _proof(older, Catalog(older_store, keys)), _proof(found, Catalog(store, keys))
    drift = tuple(differences(before.facts, after.facts, unproven={**before.unproven, **after.unproven}))
    result = {"backup": found.id, "against": older.id, "differences": [described(each) for each in drift]}
    invocation.emit(result, drift_view(drift, f"{found.id} against {older.id}"))


def _proof(backup: Manifest, catalog: Catalog) -> Proof:
    proof = catalog.proof_of(backup)
    if proof is None:
        raise NotFound(f"the backup {backup.id} has no proof", hint="make backups with PGPROOF_PROOF=full or rows")
    return proof


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
            "proof": _told_proof(backup.proof),
            "dumped by": f"{backup.tool.name} {backup.tool.version}, pgproof {backup.pgproof}",
            "dumped": show_size(backup.raw_bytes),
            "stored": show_size(backup.stored_bytes),
            "took": ", ".join(
                [show_seconds(backup.duration), *(f"{name} {show_seconds(s)}" for name, s in backup.seconds.items())]
            ),
            "encrypted to": ", ".join(backup.recipients) or None,
            "filtered": "yes, a setting left parts of the database out" if backup.filtered else None,
            "labels": backup.labels or None,
            "warnings": "; ".join(backup.warnings) or None,
        }
    )


def _told_proof(totals: Totals | None) -> str:
    if totals is None:
        return "none"
    unproven = f", {totals.unproven} tables not wholly" if totals.unproven else ""
    what = "every value" if totals.mode == "full" else "the number of rows"
    return f"{what} of {totals.tables} table{'s' * (totals.tables != 1)}, {totals.rows:,} rows{unproven}"


def _drills(drills: Sequence[Drill]) -> Table:
    rows = [
        (each.time, each.verdict, each.restore_seconds and show_seconds(each.restore_seconds), each.text)
        for each in drills
    ]
    return Table(columns=("drill", "verdict", "restores in", "because"), rows=rows)


def _stages(backup: Manifest) -> Iterator[Table]:
    """Where the time of each stream went; those of a role of which there may be thousands are added up."""
    groups: dict[str, list[Part]] = {}
    for part in backup.parts:
        groups.setdefault(part.role if part.role is Role.DATA else part.name, []).append(part)
    stages = [name for name in STAGES if any(name in part.seconds for part in backup.parts)]
    if not stages:
        return
    rows = []
    for name, parts in groups.items():
        seconds = [sum(part.seconds.get(stage, 0.0) for part in parts) for stage in stages]
        sizes = (show_size(sum(part.raw_bytes for part in parts)), show_size(sum(part.stored_bytes for part in parts)))
        rows.append((name, *sizes, *(show_seconds(each) if each else "" for each in seconds)))
    columns = ("seconds of", "dumped", "stored", *stages)
    yield Table(columns=columns, rows=rows, right=frozenset(columns[1:]))


def _parts(backup: Manifest) -> Table:
    rows = [
        (volume.name, part.role, show_size(volume.bytes), volume.sha256)
        for part in backup.parts
        for volume in part.volumes
    ]
    return Table(columns=("object", "role", "stored", "sha256"), rows=rows, right={"stored"})
