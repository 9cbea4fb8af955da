"""Side-by-side measurements: what they print is what the documents may quote."""
