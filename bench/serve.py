"""What the HTTP service bears: many readers of the list at once, and one of all rows.

    python -m bench.serve [--readers 500] [--backups 1000] [--seconds 20] [--rows 7]

`--rows`: millions of rows of the table that is exported; 4.6 are a gigabyte of JSON. The backups are in an S3 server;
it, PostgreSQL, the service and the readers share the machine. A reader asks again as soon as it is answered.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import psutil
import psycopg

from backup.demo.s3_server import S3Server
from backup.domain.drill import Drill, key_of
from backup.domain.ids import BackupId
from backup.domain.manifest import (
    MANIFEST_NAME,
    Database,
    Manifest,
    Part,
    Role,
    SnapshotMark,
    Status,
    Tool,
    Volume,
)
from backup.postgres.scratch import ScratchServer, packaged_bin_dir
from backup.stores.credentials import find_keys
from backup.stores.s3 import S3Store
from backup.stream.readers import BytesReader
from bench.backup_speed import SETTINGS
from bench.rows import _TABLE, memory

TOKEN = "token-of-the-bench-0123456789"  # noqa: S105 -- of a server that lives for a minute
_MILLION = 1_000_000


def main() -> None:
    """Build, measure, print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--readers", type=int, default=500)
    arguments.add_argument("--backups", type=int, default=1000)
    arguments.add_argument("--seconds", type=float, default=20)
    arguments.add_argument("--rows", type=float, default=4.6)
    chosen = arguments.parse_args()
    bin_dir = packaged_bin_dir()
    with (
        S3Server() as s3,
        ScratchServer(bin_dir, settings=SETTINGS, tcp=True) as database,
        tempfile.TemporaryDirectory() as home,
    ):
        store = S3Store(s3.address("bench", ""), find_keys(s3.keys, {}))
        store.create_bucket()
        fill(store, chosen.backups)
        env = {
            "PATH": os.environ["PATH"],
            "HOME": home,
            "PGPROOF_API_TOKENS": TOKEN,
            "PGPROOF_DATABASE_URL": database.address(),
            "PGPROOF_PG_BIN": str(bin_dir),
            "PGPROOF_STORE": "s3://bench",
            "PGPROOF_S3_ENDPOINT": s3.endpoint,
            "PGPROOF_S3_ACCESS_KEY": s3.access_key,
            "PGPROOF_S3_SECRET_KEY": s3.secret_key.get_secret_value(),
        }
        with serving(env, Path(home)) as (pid, port):
            read_lists(pid, port, chosen)
            with psycopg.connect(database.address(), autocommit=True) as connection:
                connection.execute(_TABLE.format(name="large", rows=int(chosen.rows * _MILLION)).encode())
                connection.execute("VACUUM ANALYZE")
            for _ in range(3):
                read_rows(pid, port)


def fill(store: S3Store, count: int) -> None:
    """Hourly backups, one in seven drilled."""
    now = datetime.now(UTC)
    for hour in range(count):
        moment = now - timedelta(hours=hour)
        volume = Volume(name="dump.pgc.zst.000", bytes=1 << 30, sha256="0" * 64)
        backup = Manifest(
            id=str(BackupId.at(moment)),
            target="shop",
            status=Status.COMPLETE,
            tool=Tool(engine="pgdump", name="pg_dump", version="18.1"),
            database=Database(name="shop", bytes=4 << 30, server_version="18.1"),
            snapshot=SnapshotMark(time=moment, lsn="0/0"),
            started=moment,
            finished=moment + timedelta(seconds=90),
            parts=(Part(name="dump.pgc", role=Role.DUMP, volumes=(volume,), raw_bytes=4 << 30, compression="zstd"),),
            pgproof="0.1.0",
        )
        store.put(f"shop/{backup.id}/{MANIFEST_NAME}", BytesReader(backup.to_json()))
        if hour % 7 == 0:
            drill = Drill(
                backup=backup.id,
                target="shop",
                time=moment,
                verdict="proven",
                text="proven",
                seconds={},
                pgproof="0.1.0",
            )
            drill = replace(drill, restore_seconds=400.0)
            store.put(key_of(drill), BytesReader(drill.to_json()))


@contextmanager
def serving(env: dict[str, str], folder: Path) -> Iterator[tuple[int, int]]:
    """The service: its process and port."""
    argv = [sys.executable, "-P", "-m", "backup", "serve", "--port", "0"]
    log = folder / "log"
    with log.open("wb") as file, subprocess.Popen(argv, env=env, stderr=file) as process:
        try:
            while "serving" not in log.read_text():
                if process.poll() is not None:
                    raise SystemExit(log.read_text())
                time.sleep(0.1)
            (address,) = (word for word in log.read_text().split() if word.startswith("at="))
            yield process.pid, int(address.rpartition(":")[2])
        finally:
            process.terminate()


def read_lists(pid: int, port: int, chosen: argparse.Namespace) -> None:
    """Readers of the list, in a process of their own."""
    ask("/api/backups", port)
    before, used = memory(pid), cpu(pid)
    for limit in (100, 1000):
        path = f"/api/backups?limit={limit}"
        size = len(ask(path, port))
        run = subprocess.run(
            [
                sys.executable,
                "-c",
                f"from bench.serve import crowd; crowd({path!r}, {port}, {chosen.readers}, {chosen.seconds})",
            ],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        shown = min(limit, chosen.backups)
        print(f"{chosen.readers} readers, {shown} of {chosen.backups} backups, {size >> 10} KiB: {run.stdout.strip()}")
    print(f"memory before {before >> 20} MiB, after {memory(pid) >> 20} MiB; cpu {cpu(pid) - used:.1f} s")


class Reader(asyncio.Protocol):
    """One that asks again as soon as it is answered, until `end`; how long each answer took goes to `times`."""

    def __init__(self, request: bytes, done: asyncio.Future[None], end: float, times: list[float]) -> None:
        self.request, self.done, self.end, self.times = request, done, end, times
        self.left = -1
        self.head = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # of a stream
        self.transport = transport
        self.ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionResetError("hung up"))

    def ask(self) -> None:
        self.begun = time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        if self.left < 0:
            self.head += data
            head, found, data = self.head.partition(b"\r\n\r\n")
            if not found:
                return
            if not head.startswith(b"HTTP/1.1 200"):
                self.done.set_exception(ConnectionError(head.decode()))
                self.transport.close()
                return
            self.left = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            self.head = b""
        self.left -= len(data)
        if self.left == 0:
            self.answered()

    def answered(self) -> None:
        self.times.append(time.perf_counter() - self.begun)
        self.left = -1
        if time.perf_counter() < self.end:
            self.ask()
        else:
            self.done.set_result(None)
            self.transport.close()


def crowd(path: str, port: int, readers: int, seconds: float) -> None:
    """Ask with many connections at once, and print how long the answers took."""
    times: list[float] = []
    request = f"GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()

    async def run() -> None:
        loop = asyncio.get_running_loop()
        end = time.perf_counter() + seconds
        waiting = [loop.create_future() for _ in range(readers)]
        for done in waiting:
            await loop.create_connection(partial(Reader, request, done, end, times), "127.0.0.1", port)
        await asyncio.gather(*waiting)

    asyncio.run(run())
    cut = statistics.quantiles(times, n=1000)
    print(
        f"{len(times) / seconds:.0f} answers a second, median {cut[499] * 1000:.0f} ms, p95 {cut[949] * 1000:.0f} ms, "
        f"p99 {cut[989] * 1000:.0f} ms, longest {max(times) * 1000:.0f} ms"
    )


def read_rows(pid: int, port: int) -> None:
    """All rows, thrown away."""
    begun = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/api/backup", headers={"Authorization": f"Bearer {TOKEN}"})
    answer = connection.getresponse()
    answer.read(1)
    first = time.monotonic() - begun
    size, peak, last, tail = 1, 0, 0.0, b""
    while piece := answer.read(1 << 18):
        size += len(piece)
        tail = (tail + piece)[-100:]
        if time.monotonic() - last > 0.1:  # noqa: PLR2004 -- seconds
            peak, last = max(peak, memory(pid)), time.monotonic()
    seconds = time.monotonic() - begun
    if not tail.endswith(b'"success": true}\n'):
        raise SystemExit("the document is not whole")
    print(
        f"rows: {size / (1 << 30):.2f} GiB in {seconds:.1f} s, {size / seconds / (1 << 20):.0f} MiB/s; "
        f"first byte after {first:.2f} s; peak {peak >> 20} MiB of the service and its psql"
    )


def ask(path: str, port: int) -> bytes:
    """One answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", path, headers={"Authorization": f"Bearer {TOKEN}"})
    return connection.getresponse().read()


def cpu(pid: int) -> float:
    """Seconds of processor time that a process has used."""
    used = psutil.Process(pid).cpu_times()
    return float(used.user + used.system)


if __name__ == "__main__":
    main()
