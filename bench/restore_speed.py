"""How long a restore from S3 takes against `pg_restore -j2` from a local directory dump in the same round.

    python -m bench.restore_speed [--gib 2] [--rounds 5] [--lanes 1,2,4] [--jobs 2] [--line 30]

The server, the S3 server and all that is measured share the machine. Each round runs every variant once, in turn; a
ratio is that of one round. Neither side gathers statistics or compares anything, and the server's settings of the
sessions are the same. Memory is of the process and all that it started, sampled; the servers are not among these.
With --line the bucket is behind a line of so many MiB a second.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import psutil
import psycopg

from backup.demo.s3_server import S3Server
from backup.postgres.scratch import ScratchServer, packaged_bin_dir
from backup.stores.credentials import find_keys
from backup.stores.s3 import S3Store
from bench.backup_speed import SETTINGS, Measured
from bench.database import fill
from bench.slow_line import slow_line

_SAMPLE = 0.05
_FLOOR = "pg_restore -j2, local directory"
_OPTIONS = "-c synchronous_commit=off -c maintenance_work_mem=256MB"


def run_tree(argv: Sequence[str], env: dict[str, str]) -> Measured:
    """Run a program to its end, and measure all that it starts; raises where it fails."""
    begun = time.monotonic()
    before = os.times()
    with subprocess.Popen(list(argv), env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        peaks = [0]
        ended = threading.Event()

        def sample() -> None:
            while not ended.wait(_SAMPLE):
                peaks.append(_resident(process.pid))

        sampler = threading.Thread(target=sample)
        sampler.start()
        said = process.stderr.read() if process.stderr else b""
        status = process.wait()
        ended.set()
        sampler.join()
    wall, after = time.monotonic() - begun, os.times()
    if status:
        raise RuntimeError(f"{argv[0]} ended with {status}: {said.decode()}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Measured(wall=wall, cpu=cpu, peak=max(peaks))


def _resident(pid: int) -> int:
    """Bytes of a process and all below it; one that ends meanwhile has none."""
    total = 0
    try:
        root = psutil.Process(pid)
        processes = [root, *root.children(recursive=True)]
    except psutil.Error:
        return 0
    for process in processes:
        try:
            total += process.memory_info().rss
        except psutil.Error:
            continue
    return total


def main() -> None:
    """Build, measure, print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--gib", type=float, default=2.0)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--lanes", type=lambda text: text.split(","), default=["1", "2", "4"])
    arguments.add_argument("--jobs", type=lambda text: text.split(","), default=["2"])
    arguments.add_argument("--line", type=int, default=0)
    arguments.add_argument("--verbose", action="store_true", help="Print every run.")
    chosen = arguments.parse_args()
    bin_dir = packaged_bin_dir()
    with ExitStack() as stack:
        server = stack.enter_context(ScratchServer(bin_dir, settings=SETTINGS, tcp=True))
        s3 = stack.enter_context(S3Server())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        S3Store(s3.address("bench"), find_keys(s3.keys, {})).create_bucket()
        size = fill(server, "bench", int(chosen.gib * (1 << 30)))
        port = stack.enter_context(slow_line(s3.port, chosen.line << 20)) if chosen.line else s3.port
        env: dict[str, str] = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "PGPROOF_DATABASE_URL": server.address("bench"),
            "PGPROOF_S3_ENDPOINT": f"http://127.0.0.1:{port}",
            "PGPROOF_S3_REGION": "us-east-1",
            "PGPROOF_S3_ACCESS_KEY": s3.access_key,
            "PGPROOF_S3_SECRET_KEY": s3.secret_key.get_secret_value(),
            "PGPROOF_PG_BIN": str(bin_dir),
            "PGPROOF_PROOF": "off",
            "PGPROOF_GLOBALS": "off",
            "PGPROOF_RESTORE_ANALYZE": "off",
            "PGOPTIONS": _OPTIONS,
        }
        dump = [str(bin_dir / "pg_dump"), "-Fd", "-j2", f"--file={folder / 'dump'}", server.address("bench")]
        subprocess.run(dump, env=env, check=True)
        command = [sys.executable, "-m", "backup"]
        variants: dict[str, tuple[list[str], dict[str, str]]] = {}
        for lanes in chosen.lanes:
            place = {"PGPROOF_STORE": f"s3://bench/{lanes}", "PGPROOF_DUMP_JOBS": lanes}
            subprocess.run([*command, "backup"], env=env | place, check=True, capture_output=True)
            for jobs in chosen.jobs:
                argv = [*command, "restore", "latest", "--into", "again", "--no-proof", "--jobs", jobs]
                variants[f"restore, lanes {lanes}, jobs {jobs}"] = argv, env | place
        local = [str(bin_dir / "pg_restore"), "-j2", f"--dbname={server.address('again')}", str(folder / "dump")]
        variants[_FLOOR] = local, env
        print(
            f"database {size / (1 << 30):.2f} GiB, {os.cpu_count()} cores, {chosen.rounds} rounds after one to warm up"
        )
        rounds = [_round(server, variants, verbose=chosen.verbose) for _ in range(chosen.rounds + 1)][1:]
    print(f"{'variant':<32} {'wall s':>7} {'ratio: median':>14} {'min':>5} {'max':>5} {'cpu s':>6} {'peak MiB':>9}")
    for name in (_FLOOR, *(each for each in variants if each != _FLOOR)):
        runs = [each[name] for each in rounds]
        ratios = [one.wall / each[_FLOOR].wall for one, each in zip(runs, rounds, strict=True)]
        print(
            f"{name:<32} {statistics.median(one.wall for one in runs):>7.2f} {statistics.median(ratios):>14.2f}"
            f" {min(ratios):>5.2f} {max(ratios):>5.2f} {statistics.median(one.cpu for one in runs):>6.1f}"
            f" {max(one.peak for one in runs) / (1 << 20):>9.0f}"
        )


def _round(
    server: ScratchServer, variants: dict[str, tuple[list[str], dict[str, str]]], *, verbose: bool
) -> dict[str, Measured]:
    """Run every variant once."""
    found: dict[str, Measured] = {}
    for name, (argv, env) in variants.items():
        with psycopg.connect(server.address(), autocommit=True) as connection:
            if name == _FLOOR:
                connection.execute("CREATE DATABASE again TEMPLATE template0")
            connection.execute("CHECKPOINT")
        found[name] = run_tree(argv, env)
        with psycopg.connect(server.address(), autocommit=True) as connection:
            connection.execute("DROP DATABASE again")
        if verbose:
            print(f"  {name}: {found[name].wall:.2f} s", flush=True)
    return found


if __name__ == "__main__":
    main()
