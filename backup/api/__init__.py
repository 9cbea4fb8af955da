"""The HTTP service: what others start, see and fetch over the network. The only importer of the web framework.

Owns nothing but the bucket knows: what it keeps in memory is what the stores said last, and the runs it has started.
"""
