"""Who is told that a run has ended: adapters of the port Notifier. The only importer of httpx and standardwebhooks."""
