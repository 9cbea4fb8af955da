"""The whole story on embedded servers and real data, as `pgproof demo` tells it."""
