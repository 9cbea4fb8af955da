"""Why the defaults are what they are: the level and job size of zstd, and the pause between two reads of a pipe.

    python -m bench.choices [--gib 1]

Each row is a process of its own that reads pg_dump's output from a pipe and throws away what it makes of it.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import resource
import subprocess
import sys
import time

import zstandard

from backup.postgres.scratch import ScratchServer, packaged_bin_dir
from backup.stream.child import PIPE_SIZE
from bench.backup_speed import SETTINGS
from bench.database import fill

_READ = 1 << 20
_LITTLE = 128 << 10


class Pipe:
    """Standard input, read as `stream.child` reads pg_dump, with a pause of so many seconds after little."""

    def __init__(self, pause: float) -> None:
        self.pause = pause
        self.reads = 0
        self._last = _LITTLE

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes."""
        if self.pause and self._last < _LITTLE:
            time.sleep(self.pause)
        data = os.read(0, size)
        self._last = len(data)
        self.reads += 1
        return data


def measure(level: int, job_size: int, pause: float) -> None:
    """Compress standard input to nowhere and print the figures."""
    fcntl.fcntl(0, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    options = {"job_size": job_size} if job_size else {}
    parameters = zstandard.ZstdCompressionParameters.from_level(level, threads=2, write_checksum=True, **options)
    pipe, stored, begun = Pipe(pause), 0, time.monotonic()
    reader = zstandard.ZstdCompressor(compression_params=parameters).stream_reader(pipe, read_size=_READ)  # type: ignore[arg-type]  # it only reads
    while data := reader.read(5 << 20):
        stored += len(data)
    wall, used = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_SELF)
    name = f"level {level}, jobs of {f'{job_size >> 20} MiB' if job_size else 'zstd'}, pause {pause * 1000:g} ms"
    print(
        f"{name:<40} {wall:>6.2f} {used.ru_utime + used.ru_stime:>6.2f} {pipe.reads:>7}"
        f" {stored / (1 << 20):>8.1f} {(used.ru_maxrss - base) / 1024:>6.0f}",
        flush=True,
    )


def main() -> None:
    """Build a database, then try each choice three times in turn."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--gib", type=float, default=1.0)
    arguments.add_argument("--one", nargs=3, metavar=("LEVEL", "JOB", "PAUSE"), help=argparse.SUPPRESS)
    chosen = arguments.parse_args()
    if chosen.one:
        measure(int(chosen.one[0]), int(chosen.one[1]), float(chosen.one[2]))
        return
    choices = [(level, 1 << 20, 0.001) for level in (1, 2, 3)] + [(3, 0, 0.001), (1, 0, 0.001), (1, 1 << 20, 0.0)]
    bin_dir = packaged_bin_dir()
    with ScratchServer(bin_dir, settings=SETTINGS, tcp=True) as server:
        fill(server, "bench", int(chosen.gib * (1 << 30)))
        dump = [str(bin_dir / "pg_dump"), "-Fc", "-Z0", f"--dbname={server.address('bench')}"]
        print(
            f"{'choice':<40} {'wall s':>6} {'cpu s':>6} {'reads':>7} {'MiB':>8} {'+ MiB':>6}   (+ MiB: memory taken)",
            flush=True,
        )
        for _ in range(3):
            for level, job_size, pause in choices:
                reader = [sys.executable, "-m", "bench.choices", "--one", str(level), str(job_size), str(pause)]
                with subprocess.Popen(dump, stdout=subprocess.PIPE) as source:
                    subprocess.run(reader, stdin=source.stdout, check=True)


if __name__ == "__main__":
    main()
