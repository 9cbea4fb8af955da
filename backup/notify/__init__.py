"""Who is told that a run has ended: adapters of the port Notifier; and the figures that Prometheus reads.

The only importer of httpx, standardwebhooks and prometheus_client.
"""
