"""pgproof beside the other ways to back up PostgreSQL, on one machine in the same rounds: `make bench`.

Owns the peers, how each is installed and set up, what is measured of it, and the page and picture of the results. Every
server and program that it starts it ends, by its id. It must not be told who wins: what cannot be run is said.
"""
