"""What the image is made of: its layers, the Debian packages that are not in its base, and pgproof's Python.

    .venv/bin/python -m bench.image_size localhost/pgproof:test

Needs buildah, and as root the image in its storage.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MIB = 1 << 20
_SHOWN = 12
_PYTHON = "opt/pgproof/lib"


def buildah(*arguments: str) -> str:
    done = subprocess.run(["buildah", *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@contextmanager
def mounted(image: str) -> Iterator[Path]:
    container = buildah("from", "--pull-never", image)
    try:
        yield Path(buildah("mount", container))
    finally:
        buildah("rm", container)


def bytes_of(folder: Path) -> int:
    """As the files say it; a file with several names counts once."""
    seen = {}
    for path in folder.rglob("*"):
        if not path.is_symlink() and path.is_file():
            found = path.stat()
            seen[found.st_ino] = found.st_size
    return sum(seen.values())


def packages(root: Path) -> Counter[str]:
    """Bytes of the files of each Debian package that are there: what was left out does not count."""
    sizes: Counter[str] = Counter()
    for listed in sorted((root / "var/lib/dpkg/info").glob("*.list")):
        for line in listed.read_text().splitlines():
            path = root / line.lstrip("/")
            if path.is_file() and not path.is_symlink():
                sizes[listed.stem.partition(":")[0]] += path.stat().st_size
    return sizes


def distributions(root: Path) -> Counter[str]:
    """Bytes of each folder in the site-packages of pgproof."""
    (site,) = (root / _PYTHON).glob("python3*/site-packages")
    return Counter({each.name: bytes_of(each) for each in site.iterdir() if each.is_dir()})


def show(title: str, sizes: Counter[str]) -> None:
    print(f"{title:<32} {sum(sizes.values()) / _MIB:7.1f} MiB")
    shown = sizes.most_common(_SHOWN)
    for name, size in [*shown, ("all others", sum(sizes.values()) - sum(size for _, size in shown))]:
        print(f"  {name:<30} {size / _MIB:7.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description="What the image is made of.")
    parser.add_argument("image", nargs="?", default="localhost/pgproof:test")
    parser.add_argument("--base", default="docker.io/library/debian:trixie-slim")
    chosen = parser.parse_args()
    with mounted(chosen.image) as root, mounted(chosen.base) as base:
        whole, below = bytes_of(root), bytes_of(base)
        layers = len(json.loads(buildah("inspect", "--type", "image", chosen.image))["OCIv1"]["rootfs"]["diff_ids"])
        print(f"{chosen.image}: {whole / _MIB:.1f} MiB in {layers} layers, of which the base is {below / _MIB:.1f} MiB")
        show("Debian packages beyond the base", packages(root) - packages(base))
        show("pgproof and its Python packages", distributions(root))


if __name__ == "__main__":
    main()
