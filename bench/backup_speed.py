"""How long a backup to S3 takes against the bare dump of the same database in the same round, and its memory.

    python -m bench.backup_speed [--gib 2] [--rounds 5] [--levels 1,3,none] [--jobs 1,2,4]

The server, the S3 server and all that is measured share the machine. Each round runs every variant once, in turn; a
ratio is that of one round. Our process may write no file over 64 MiB (a resource limit sees to it).
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil

from backup.demo.s3_server import S3Server
from backup.postgres.scratch import ScratchServer, packaged_bin_dir
from backup.stores.credentials import find_keys
from backup.stores.s3 import S3Store
from bench.database import fill

FILE_LIMIT = 64 << 20
_LOOK = 0.05
SETTINGS = {
    "fsync": "off",
    "max_wal_size": "8GB",
    "shared_buffers": "256MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One run: seconds of wall and CPU time, and the largest resident memory of the process and its children."""

    wall: float
    cpu: float
    peak: int


class Watch(threading.Thread):
    """Looks at the memory of a process and its children as long as it runs. Pages that several share count for each."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._process = psutil.Process(pid)
        self.peak = 0

    def run(self) -> None:
        with suppress(psutil.Error):
            while self._process.status() != psutil.STATUS_ZOMBIE:
                self.peak = max(self.peak, self._now())
                time.sleep(_LOOK)

    def _now(self) -> int:
        total = 0
        for each in (self._process, *self._process.children(recursive=True)):
            with suppress(psutil.Error):
                total += each.memory_info().rss
        return total


def run(argv: Sequence[str], env: dict[str, str], *, limit: bool = True) -> Measured:
    """Run a program to its end; raises where it fails."""
    begun = time.monotonic()
    with subprocess.Popen(
        list(argv),
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        if limit:
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (FILE_LIMIT, FILE_LIMIT))
        watch = Watch(process.pid)
        watch.start()
        said = process.stderr.read() if process.stderr else b""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        watch.join()
    if process.returncode:
        raise RuntimeError(f"{argv[0]} ended with {process.returncode}: {said.decode()[-2000:]}")
    return Measured(wall=time.monotonic() - begun, cpu=usage.ru_utime + usage.ru_stime, peak=watch.peak)


def main() -> None:
    """Build, measure, print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--gib", type=float, default=2.0)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--levels", type=lambda text: text.split(","), default=["1", "3", "none"])
    arguments.add_argument("--jobs", type=lambda text: text.split(","), default=["1", "2", "4"])
    arguments.add_argument("--verbose", action="store_true", help="Print every run.")
    chosen = arguments.parse_args()
    bin_dir = packaged_bin_dir()
    with ScratchServer(bin_dir, settings=SETTINGS, tcp=True) as server, S3Server() as s3:
        S3Store(s3.address("bench"), find_keys(s3.keys, {})).create_bucket()
        size = fill(server, "bench", int(chosen.gib * (1 << 30)))
        env: dict[str, str] = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "PGPROOF_DATABASE_URL": server.address("bench"),
            "PGPROOF_STORE": "s3://bench/speed",
            "PGPROOF_S3_ENDPOINT": s3.endpoint,
            "PGPROOF_S3_REGION": "us-east-1",
            "PGPROOF_S3_ACCESS_KEY": s3.access_key,
            "PGPROOF_S3_SECRET_KEY": s3.secret_key.get_secret_value(),
            "PGPROOF_PG_BIN": str(bin_dir),
            "PGPROOF_PROOF": "off",  # what that costs says bench.proof
        }
        bare = [str(bin_dir / "pg_dump"), "-Fc", "-Z0", f"--dbname={server.address('bench')}"]
        backup = [sys.executable, "-m", "backup", "backup", "--globals", "off"]
        variants = {"bare pg_dump -Fc -Z0": bare} | {
            f"backup, {'no compression' if level == 'none' else f'zstd {level}'}, lanes {jobs}": [
                *backup,
                *(["--compression", "none"] if level == "none" else ["--zstd-level", level]),
                *("--jobs", jobs),
            ]
            for level in chosen.levels
            for jobs in chosen.jobs
        }
        print(
            f"database {size / (1 << 30):.2f} GiB, {os.cpu_count()} cores, {chosen.rounds} rounds after one to warm up"
        )
        rounds = [{name: run(argv, env) for name, argv in variants.items()} for _ in range(chosen.rounds + 1)][1:]
        floor = [each["bare pg_dump -Fc -Z0"].wall for each in rounds]
        print(f"{'variant':<34} {'wall s':>7} {'ratio: median':>14} {'min':>5} {'max':>5} {'cpu s':>6} {'peak MiB':>9}")
        for name in variants:
            runs = [each[name] for each in rounds]
            ratios = [one.wall / bare_wall for one, bare_wall in zip(runs, floor, strict=True)]
            print(
                f"{name:<34} {statistics.median(one.wall for one in runs):>7.2f} {statistics.median(ratios):>14.2f}"
                f" {min(ratios):>5.2f} {max(ratios):>5.2f} {statistics.median(one.cpu for one in runs):>6.1f}"
                f" {max(one.peak for one in runs) / (1 << 20):>9.0f}"
            )
        for line in stored(env):
            print(line)


def stored(env: dict[str, str]) -> list[str]:
    """What the last backups hold, newest first, by pgproof's own list."""
    argv = [sys.executable, "-m", "backup", "list"]
    answer = subprocess.run(argv, env=env, capture_output=True, text=True, check=True)
    return answer.stdout.splitlines()[:6]


if __name__ == "__main__":
    main()
