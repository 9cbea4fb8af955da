"""A pod's way to its cluster: a Kubernetes API over TLS on 127.0.0.1, and the folder of a service account.

Owns the threads that serve, and what the pod has in its environment. The API is kmock's: it keeps objects, and
answers otherwise where a test says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any

import kmock

from tests.support.certificates import make_certificate

NAMESPACE = "prod"
CRONJOBS = kmock.resource("batch/v1/cronjobs")
EVENTS = kmock.resource("v1/events")
_READY_SECONDS = 20
_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod in the namespace `prod`; `folder` is its service account's, `port` the API's, `hangs` an answer of it."""

    cluster: kmock.KubernetesEmulator
    hangs: Callable[[], Awaitable[bytes]]
    folder: Path
    port: int

    def add_cronjob(self, name: str, *, uid: str) -> None:
        """Let the cluster have it."""
        self.cluster.objects[CRONJOBS, NAMESPACE, name] = {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": {"name": name, "namespace": NAMESPACE, "uid": uid},
        }

    def events(self) -> list[dict[str, Any]]:
        """The Events that were sent, as they were."""
        return [request.data for request in self.cluster[kmock.method.POST][EVENTS]]

    def environ(self, *, port: int | None = None) -> dict[str, str]:
        """What Kubernetes sets; `port` of a proxy before the API."""
        return {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(port or self.port)}


@contextmanager
def running_pod(folder: Path) -> Iterator[Pod]:
    """A pod as long as the context; its service account's files are written into `folder`."""
    certificate = make_certificate("127.0.0.1")
    files = {"token": b"token-of-the-pod", "ca.crt": certificate.authority, "namespace": NAMESPACE.encode()}
    for name, content in {**files, "server.pem": certificate.chain + certificate.key}.items():
        (folder / name).write_bytes(content)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "server.pem")
    with _secured(context) as front, _served() as (cluster, hangs, port):
        front.api = ("127.0.0.1", port)
        yield Pod(cluster=cluster, hangs=hangs, folder=folder, port=front.server_address[1])


@contextmanager
def _served() -> Iterator[tuple[kmock.KubernetesEmulator, Callable[[], Awaitable[bytes]], int]]:
    """The API without TLS, in an event loop of its own: its port."""
    ready, over = threading.Event(), asyncio.Event()
    found: list[tuple[kmock.KubernetesEmulator, int]] = []
    loop = asyncio.new_event_loop()

    async def hang() -> bytes:
        await over.wait()
        return b""

    async def serve() -> None:
        async with kmock.KubernetesEmulator() as cluster, kmock.Server(cluster) as server:
            cluster.resources[CRONJOBS] = kmock.ResourceInfo(kind="CronJob", namespaced=True)
            cluster.resources[EVENTS] = kmock.ResourceInfo(kind="Event", namespaced=True)
            found.append((cluster, server.port))
            ready.set()
            await over.wait()
        await asyncio.sleep(0)  # what was closed is so only in the loop's next turn

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), name="cluster", daemon=True)
    thread.start()
    assert ready.wait(_READY_SECONDS)
    try:
        yield found[0][0], hang, found[0][1]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()


class _Front(ThreadingTCPServer):
    """Takes TLS away. Not asyncio's: that one waits half a minute for clients that do not say goodbye."""

    daemon_threads = False
    api = ("", 0)
    context: ssl.SSLContext


class _Line(BaseRequestHandler):
    def handle(self) -> None:
        front = self.server
        assert isinstance(front, _Front)
        with (
            contextlib.suppress(OSError),  # a client that does not trust us, or has gone
            front.context.wrap_socket(self.request, server_side=True) as line,
            socket.create_connection(front.api) as api,
        ):
            while True:
                readable = [line] if line.pending() else select.select([line, api], [], [])[0]
                for source, sink in ((line, api), (api, line)):
                    if source in readable:
                        data = source.recv(_CHUNK)
                        if not data:
                            return
                        sink.sendall(data)


@contextmanager
def _secured(context: ssl.SSLContext) -> Iterator[_Front]:
    with _Front(("127.0.0.1", 0), _Line) as front:
        front.context = context
        thread = threading.Thread(target=front.serve_forever, args=(0.05,), name="front")
        thread.start()
        try:
            yield front
        finally:
            front.shutdown()
            thread.join()
