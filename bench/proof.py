"""What a proof costs beside a dump, and what a drill takes against a plain restore of the same backup.

    python -m bench.proof [--gib 2] [--rounds 4]

Server and client share the machine, and the store is a folder on it. Each round runs every variant once, in turn; a
ratio is that of one round. Server CPU is of the source's processes that ended, which the postmaster counts.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from dataclasses import dataclass

import psutil
import psycopg

from backup.postgres.scratch import ScratchServer, packaged_bin_dir
from bench.backup_speed import SETTINGS, Measured, run
from bench.database import fill

MODES = ("off", "rows", "full")


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one round measured, by variant; `server` seconds of CPU."""

    runs: dict[str, Measured]
    server: dict[str, float]


def main() -> None:
    """Build, measure, print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--gib", type=float, default=2.0)
    arguments.add_argument("--rounds", type=int, default=4)
    chosen = arguments.parse_args()
    bin_dir = packaged_bin_dir()
    with ScratchServer(bin_dir, settings=SETTINGS, tcp=True) as server, tempfile.TemporaryDirectory() as store:
        size = fill(server, "bench", int(chosen.gib * (1 << 30)))
        env = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "PGPROOF_DATABASE_URL": server.address("bench"),
            "PGPROOF_STORE": store,
            "PGPROOF_PG_BIN": str(bin_dir),
            "PGPROOF_GLOBALS": "off",
        }
        print(
            f"database {size / (1 << 30):.2f} GiB, {os.cpu_count()} cores, {chosen.rounds} rounds after one to warm up"
        )
        rounds = [measured(server, env) for _ in range(chosen.rounds + 1)][1:]
    figures = f"{'median':>7} {'min':>5} {'max':>5} {'cpu s':>6} {'server cpu':>11}"
    print(f"{'variant':<20} {'wall s':>6} {'against':<9} {figures}")
    for name, floor in (
        ("backup, proof off", "backup, proof off"),
        ("backup, proof rows", "backup, proof off"),
        ("backup, proof full", "backup, proof off"),
        ("restore, no proof", "restore, no proof"),
        ("restore, compared", "restore, no proof"),
        ("drill", "restore, no proof"),
    ):
        ratios = [each.runs[name].wall / each.runs[floor].wall for each in rounds]
        print(
            f"{name:<20} {statistics.median(each.runs[name].wall for each in rounds):>6.2f} {floor.split(',')[0]:<9}"
            f" {statistics.median(ratios):>7.2f} {min(ratios):>5.2f} {max(ratios):>5.2f}"
            f" {statistics.median(each.runs[name].cpu for each in rounds):>6.1f}"
            f" {statistics.median(each.server[name] for each in rounds):>11.1f}"
        )


def measured(server: ScratchServer, env: dict[str, str]) -> Round:
    """Run every variant once."""
    command = [sys.executable, "-m", "backup"]
    variants = {f"backup, proof {mode}": [*command, "backup", "--proof", mode] for mode in MODES}
    variants |= {
        "restore, no proof": [*command, "restore", "latest", "--into", "again", "--no-proof"],
        "restore, compared": [*command, "restore", "latest", "--into", "again"],
        "drill": [*command, "drill", "latest"],
    }
    runs: dict[str, Measured] = {}
    spent: dict[str, float] = {}
    for name, argv in variants.items():
        before = server_cpu(server)
        runs[name] = run(argv, env, limit=False)
        spent[name] = server_cpu(server) - before
        if "restore" in name:
            with psycopg.connect(server.address(), autocommit=True) as connection:
                connection.execute("DROP DATABASE again")
    return Round(runs=runs, server=spent)


def server_cpu(server: ScratchServer) -> float:
    """Seconds of CPU of the postmaster's children that have ended."""
    times = psutil.Process(server.pid).cpu_times()
    return float(times.children_user + times.children_system)


if __name__ == "__main__":
    main()
