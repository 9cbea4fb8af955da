"""Brings up what the scenarios run on: where KUBECONFIG is set nothing, else images and a node of our own.

Owns the order of the recipe's scripts (tests/cluster/node), and the proof that `down` leaves nothing.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from backup.demo.s3_server import find_program
from tests.cluster.support.kubectl import run, wait_until

_HERE = Path(__file__).parents[1]
_ROOT = _HERE.parents[1]
_NODE = _HERE / "node"
_BUILD_LIMIT = 2400.0

IMAGE = "localhost/pgproof:test"
SERVERS_IMAGE = "localhost/pgproof-servers:test"
_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a node might leave on a machine."""

    interfaces: frozenset[str]
    mounts: frozenset[str]
    processes: frozenset[str]

    @staticmethod
    def now() -> Machine:
        """As it is."""
        mounts = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
        return Machine(
            interfaces=frozenset(path.name for path in Path("/sys/class/net").iterdir()),
            mounts=frozenset(line.split()[1] for line in mounts),
            processes=frozenset(filter(None, map(_of_a_node, psutil.process_iter()))),
        )

    def left_over(self, before: Machine) -> list[str]:
        """What is here and was not there before."""
        found = (self.interfaces - before.interfaces, self.mounts - before.mounts, self.processes - before.processes)
        return sorted(name for names in found for name in names)


_PROGRAMS = ("kube", "etcd", "containerd", "runc", "dns", "pause", "buildah")
_IN_PODS = ("weed", "postgres")
"""Other tests have such servers too, but not in a namespace of process ids of their own."""


def _of_a_node(process: psutil.Process) -> str | None:
    """Number and name of a process such as a node starts; None for others, and for one that is gone."""
    try:
        name = process.name()
        inside = name.startswith(_IN_PODS) and _namespace(process.pid) != _namespace(os.getpid())
    except (psutil.Error, OSError):
        return None
    return f"{process.pid} {name}" if name.startswith(_PROGRAMS) or inside else None


def _namespace(pid: int) -> str:
    return str(Path(f"/proc/{pid}/ns/pid").readlink())


def build_images() -> None:
    """The project's own Dockerfile, on a base from Debian packages, and the servers on top of it."""
    script("base-image")
    _build(_ROOT, "--build-arg", "PG_MAJORS=17", "--tag", IMAGE)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(find_program(), Path(folder) / "weed")
        _build(_HERE / "servers", "--build-context", f"weed={folder}", "--tag", SERVERS_IMAGE)


def _build(context: Path, *options: str) -> None:
    """Buildah, with the machine's own authorities: pip in a build trusts whom the machine trusts."""
    trusted = f"{_AUTHORITIES}:{_AUTHORITIES}:ro"
    # The format of docker, since that of OCI has no SHELL.
    always = ["--format", "docker", "--pull-never", "--network", "host", "--isolation", "chroot", "--volume", trusted]
    run(["buildah", "build", "--quiet", *always, *options, str(context)], limit=_BUILD_LIMIT)


def script(name: str, *arguments: str) -> str:
    """Run one of the recipe's scripts; the last line that it prints."""
    lines = run([str(_NODE / name), *arguments], limit=_BUILD_LIMIT).stdout.split("\n")
    return next((line for line in reversed(lines) if line), "")


def start_node() -> str:
    """Images and a node of our own, ready; the path of its kubeconfig."""
    build_images()
    kubeconfig = script("up")
    for image in (IMAGE, SERVERS_IMAGE):
        script("load-image", image)
    return kubeconfig


def stop_node(before: Machine) -> list[str]:
    """End it; what it leaves, which should be nothing."""
    script("down")
    end = time.monotonic() + 20

    def left() -> list[str]:
        return Machine.now().left_over(before)

    wait_until(lambda: not left() or time.monotonic() > end, "nothing is left of the node", limit=60)
    return left()


def servers_image() -> str:
    """The image of the servers, also on somebody else's cluster."""
    return os.environ.get("PGPROOF_TEST_SERVERS_IMAGE", SERVERS_IMAGE)


def is_given() -> bool:
    """Whether somebody else's cluster is to be used."""
    return bool(os.environ.get("KUBECONFIG"))
