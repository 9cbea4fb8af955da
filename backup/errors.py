"""The one tree of exceptions; every failure that a user may meet is a leaf of it.

Owns the exit codes, which are published and never change their meaning. Must not import anything of pgproof.

```
PgproofError                 1   a bug, or something nobody thought of
├── UsageError               2   the command line asks for something that cannot be
├── ConfigurationError       3   the settings do not fit together, or a tool is missing
│   └── ClientMissing        3   no PostgreSQL client that fits is installed
├── DatabaseUnreachable      4   the server does not answer            (retryable)
│   ├── DatabaseMissing      4   it answers, but has no such database
│   └── EncryptionMissing    4   it answers, but not with the encryption that is asked for
├── DumpFailed               5   the dump did not come to its end      (retryable)
│   ├── TablesRewritten      5   tables were emptied or rewritten while it began
│   └── PartUnavailable      5   an optional part of it cannot be had here: not permitted, or no program for it
├── StoreUnreachable         6   the store does not answer             (retryable)
│   ├── StoreMissing         6   it answers, but has no such bucket or folder
│   └── ObjectMissing        6   it has no such object
├── IntegrityFailed          7   stored bytes are not those that were written; a document of rows is cut
│   └── ObjectExists         7   there is an object already where a new one should be
├── ProofMismatch            7   what was restored is not what the backup's snapshot held
├── RestoreFailed            8   the restore did not come to its end
├── SyncFailed               8   the second database does not take the rows; it is as it was
├── NotFound                 9   no such backup, target or table
├── LockHeld                 10  another run of this target is under way
├── AfterwardsFailed         11  the backup is safe, but a later step failed: prune, another store
├── ResultLost               11  the work is done, but its result could not be printed
├── NotificationFailed       11  the work is done, but somebody could not be told; only a warning
│   └── NotificationRefused  11  whoever it was answered, and does not want it
├── BackupSuspect            12  it is stored, but much smaller than those before it
├── BackupDegraded           13  pg_dump could not run: the rows were saved without it
├── AccessDenied             14  the database, the store or the cluster refuses us
│   └── ObjectLocked         14  the store keeps an object for longer
├── RequestRefused           15  the Kubernetes cluster does not take what it was asked
├── ClusterUnreachable       15  the Kubernetes cluster does not answer
│   └── JobNotRun            15  it answers, but did not run a Job to an exit status
├── BackupMissed             16  there is no backup that is young enough, or proven lately enough
└── Interrupted              130 or 143: SIGINT or SIGTERM              (retryable)
```
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar


class PgproofError(Exception):
    """A failure with one clear line, and where there is one, an advice.

    Args:
        message: lower case, no final stop; says what and where. Never a secret.
        detail: what the tool or server said, a few lines at most.
        hint: what to do next.

    Attributes:
        result: what was done nevertheless, for programs: with --json it stands beside the failure.
    """

    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, detail: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.hint = hint
        self.result: Mapping[str, object] = {}

    @property
    def code(self) -> str:
        """The stable name of this kind of failure, for JSON and tests: the class name in snake case."""
        name = type(self).__name__
        return "".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_")

    @property
    def status(self) -> int:
        """The exit status of a process that ends with this failure."""
        return self.exit_code


class UsageError(PgproofError):
    """The command line asks for something that cannot be."""

    exit_code = 2


class ConfigurationError(PgproofError):
    """The settings do not fit together, or a tool is missing."""

    exit_code = 3


class ClientMissing(ConfigurationError):
    """No PostgreSQL client that fits the server or the archive is installed."""


class DatabaseUnreachable(PgproofError):
    """The PostgreSQL server does not answer."""

    exit_code = 4
    retryable = True


class DatabaseMissing(DatabaseUnreachable):
    """The PostgreSQL server answers, but has no such database."""

    retryable = False


class EncryptionMissing(DatabaseUnreachable):
    """The PostgreSQL server answers, but not with the encryption that is asked for."""

    retryable = False


class DumpFailed(PgproofError):
    """The dump did not come to its end; nothing of it is kept."""

    exit_code = 5
    retryable = True


class TablesRewritten(DumpFailed):
    """Tables were truncated, rewritten or replaced while the dump began: another run will have them whole."""


class PartUnavailable(DumpFailed):
    """An optional part of a backup cannot be had here: not permitted, or its program is missing. Only a warning."""

    retryable = False


class StoreUnreachable(PgproofError):
    """The store does not answer, or could not take what it was given."""

    exit_code = 6
    retryable = True


class StoreMissing(StoreUnreachable):
    """The store answers, but has no such bucket or folder."""

    retryable = False


class ObjectMissing(StoreUnreachable):
    """The store has no object under this key."""

    retryable = False


class IntegrityFailed(PgproofError):
    """The stored bytes are not those that were written; or a document of rows is not whole."""

    exit_code = 7


class ObjectExists(IntegrityFailed):
    """There is an object already where a new one should be; nothing was overwritten."""


class ProofMismatch(PgproofError):
    """What was restored is not what the backup's proof says, or a check of the user's found it wrong."""

    exit_code = 7


class RestoreFailed(PgproofError):
    """The restore did not come to its end; no half database is left."""

    exit_code = 8


DAMAGED = "use another backup: pgproof list shows what there is, pgproof verify --all says which are whole"
"""The hint of every IntegrityFailed that is about a backup in a store."""


class SyncFailed(PgproofError):
    """The second database does not take the rows that were chosen for it; it is as it was."""

    exit_code = 8


class NotFound(PgproofError):
    """There is no such backup, target or table."""

    exit_code = 9


class LockHeld(PgproofError):
    """Another run of this target is under way."""

    exit_code = 10


class AfterwardsFailed(PgproofError):
    """The backup is safe, but a later step failed: old ones were not deleted, or another store does not have it."""

    exit_code = 11


class ResultLost(PgproofError):
    """The work is done, but its result could not be printed. Not worth a retry: a backup that was made is safe."""

    exit_code = 11


class NotificationFailed(PgproofError):
    """Somebody could not be told of a run. Only a warning: a dead webhook fails no good backup."""

    exit_code = 11


class NotificationRefused(NotificationFailed):
    """Whoever should be told answered, and does not want it: this message, or any of ours."""


class AccessDenied(PgproofError):
    """The database, the store or the Kubernetes cluster refuses us: credentials or rights."""

    exit_code = 14


class BackupSuspect(PgproofError):
    """The backup is stored, but it is much smaller than those before it: it is no complete one until it is accepted."""

    exit_code = 12


class BackupDegraded(PgproofError):
    """pg_dump could not run, or not to its end: the rows of all readable tables are stored. It is no whole backup."""

    exit_code = 13


class ObjectLocked(AccessDenied):
    """The store keeps an object until a time that lies ahead, whoever asks.

    Args:
        until: that time, where the store tells it.
    """

    def __init__(self, message: str, *, until: datetime | None = None, detail: str | None = None) -> None:
        super().__init__(message, detail=detail, hint="that is what the lock is for; it can go when its time is over")
        self.until = until


class RequestRefused(PgproofError):
    """The Kubernetes cluster does not take what it was asked: it is there already, or not valid."""

    exit_code = 15


class ClusterUnreachable(PgproofError):
    """The Kubernetes cluster does not answer."""

    exit_code = 15


class JobNotRun(ClusterUnreachable):
    """The Kubernetes cluster answers, but did not run a Job until pgproof in it gave an exit status."""


class BackupMissed(PgproofError):
    """The newest complete backup is too old, or was too long ago proven, or there is none."""

    exit_code = 16


class Interrupted(PgproofError):
    """A signal asked us to stop. An ordinary Exception, so that every library on the way cleans up.

    Args:
        signum: the signal's number.
    """

    retryable = True

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}")
        self.signum = signum

    @property
    def status(self) -> int:
        """128 plus the signal, as shells have it."""
        return 128 + self.signum
