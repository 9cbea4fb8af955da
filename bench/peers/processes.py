"""What a tree of processes takes, as Linux tells it in /proc, and what a folder takes on the disk."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one look found: all processes of the tree, their memory, and for each pg_dump the bytes it has written."""

    processes: tuple[int, ...]
    shared_out: int
    resident: int
    dumping: Mapping[int, int]


def look(roots: Sequence[int]) -> Look:
    """Look at these processes and all that they have started."""
    processes = tuple(tree(roots))
    shared_out = resident = 0
    dumping = {}
    for pid in processes:
        with suppress(OSError, ValueError):
            used = _fields(f"/proc/{pid}/smaps_rollup")
            shared_out += used.get("Pss", 0) << 10
            resident += used.get("Rss", 0) << 10
        with suppress(OSError, ValueError):
            if _is_dump(pid):
                dumping[pid] = _fields(f"/proc/{pid}/io")["wchar"]
    return Look(processes=processes, shared_out=shared_out, resident=resident, dumping=dumping)


def tree(roots: Sequence[int]) -> Iterator[int]:
    """These process ids and those of everything below them, parents first."""
    for pid in roots:
        yield pid
        with suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                children = (task / "children").read_text(encoding="ascii")
                yield from tree([int(each) for each in children.split()])


def size_of(folder: Path) -> int:
    """Bytes that the files in a folder and below take on the disk."""
    total = 0
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    total += size_of(Path(entry.path))
                else:
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
    return total


def _is_dump(pid: int) -> bool:
    """Whether it is a pg_dump that has not ended."""
    line = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    name, _, rest = line.partition("(")[2].rpartition(")")
    return name == "pg_dump" and rest.split()[0] != "Z"


def _fields(path: str) -> dict[str, int]:
    """The numbers of a file of /proc with lines such as `Pss:  12 kB`."""
    lines = Path(path).read_text(encoding="ascii", errors="replace").splitlines()
    pairs = (line.partition(":") for line in lines)
    return {name: int(rest.split()[0]) for name, _, rest in pairs if rest.split() and rest.split()[0].isdigit()}
