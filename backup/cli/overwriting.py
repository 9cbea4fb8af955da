"""Before something that is there is overwritten: its name must be confirmed, and it is backed up first."""

from __future__ import annotations

from backup.cli.backup import require_enough, run_backup, told
from backup.cli.options import Invocation
from backup.errors import AfterwardsFailed, RestoreFailed, UsageError
from backup.logs import log


def refuse_unconfirmed(database: str, confirm: str | None, *, what: str) -> None:
    """Refuse to go on where the database that is about to be changed was not named. `what`: would be done to it."""
    if confirm != database:
        said = f"--confirm says {confirm}" if confirm else "there is no --confirm"
        raise UsageError(
            f"this would {what} the database {database}, but {said}",
            hint=f"--confirm {database}, if that is what you want",
        )


def make_safe(invocation: Invocation, source: str, target_url: str | None) -> None:
    """Back up what is about to be overwritten.

    Args:
        invocation: of the restore.
        source: what comes back: a backup's id, or what else it is; a label of the safety backup.
        target_url: another database, of which none can be made.

    Raises:
        UsageError: there is such.
        RestoreFailed: too few stores have it.
        PgproofError: what a backup raises.
    """
    if target_url is not None:
        raise UsageError(
            "no safety backup can be made of a database that the settings do not name",
            hint="make it the configured database, or give --no-safety-backup",
        )
    made = run_backup(invocation, purpose="safety", labels={"before-restoring": source})
    try:
        require_enough(invocation, made)
    except AfterwardsFailed as error:
        raise RestoreFailed(
            f"nothing was restored: the safety backup {error.message}",
            detail=error.detail,
            hint="mend that store; or let fewer stores be enough (PGPROOF_STORES_REQUIRED), or leave it out"
            " (--no-safety-backup)",
        ) from error
    log.info("safety backup made", id=made.manifest.id, told=told(made.manifest))
