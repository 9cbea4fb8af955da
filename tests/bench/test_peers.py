"""The benchmark does what its page says: it runs, it leaves nothing, and README tells only what it has measured."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import psutil
import pytest

from bench.peers.__main__ import main
from bench.peers.chart import OTHERS, OURS, TEXT, Bar, Panel, draw
from bench.peers.processes import Look
from bench.peers.running import Command, run
from tests.support.services import program

ROOT = Path(__file__).parents[2]
LIGHT, DARK = "#ffffff", "#0d1117"
ENV = {"PATH": os.environ.get("PATH", os.defpath)}


def a_command(*argv: str) -> Command:
    return Command(argv=argv, env=ENV)


def tables(page: str) -> dict[str, list[list[str]]]:
    """Cells of the tables of a page, by the heading that they stand under."""
    found: dict[str, list[list[str]]] = {}
    for section in page.split("\n## ")[1:]:
        heading, _, text = section.partition("\n")
        lines = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| ---")]
        found[heading] = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]
    return found


def test_pgproof_and_a_pipe_are_measured_beside_a_bare_dump(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program("zstd")
    results, scratch = tmp_path / "results", tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    before = set(psutil.Process().children(recursive=True))  # servers of other tests

    main(
        [
            *("--gib", "0.02", "--rounds", "1", "--restores", "1", "--backups", "10"),
            *("--peers", "pgproof,file", "--no-install", "--to", str(results)),
        ]
    )

    page = (results / "results.md").read_text()
    found = tables(page)
    assert "Not measured" not in page
    (backups,) = [rows for heading, rows in found.items() if heading.startswith("Backups of ")]
    (restores,) = [rows for heading, rows in found.items() if heading.startswith("Restores of ")]
    for rows in (backups, restores):
        assert [row[0] for row in rows[1:]] == ["bare pg_dump and pg_restore", "pgproof", "pg_dump, zstd, a local file"]
        for row in rows[1:]:
            wall, ratio, least, most, *_ = map(float, row[1:])
            assert wall > 0
            assert least <= ratio <= most
    memory, files, stored = map(float, backups[2][-3:])
    assert memory > 20
    assert files == 0
    assert stored > 0
    ours, pipe = found["When it fails"][1:]
    assert [ours[1], ours[3]] == ["14", "5"]
    assert [ours[2], ours[4]] == [each for each in (ours[2], ours[4]) if each.endswith("no backup listed")]
    assert pipe[1] == "1 (0)"
    assert pipe[2].endswith("**listed as a backup**")
    assert [row[0] for row in found["pgproof itself"] if "list" in row[0]] == [
        "`pgproof list` of 10 backups, at most the newest 1,000",
        "`pgproof list --limit 0` of 10 backups, once",
    ]
    assert (results / "results.svg").read_text().startswith("<svg ")
    assert list(scratch.iterdir()) == []
    assert set(psutil.Process().children(recursive=True)) <= before


def test_a_benchmark_that_is_told_to_stop_leaves_nothing(tmp_path: Path) -> None:
    options = (
        "--gib",
        "0.005",
        "--rounds",
        "100",
        "--peers",
        "file",
        "--no-install",
        "--to",
        str(tmp_path / "results"),
    )
    argv = [sys.executable, "-m", "bench.peers", *options]
    env = {**ENV, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(argv, cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True) as bench:
        for line in bench.stderr or ():
            if "zstd" in line:
                break
        started = psutil.Process(bench.pid).children(recursive=True)
        bench.terminate()
        assert bench.wait(60) == 128 + signal.SIGTERM
    assert started
    assert [each for each in started if is_running(each.pid)] == []
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_tells_the_status_of_each_program_and_the_memory_and_files_of_all(tmp_path: Path) -> None:
    hold = "import time; kept = bytearray(60 << 20); open('file', 'wb').write(bytes(5 << 20)); time.sleep(0.5)"
    found = run((a_command("false"), a_command("python3", "-c", hold), a_command("cat")), scratch=tmp_path)
    assert found.exits == (1, 0, 0)
    assert found.status == 1
    assert found.memory > 60 << 20
    assert found.scratch >= 5 << 20
    assert found.wall > 0.5


def test_a_program_that_was_killed_has_the_status_that_a_shell_tells(tmp_path: Path) -> None:
    def kill(found: Look) -> None:
        os.kill(found.processes[0], signal.SIGKILL)

    assert run((a_command("sleep", "60"),), scratch=tmp_path, watch=kill).exits == (128 + signal.SIGKILL,)


def test_what_a_program_has_started_is_ended_too_when_measuring_stops(tmp_path: Path) -> None:
    seen: list[int] = []

    def stop(found: Look) -> None:
        if len(found.processes) > 1:
            seen.extend(found.processes)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run((a_command("sh", "-c", "sleep 60 & wait"),), scratch=tmp_path, watch=stop)
    assert len(seen) == 2
    end = time.monotonic() + 10
    while any(is_running(pid) for pid in seen):
        assert time.monotonic() < end
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("colour", [TEXT, OURS, OTHERS])
@pytest.mark.parametrize("ground", [LIGHT, DARK])
def test_the_picture_can_be_read_on_a_light_page_and_on_a_dark_one(colour: str, ground: str) -> None:
    light, dark = sorted((luminance(colour), luminance(ground)), reverse=True)
    least = 3.7 if colour == TEXT else 2.8
    assert (light + 0.05) / (dark + 0.05) >= least


def luminance(colour: str) -> float:
    """As the Web Content Accessibility Guidelines define it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_bars_are_as_long_as_their_figures_and_names_are_escaped() -> None:
    bars = [Bar(name="a & b", value=1.0, ours=True), Bar(name="c", value=4.0)]
    picture = draw([Panel(title="<t>", bars=bars), Panel(title="empty", bars=[])])
    root = ET.fromstring(picture)  # noqa: S314 - of our own making
    widths = [float(each.attrib["width"]) for each in root.iter() if each.tag.endswith("rect")]
    assert widths[1] == pytest.approx(4 * widths[0], abs=0.5)
    assert "empty" not in picture


def test_readme_tells_no_figure_that_the_results_do_not_have() -> None:
    section = re.split(r"^## ", (ROOT / "README.md").read_text().split("\n## Performance\n")[1], flags=re.MULTILINE)[0]
    results = ROOT / "bench" / "results.md"
    assert figures(section) <= (figures(results.read_text()) if results.exists() else set())


def figures(text: str) -> set[str]:
    """Numbers of a text, without those of code and of addresses."""
    return set(re.findall(r"\d+(?:[.,]\d+)*", re.sub(r"`[^`\n]*`|\]\([^)]*\)", "", text)))
