"""What `hold`, `release` and `accept` share. Owns that a backup is marked in every store that has it."""

from __future__ import annotations

from collections.abc import Callable

from backup.cli.options import Invocation
from backup.cli.places import places
from backup.cli.targets import find_backup, stored_target
from backup.domain.ids import BackupId
from backup.domain.manifest import Manifest
from backup.errors import Interrupted, NotFound, PgproofError
from backup.logs import log
from backup.ports import Store
from backup.workflow.catalog import Catalog


def mark_everywhere(
    invocation: Invocation, reference: str, work: Callable[[Manifest, Store], None], *, done: str
) -> None:
    """Find a backup, mark it in each store that has it, and say so.

    Raises:
        PgproofError: it could not be marked in one of them; it is in the others.
    """
    found, _ = find_backup(invocation, reference)
    backup_id = BackupId.parse(found.id)
    marked: list[str] = []
    failures: list[PgproofError] = []
    for place in places(invocation):
        try:
            target = stored_target(invocation, place.store)
            backup = Catalog(place.store).find(target, backup_id) if backup_id else found
            work(backup, place.store)
            marked.append(place.store.url)
        except NotFound as error:
            log.debug("not there", store=place.store.url, reason=error.message)
            absent = error
        except Interrupted:
            raise
        except PgproofError as error:
            log.error("not marked", store=place.store.url, reason=error.message)
            failures.append(error)
    if failures:
        raise failures[0]
    if not marked:
        raise absent
    invocation.emit({"id": found.id, "done": done, "stores": marked}, f"{found.id} is {done} in {', '.join(marked)}")
