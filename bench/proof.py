"""What a proof costs beside a dump, and what a drill takes against a restore of the same backup, compared or not.

    python -m bench.proof [--gib 2] [--rounds 4] [--line 30]

Server and client share the machine, and the store is a folder on it. With --line the backups go into a bucket behind a
line of so many MiB a second: then there are cores that have nothing to do, as where the server is another machine.
Each round runs every variant once, in turn; a
ratio is that of one round. Server CPU is of the source's processes that ended, which the postmaster counts.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass

import psutil
import psycopg

from backup.demo.s3_server import S3Server
from backup.postgres.scratch import ScratchServer, packaged_bin_dir
from backup.stores.credentials import find_keys
from backup.stores.s3 import S3Store
from bench.backup_speed import SETTINGS, Measured, run
from bench.database import fill
from bench.slow_line import slow_line

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
    arguments.add_argument("--line", type=int, default=0)
    chosen = arguments.parse_args()
    bin_dir = packaged_bin_dir()
    with ExitStack() as stack:
        server = stack.enter_context(ScratchServer(bin_dir, settings=SETTINGS, tcp=True))
        store = stack.enter_context(tempfile.TemporaryDirectory())
        size = fill(server, "bench", int(chosen.gib * (1 << 30)))
        env = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "PGPROOF_DATABASE_URL": server.address("bench"),
            "PGPROOF_STORE": store,
            "PGPROOF_PG_BIN": str(bin_dir),
            "PGPROOF_GLOBALS": "off",
            "PGPROOF_RETENTION": "off",
            **(behind_a_line(stack, chosen.line << 20) if chosen.line else {}),
        }
        print(
            f"database {size / (1 << 30):.2f} GiB, {os.cpu_count()} cores, {chosen.rounds} rounds after one to warm up"
        )
        with_restores = not chosen.line
        rounds = [measured(server, env, with_restores=with_restores) for _ in range(chosen.rounds + 1)][1:]
    figures = f"{'median':>7} {'min':>5} {'max':>5} {'cpu s':>6} {'server cpu':>11}"
    print(f"{'variant':<20} {'wall s':>6} {'against':<18} {figures}")
    for name, floor in (
        ("backup, proof off", "backup, proof off"),
        ("backup, proof rows", "backup, proof off"),
        ("backup, proof full", "backup, proof off"),
        ("restore, no proof", "restore, no proof"),
        ("restore, compared", "restore, no proof"),
        ("drill", "restore, no proof"),
        ("drill", "restore, compared"),
    ):
        if name not in rounds[0].runs:
            continue
        ratios = [each.runs[name].wall / each.runs[floor].wall for each in rounds]
        print(
            f"{name:<20} {statistics.median(each.runs[name].wall for each in rounds):>6.2f} {floor:<18}"
            f" {statistics.median(ratios):>7.2f} {min(ratios):>5.2f} {max(ratios):>5.2f}"
            f" {statistics.median(each.runs[name].cpu for each in rounds):>6.1f}"
            f" {statistics.median(each.server[name] for each in rounds):>11.1f}"
        )


def behind_a_line(stack: ExitStack, rate: int) -> dict[str, str]:
    """Settings of a bucket that is reached at so many bytes a second."""
    s3 = stack.enter_context(S3Server())
    S3Store(s3.address("bench"), find_keys(s3.keys, {})).create_bucket()
    return {
        "PGPROOF_STORE": "s3://bench",
        "PGPROOF_S3_ENDPOINT": f"http://127.0.0.1:{stack.enter_context(slow_line(s3.port, rate))}",
        "PGPROOF_S3_REGION": "us-east-1",
        "PGPROOF_S3_ACCESS_KEY": s3.access_key,
        "PGPROOF_S3_SECRET_KEY": s3.secret_key.get_secret_value(),
    }


def measured(server: ScratchServer, env: dict[str, str], *, with_restores: bool) -> Round:
    """Run every variant once."""
    command = [sys.executable, "-m", "backup"]
    variants = {f"backup, proof {mode}": [*command, "backup", "--proof", mode] for mode in MODES}
    variants |= (
        {}
        if not with_restores
        else {
            "restore, no proof": [*command, "restore", "latest", "--into", "again", "--no-proof"],
            "restore, compared": [*command, "restore", "latest", "--into", "again"],
            "drill": [*command, "drill", "latest"],
        }
    )
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
