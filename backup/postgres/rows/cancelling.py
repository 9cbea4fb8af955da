"""Ends the queries of rows whose reader has gone. Owns by what they are recognised: their session's name."""

from __future__ import annotations

from backup.postgres.rows.reading import RowsReading

_CANCEL = """
SELECT pg_cancel_backend(pid) FROM (SELECT pg_stat_clear_snapshot()) AS fresh, pg_stat_activity
WHERE application_name = %(name)s AND usename = current_user AND pid <> pg_backend_pid()
"""


def cancel_queries(rows: RowsReading, name: str) -> None:
    """Cancel what sessions of this name are running, but for the one that asks. May be called from any thread.

    Raises:
        PgproofError: the server does not answer; then it ends them itself, for their reader is gone.
    """
    rows.ask(_CANCEL, {"name": name})
