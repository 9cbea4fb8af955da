"""`pgproof diff`: compare a backup with the database as it is now."""

from __future__ import annotations

import click

from backup.bootstrap import make_keys, make_restorer
from backup.cli.drift import described, drift_view
from backup.cli.options import Invocation, command, setting_option
from backup.cli.targets import find_backup
from backup.domain.comparison import Scope, differences
from backup.errors import NotFound, ProofMismatch
from backup.workflow.catalog import Catalog
from backup.workflow.restore import left_out_of


@command("diff")
@click.argument("backup", metavar="BACKUP")
@setting_option("proof.timeout", "--proof-timeout")
def diff(invocation: Invocation, *, backup: str) -> None:
    """Compare what the snapshot of a backup held with the database as it is now.

    BACKUP is an id, `latest`, `latest-proven`, or a time. Nothing is restored. Exit status 7 means that they differ:
    rows, values, sequences, large objects, indexes, policies, triggers, functions, grants and so on, each by name.
    """
    found, store = find_backup(invocation, backup)
    expected = Catalog(store, make_keys(invocation.settings)).proof_of(found)
    if expected is None:
        raise NotFound(f"the backup {found.id} has no proof", hint="make backups with PGPROOF_PROOF=full or rows")
    restorer = make_restorer(invocation.settings)
    database = restorer.address.database or found.database.name
    now = restorer.look(database, expected.mode, within=invocation.settings.proof.timeout)
    unproven = {**now.unproven, **expected.unproven}
    drift = tuple(
        differences(expected.facts, now.facts, unproven=unproven, scope=Scope(left_out=left_out_of(expected)))
    )
    real = [each for each in drift if not each.noted]
    invocation.emit(
        {
            "backup": found.id,
            "database": database,
            "differences": [described(each) for each in drift],
            "unproven": {str(fact): why for fact, why in unproven.items()},
        },
        drift_view(drift, f"{database} now, against {found.id}"),
    )
    if real and invocation.json:  # the result has said all
        click.get_current_context().exit(ProofMismatch.exit_code)
    if real:
        raise ProofMismatch(f"{database} differs from the backup {found.id} in {len(real)} facts")
