"""What encryption costs: a backup to S3 and a restore from it, encrypted to two keys, against the same without.

    python -m bench.encryption [--gib 1] [--rounds 4]

The servers and pgproof share the machine. Each round runs every variant once, in turn; a ratio is that of one round.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys

import psycopg

from backup.demo.s3_server import S3Server
from backup.postgres.scratch import ScratchServer, packaged_bin_dir
from backup.stores.credentials import find_keys
from backup.stores.s3 import S3Store
from backup.stream.age import Identity
from bench.backup_speed import SETTINGS, Measured, run
from bench.database import fill

COMPRESSIONS = ("zstd", "none")


def main() -> None:
    """Build, measure, print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--gib", type=float, default=1.0)
    arguments.add_argument("--rounds", type=int, default=4)
    chosen = arguments.parse_args()
    bin_dir = packaged_bin_dir()
    identity, spare = Identity.new(), Identity.new()
    with ScratchServer(bin_dir, settings=SETTINGS, tcp=True) as server, S3Server() as s3:
        S3Store(s3.address("bench"), find_keys(s3.keys, {})).create_bucket()
        size = fill(server, "bench", int(chosen.gib * (1 << 30)))
        env = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "PGPROOF_DATABASE_URL": server.address("bench"),
            "PGPROOF_STORE": "s3://bench/keys",
            "PGPROOF_S3_ENDPOINT": s3.endpoint,
            "PGPROOF_S3_REGION": "us-east-1",
            "PGPROOF_S3_ACCESS_KEY": s3.access_key,
            "PGPROOF_S3_SECRET_KEY": s3.secret_key.get_secret_value(),
            "PGPROOF_PG_BIN": str(bin_dir),
            "PGPROOF_GLOBALS": "off",
            "PGPROOF_PROOF": "off",
            "PGPROOF_IDENTITY": identity.secret,
            "PGPROOF_RETENTION": "keep-last=1",
        }
        keys = {"PGPROOF_ENCRYPT_TO": f"{identity.public},{spare.public}"}
        print(
            f"database {size / (1 << 30):.2f} GiB, {os.cpu_count()} cores, {chosen.rounds} rounds after one to warm up"
        )
        rounds = [measured(server, env, keys) for _ in range(chosen.rounds + 1)][1:]
    print(f"{'variant':<26} {'wall s':>7} {'ratio: median':>14} {'min':>5} {'max':>5} {'cpu s':>6} {'peak MiB':>9}")
    for name in rounds[0]:
        runs = [each[name] for each in rounds]
        ratios = [each[name].wall / each[name.removesuffix(", encrypted")].wall for each in rounds]
        print(
            f"{name:<26} {statistics.median(one.wall for one in runs):>7.2f} {statistics.median(ratios):>14.2f}"
            f" {min(ratios):>5.2f} {max(ratios):>5.2f} {statistics.median(one.cpu for one in runs):>6.1f}"
            f" {max(one.peak for one in runs) / (1 << 20):>9.0f}"
        )


def measured(server: ScratchServer, env: dict[str, str], keys: dict[str, str]) -> dict[str, Measured]:
    """Run every variant once."""
    found = {}
    for compression in COMPRESSIONS:
        for told, more in (("", {}), (", encrypted", keys)):
            names = {what: f"{what}, {compression}{told}" for what in ("backup", "restore")}
            argv = [sys.executable, "-m", "backup"]
            found[names["backup"]] = run([*argv, "backup", "--compression", compression], {**env, **more})
            found[names["restore"]] = run([*argv, "restore", "latest", "--into", "again"], {**env, **more}, limit=False)
            with psycopg.connect(server.address(), autocommit=True) as connection:
                connection.execute("DROP DATABASE again")
    return found


if __name__ == "__main__":
    main()
