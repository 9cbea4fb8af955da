"""The page of the results: tables of what was measured, and on what. Pure but for what it asks of the machine."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from bench.peers.faults import Fault
from bench.peers.fixed import median_moments
from bench.peers.ground import Peer
from bench.peers.own import FIRST, FOUR_LANES
from bench.peers.results import Outcome, Spread, gib, mib, ranked, ratios
from bench.peers.rounds import Round, Stage
from bench.peers.running import Measured

_NAMES_SHOWN = 2


def page(outcome: Outcome) -> str:
    """The results as Markdown."""
    parts = [
        _head(outcome),
        _short(outcome),
        *(_backups(stage, f"Backups of {gib(stage.size)}") for stage in outcome.stages),
        *(_backups(stage, f"Backups of a server's files, {gib(stage.size)}") for stage in outcome.physical),
        *(_restores(stage) for stage in outcome.stages if stage.restores),
        _faults(outcome),
        _own(outcome),
        _set_up(outcome),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _head(outcome: Outcome) -> str:
    versions = ", ".join(_version(name, said) for name, said in outcome.versions.items())
    servers = sorted({stage.version for stage in (*outcome.stages, *outcome.physical)}, reverse=True)
    return f"""# Results of `make bench`

Written by `python -m bench.peers`; [what is measured, and how](README.md#pgproof-beside-others). Not edited by hand.

{outcome.started:%Y-%m-%d}, in {outcome.seconds / 60:.0f} minutes. {_machine()}
PostgreSQL {" and ".join(servers)}, an S3 server (SeaweedFS) and all that is measured share it. {versions}.

A ratio is that of one round: wall time against its bare `pg_dump -Fc -Z0 >/dev/null`, or for restores against its
`pg_restore -j2` from a local folder. CPU and memory are of a peer's whole process tree, the server's not.
Memory is the most that was seen at once, pages that processes share counted once; scratch the most of files in HOME and
TMPDIR."""


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    cpu = re.search(r"^model name\s*:\s*(.+)$", _read("/proc/cpuinfo"), re.MULTILINE)
    name = cpu[1] if cpu else platform.machine()
    return f"{os.cpu_count()} cores ({name}), {memory:.0f} GiB of memory, Linux {platform.release().split('-')[0]}."


def _read(path: str) -> str:
    return Path(path).read_text(encoding="utf-8", errors="replace")


def _version(name: str, said: str) -> str:
    number = re.search(r"\d+(\.\d+)+", said)
    return f"{name} {number[0] if number else said}"


def _short(outcome: Outcome) -> str:
    if not outcome.stages:
        return ""
    stage = outcome.stages[-1]
    lines = [
        f"- {verb} of {gib(stage.size)}: " + ", ".join(f"{name} {spread.middle:.2f}" for name, spread in found) + "."
        for verb, found in (
            ("Backup", ranked(stage, stage.backups)),
            ("Restore", ranked(stage, stage.restores)),
        )
        if found
    ]
    sizes = []
    for stage in outcome.stages:
        runs = [each[FIRST] for each in stage.backups if FIRST in each]
        if runs:
            most = mib(max(each.measured.memory for each in runs))
            scratch = mib(max(each.measured.scratch for each in runs))
            sizes.append(
                f"- pgproof with {gib(stage.size)}: {most} MiB of memory, {scratch} MiB of scratch,"
                f" {mib(int(median(each.stored for each in runs)))} MiB stored."
            )
    if sizes:
        lines += ["", "Memory and scratch at most, stored in the median:", "", *sizes]
    return "## In short\n\nTimes the bare one, median:\n\n" + "\n".join(lines)


def _backups(stage: Stage, title: str) -> str:
    rows = []
    for peer in stage.peers:
        spread, runs = ratios(stage.backups, peer.key), [each[peer.key] for each in stage.backups if peer.key in each]
        if not spread:
            continue
        measured = [each.measured for each in runs]
        rows.append(
            [
                peer.name,
                f"{median(each.wall for each in measured):.2f}",
                *_cells(spread),
                f"{median(each.cpu for each in measured):.1f}",
                mib(max(each.memory for each in measured)),
                mib(max(each.scratch for each in measured)),
                mib(int(median(each.stored for each in runs))),
            ]
        )
    titles = ["", "wall s", "ratio", "min", "max", "CPU s", "memory MiB", "scratch MiB", "stored MiB"]
    head = f"## {title}\n\nPostgreSQL {stage.version}, {_rounds(stage.backups)}."
    return f"{head}\n\n{_table(titles, rows)}{_left_out(stage, stage.backups)}"


def _restores(stage: Stage) -> str:
    rows = []
    for peer in stage.peers:
        spread = ratios(stage.restores, peer.key)
        if not spread:
            continue
        measured = [each[peer.key].measured for each in stage.restores]
        rows.append(
            [
                peer.name,
                f"{median(each.wall for each in measured):.2f}",
                *_cells(spread),
                f"{median(each.cpu for each in measured):.1f}",
                mib(max(each.memory for each in measured)),
                mib(max(each.scratch for each in measured)),
            ]
        )
    titles = ["", "wall s", "ratio", "min", "max", "CPU s", "memory MiB", "scratch MiB"]
    left_out = _left_out(stage, stage.restores) if stage.restores else ""
    return f"## Restores of {gib(stage.size)}\n\n{_rounds(stage.restores)}.\n\n{_table(titles, rows)}{left_out}"


def _rounds(rounds: Sequence[Round]) -> str:
    return f"{len(rounds)} round{'s' if len(rounds) > 1 else ''}"


def _cells(spread: Spread) -> list[str]:
    return [f"{each:.2f}" for each in (spread.middle, spread.least, spread.most)]


def _left_out(stage: Stage, rounds: Sequence[Round]) -> str:
    names = {peer.key: peer.name for peer in stage.peers if not ratios(rounds, peer.key)}
    failed = {key: reason for key, reason in stage.failed.items() if key in names}
    return "".join(f"\n\nNot measured: {names[key]}: {_line(reason)}." for key, reason in failed.items())


def _line(reason: str) -> str:
    return " ".join(reason.split())[:200].rstrip(".").replace("|", "/")


def _faults(outcome: Outcome) -> str:
    peers = _by_key(outcome)
    rows = [
        [peers[key].name, *_fault(outcome.passwords[key]), *_fault(outcome.killed[key])]
        for key in outcome.passwords
        if key in peers and key in outcome.killed
    ]
    if not rows:
        return ""
    titles = ["", "wrong password: exit", "left", "pg_dump killed: exit", "left"]
    return f"""## When it fails

pg_dump is killed after half of what it writes. An exit code in brackets is what a shell without `pipefail` says.

{_table(titles, rows, cells="---")}"""


def _fault(fault: Fault) -> tuple[str, str]:
    if not fault.measured:
        return "", _line(fault.reason)
    last = fault.measured.exits[-1]
    status = str(fault.measured.status) + (f" ({last})" if len(fault.measured.exits) > 1 else "")
    left = f"{len(fault.left)} objects" if len(fault.left) > _NAMES_SHOWN else _names(fault.left)
    if fault.unfinished:
        left += f", {fault.unfinished} unfinished uploads"
    return status, f"{left}; **listed as a backup**" if fault.listed else f"{left}; no backup listed"


def _names(left: Mapping[str, int]) -> str:
    return ", ".join(f"`{name.rpartition('/')[2][:24]}`, {size:,} bytes" for name, size in left.items()) or "nothing"


def _own(outcome: Outcome) -> str:
    largest = [
        (stage.size, {key: run for key in (FIRST, FOUR_LANES) if (run := _largest(stage, key))})
        for stage in outcome.stages
    ]
    rows = [
        [gib(size), *_memory(runs.get(FIRST)), *_memory(runs.get(FOUR_LANES))]
        for size, runs in (*largest, *outcome.memories)
        if runs
    ]
    titles = ["database", "memory MiB", "RSS MiB, summed", "four lanes: memory MiB", "RSS MiB, summed"]
    memory = f"## pgproof itself\n\n{_table(titles, rows)}" if rows else ""
    if not outcome.fixed:
        return memory
    fixed = outcome.fixed
    ours, bare = median_moments(fixed.runs), median_moments(fixed.bare)
    times = [
        ["`pgproof --help`", f"{median(fixed.help):.2f} s"],
        [
            "start to the first byte of the dump",
            f"{ours.before:.2f} s, of which a bare pg_dump takes {bare.before:.2f} s",
        ],
        ["end of the dump to exit", f"{ours.after:.2f} s; of a bare pg_dump {bare.after:.2f} s"],
    ]
    if fixed.listing:
        of = f"of {fixed.listed:,} backups"
        times.append([f"`pgproof list` {of}, at most the newest 1,000", f"{median(fixed.listing):.2f} s"])
        times.append([f"`pgproof list --limit 0` {of}, once", f"{median(fixed.listing_all):.2f} s"])
    return f"{memory}\n\n{_table(['', 'median'], times)}"


def _largest(stage: Stage, key: str) -> Measured | None:
    """The run of a peer that took the most memory."""
    runs = [each[key].measured for each in stage.backups if key in each]
    return max(runs, key=lambda each: each.memory, default=None)


def _memory(run: Measured | None) -> tuple[str, str]:
    return (mib(run.memory), mib(run.resident)) if run else ("", "")


def _set_up(outcome: Outcome) -> str:
    lines = [f"- {peer.name}: {peer.how}." for peer in _by_key(outcome).values()]
    if outcome.not_there:
        lines.append(f"- Backups of files were not measured: {_line(outcome.not_there)}.")
    return "## How each is set up\n\n" + "\n".join(lines)


def _by_key(outcome: Outcome) -> dict[str, Peer]:
    return {peer.key: peer for stage in (*outcome.stages, *outcome.physical) for peer in stage.peers}


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]], *, cells: str = "---:") -> str:
    ruler = ["---", *(cells for _ in titles[1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in (titles, ruler, *rows))
