"""What an export and a sync cost, against COPY by psql alone.

    python -m bench.rows [--rows 4] [--rounds 5]

`--rows`: millions of rows of the table that is exported; the one that is synced has one million, of which one in a
hundred is changed before each sync. All servers share the machine. Each round runs every variant once, in turn; a ratio
is that of one round.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

import psutil
import psycopg

from backup.postgres.scratch import ScratchServer, packaged_bin_dir
from bench.backup_speed import SETTINGS

_TABLE = """
CREATE TABLE {name} (id bigint PRIMARY KEY, customer int, placed timestamptz, total numeric(12, 2), state text,
    note text, updated_at timestamptz);
INSERT INTO {name} SELECT g, (random() * 1e5)::int, now() - random() * interval '900 days',
    (random() * 1e4)::numeric(12, 2), (ARRAY['new', 'paid', 'sent'])[1 + g % 3],
    md5(g::text) || ' "' || md5((g / 7)::text) || '"', now() - interval '2 days'
FROM generate_series(1, {rows}) g"""
_CHANGE = """
UPDATE small SET total = total + 1, state = 'paid', updated_at = now() WHERE id % 100 = {round}"""
_JSON = "COPY (SELECT row_to_json(t.*) FROM large t) TO STDOUT"
_MILLION = 1_000_000


def main() -> None:
    """Build, measure, print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rows", type=float, default=4)
    arguments.add_argument("--rounds", type=int, default=5)
    chosen = arguments.parse_args()
    bin_dir = packaged_bin_dir()
    psql = [str(bin_dir / "psql"), "--no-psqlrc", "--quiet"]
    with (
        ScratchServer(bin_dir, settings=SETTINGS, tcp=True) as first,
        ScratchServer(bin_dir, settings=SETTINGS, tcp=True) as second,
    ):
        here, there = first.address(), second.address()
        with psycopg.connect(here, autocommit=True) as connection:
            for name, rows in (("large", int(chosen.rows * _MILLION)), ("small", _MILLION)):
                connection.execute(_TABLE.format(name=name, rows=rows).encode())
            connection.execute("VACUUM ANALYZE")
            size = connection.execute("SELECT pg_table_size('large')").fetchone()
        print(f"large {size[0] / (1 << 30) if size else 0:.2f} GiB, {os.cpu_count()} cores, {chosen.rounds} rounds")
        env = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "PGPROOF_DATABASE_URL": here,
            "PGPROOF_SYNC_URL": there,
            "PGPROOF_PG_BIN": str(bin_dir),
        }
        pgproof = [sys.executable, "-m", "backup"]
        sync = [*pgproof, "sync", "--table", "small"]
        copy_out = [*psql, "--command=COPY small TO STDOUT", here]
        copy_in = [*psql, "--command=TRUNCATE copied", "--command=COPY copied FROM STDIN", there]
        run(sync, env)
        with psycopg.connect(there, autocommit=True) as connection:
            connection.execute("CREATE TABLE copied (LIKE small INCLUDING ALL)")
        rounds = []
        for number in range(chosen.rounds):
            found = {
                "psql, COPY of JSON": run([*psql, f"--command={_JSON}", here], env),
                "pgproof export": run([*pgproof, "export", "--table", "large"], env),
                "psql, COPY out": run(copy_out, env),
                "psql, COPY out and in": run(copy_out, env, into=copy_in),
            }
            change(here, number)
            found["pgproof sync, 1 % changed"] = run(sync, env)
            found["pgproof sync, nothing changed"] = run(sync, env)
            rounds.append(found)
    against = {"pgproof export": "psql, COPY of JSON"} | dict.fromkeys(rounds[0], "psql, COPY out and in")
    against |= {"pgproof export": "psql, COPY of JSON", "psql, COPY of JSON": "psql, COPY of JSON"}
    print(f"{'variant':<30} {'wall s':>7} {'ratio: median':>14} {'min':>5} {'max':>5} {'peak MiB':>9}")
    for name in rounds[0]:
        ratios = [each[name][0] / each[against[name]][0] for each in rounds]
        print(
            f"{name:<30} {statistics.median(each[name][0] for each in rounds):>7.2f} {statistics.median(ratios):>14.2f}"
            f" {min(ratios):>5.2f} {max(ratios):>5.2f} {max(each[name][1] for each in rounds) / (1 << 20):>9.0f}"
        )


def change(address: str, number: int) -> None:
    """One row in a hundred, others in each round."""
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(_CHANGE.format(round=number).encode())


def run(argv: Sequence[str], env: Mapping[str, str], *, into: Sequence[str] | None = None) -> tuple[float, int]:
    """Seconds that a command takes, and the most bytes that its first process and that one's children had at once."""
    begun = time.monotonic()
    output = subprocess.PIPE if into else subprocess.DEVNULL
    peak = 0
    with subprocess.Popen(argv, env=dict(env), stdout=output, stderr=subprocess.DEVNULL) as process:
        reader = subprocess.Popen(into, env=dict(env), stdin=process.stdout) if into else None
        if process.stdout:
            process.stdout.close()
        while process.poll() is None:
            peak = max(peak, memory(process.pid))
            time.sleep(0.05)
        if process.returncode or (reader and reader.wait()):
            raise SystemExit(f"{argv} failed")
    return time.monotonic() - begun, peak


def memory(pid: int) -> int:
    """Bytes that a process and its children have for themselves."""
    try:
        process = psutil.Process(pid)
        return sum(each.memory_info().rss for each in (process, *process.children(recursive=True)))
    except psutil.Error:
        return 0


if __name__ == "__main__":
    main()
