"""What two stores cost against one, whether a slow one takes memory, and how long a plan over many backups takes.

    python -m bench.care [--gib 1] [--rounds 4] [--backups 10000]

Server, stores and client share the machine. A ratio is that of one round. The plan is made of backups of three objects
each in an S3 server: listed, then planned; nothing is deleted.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from backup.demo.s3_server import S3Server
from backup.domain.retention import plan
from backup.domain.rules import DEFAULT, Rules
from backup.postgres.scratch import ScratchServer, packaged_bin_dir
from backup.stores.credentials import find_keys
from backup.stores.s3 import S3Store
from backup.stream.readers import BytesReader
from backup.workflow.prune import Worth
from backup.workflow.runs import read_runs
from bench.backup_speed import SETTINGS, Measured, run
from bench.database import fill
from bench.slow_line import slow_line
from tests.support.manifests import a_manifest

SLOW = 20 << 20
"""Bytes a second that the slow store takes."""

_STORING = 4
"""Backups that are stored at once, as many as the client keeps connections for."""


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--gib", type=float, default=1.0)
    arguments.add_argument("--rounds", type=int, default=4)
    arguments.add_argument("--backups", type=int, default=10_000)
    chosen = arguments.parse_args()
    with S3Server() as s3:
        S3Store(s3.address("bench"), find_keys(s3.keys, {})).create_bucket()
        if chosen.rounds:
            measure_stores(s3, gib=chosen.gib, rounds=chosen.rounds)
        if chosen.backups:
            measure_plan(s3, chosen.backups)


def measure_stores(s3: S3Server, *, gib: float, rounds: int) -> None:
    """One store against two of each kind, and one of them behind a slow line."""
    bin_dir = packaged_bin_dir()
    with (
        ScratchServer(bin_dir, settings=SETTINGS, tcp=True) as server,
        tempfile.TemporaryDirectory() as folder,
        slow_line(s3.port, SLOW) as slow,
    ):
        size = fill(server, "bench", int(gib * (1 << 30)))
        print(f"database {size / (1 << 30):.2f} GiB, {os.cpu_count()} cores, {rounds} rounds after one to warm up")
        near, bucket = f"{folder}/a", "s3://bench/a"
        variants = {
            "a folder": near,
            "a bucket": bucket,
            "two folders": f"{near},{folder}/b",
            "two buckets": f"{bucket},s3://bench/b",
            "a folder and a bucket": f"{near},{bucket}",
        }
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "PGPROOF_DATABASE_URL": server.address("bench"),
            "PGPROOF_PG_BIN": str(bin_dir),
            "PGPROOF_GLOBALS": "off",
            "PGPROOF_PROOF": "off",
            "PGPROOF_RETENTION": "keep-last=1",
            "PGPROOF_S3_REGION": "us-east-1",
            "PGPROOF_S3_ACCESS_KEY": s3.access_key,
            "PGPROOF_S3_SECRET_KEY": s3.secret_key.get_secret_value(),
            "PGPROOF_S3_ENDPOINT": s3.endpoint,
        }
        command = [sys.executable, "-m", "backup", "backup"]
        done = [
            {name: run(command, {**environ, "PGPROOF_STORE": stores}) for name, stores in variants.items()}
            for _ in range(rounds + 1)
        ][1:]
        show(done, {"two folders": "a folder", "two buckets": "a bucket", "a folder and a bucket": "a bucket"})
        slowed = {"PGPROOF_STORE": f"{near},s3://bench/slow", "PGPROOF_S3_ENDPOINT": f"http://127.0.0.1:{slow}"}
        stuck = run(command, {**environ, **slowed})
        print(f"{'a folder and a bucket at 20 MiB/s':<34} {stuck.wall:>6.2f} s, peak {stuck.peak >> 20} MiB")


def show(rounds: list[dict[str, Measured]], floors: dict[str, str]) -> None:
    """A row for each variant."""
    figures = f"{'median':>6} {'min':>5} {'max':>5} {'cpu s':>6} {'peak MiB':>9}"
    print(f"{'stores':<24} {'wall s':>6}  {'against':<10} {figures}")
    for name in rounds[0]:
        floor = floors.get(name, name)
        ratios = [each[name].wall / each[floor].wall for each in rounds]
        print(
            f"{name:<24} {statistics.median(each[name].wall for each in rounds):>6.2f}  {floor:<10}"
            f" {statistics.median(ratios):>6.2f} {min(ratios):>5.2f} {max(ratios):>5.2f}"
            f" {statistics.median(each[name].cpu for each in rounds):>6.1f}"
            f" {max(each[name].peak for each in rounds) >> 20:>9}"
        )


def measure_plan(s3: S3Server, count: int) -> None:
    """Store many backups, an hour between each, and plan what becomes of them."""
    store = S3Store(s3.address("bench", "many"), find_keys(s3.keys, {}))
    store_many(store, count)
    for rules in (DEFAULT, Rules(daily=30, weekly=8, monthly=24, yearly=5, min_proven=2)):
        with clocked() as listed:
            folders = read_runs(store, "shop", now=datetime.now(UTC))
        worth = Worth(store, "shop", folders)
        with clocked() as planned:
            runs = [folder.run for folder in folders]
            made = plan(runs, rules, now=datetime.now(UTC), standing_of=worth.standing, is_proven=worth.is_proven)
        print(
            f"{count:,} backups, {rules.text}: listed in {listed[0]:.2f} s, planned in {planned[0]:.2f} s,"
            f" {len(made.deleted):,} would go"
        )


def store_many(store: S3Store, count: int) -> None:
    """So many backups of three objects each, an hour between each, the newest an hour ago."""
    newest = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)

    def store_one(hours: int) -> None:
        manifest = a_manifest(newest - hours * timedelta(hours=1))
        prefix = f"shop/{manifest.id}/"
        for name in ("dump.pgc.zst.000", "proof.json.zst.000"):
            store.put(prefix + name, BytesReader(b"x"))
        store.put(prefix + "manifest.json", BytesReader(manifest.to_json()))

    with ThreadPoolExecutor(_STORING) as pool:
        for stored in [pool.submit(store_one, hours) for hours in range(count)]:
            stored.result()


@contextmanager
def clocked() -> Iterator[list[float]]:
    """Seconds that the context took, once it is left."""
    taken = [0.0]
    begun = time.monotonic()
    yield taken
    taken[0] = time.monotonic() - begun


if __name__ == "__main__":
    main()
