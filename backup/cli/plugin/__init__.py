"""`kubectl pgproof`: releases of the chart, from outside. Talks to the cluster alone, never to a database."""

from __future__ import annotations

from backup.cli.commands import PLUGIN_TABLE, Commands
from backup.cli.main import CONTEXT, VERSION

plugin = Commands(
    "kubectl pgproof",
    table=PLUGIN_TABLE,
    help="Backups of PostgreSQL in this cluster: look, back up, restore. Start with: kubectl pgproof status",
    context_settings=CONTEXT,
    params=[VERSION],
    epilog="Which rights it takes: docs/kubectl.md",
)
