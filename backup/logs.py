"""Events on stderr."""
