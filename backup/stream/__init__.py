"""Bytes on their way: child processes, compression, hashes, volumes. Knows no PostgreSQL and no store.

Everything pulls: the store reads from the volumes, they from the encoder, it from the source. So memory is
bounded by what one read returns, a slow store slows pg_dump, and an error in the source reaches the store as
an exception inside its own read, before anything could be taken for whole.
"""
